import { foreignKeyTo, tableName } from '../config/index.ts';
import type { TableDescription } from '../store/index.ts';

/** One collection that `init` proposes. */
export interface CollectionProposal {
  readonly name: string;
  readonly source: TableDescription;
  readonly target: TableDescription;
}

export interface ConfigProposal {
  readonly name: string;
  /** Addresses as they may be written down; null: they hold a password, only the environment has them. */
  readonly sourceUrl: string | null;
  readonly targetUrl: string | null;
  readonly collections: readonly CollectionProposal[];
  /** Tables of the source without a partner. */
  readonly unpaired: readonly TableDescription[];
  /** Tables of the target without a partner. */
  readonly unfilled: readonly TableDescription[];
  readonly sourceTables: readonly TableDescription[];
  readonly targetTables: readonly TableDescription[];
  /** False: plain JavaScript, because this Node cannot read types. */
  readonly typescript: boolean;
}

/** Tables with the same name on both sides, those that others refer to first: the copy goes in this order. */
export function pairTables(
  source: readonly TableDescription[],
  target: readonly TableDescription[],
): readonly CollectionProposal[] {
  const pairs = source.flatMap((table) => {
    const same = target.filter(({ name }) => name === table.name);
    const partner =
      same.find(({ schema }) => schema === table.schema) ??
      (same.length === 1 ? same[0] : undefined);
    return partner ? [{ name: collectionName(table), source: table, target: partner }] : [];
  });
  return parentsFirst(pairs);
}

/** In the order in which the target's foreign keys allow insertion; circles stay as they come. */
export function parentsFirst(pairs: readonly CollectionProposal[]): readonly CollectionProposal[] {
  const left = [...pairs];
  const ordered: CollectionProposal[] = [];
  const waitsFor = (pair: CollectionProposal): boolean =>
    pair.target.foreignKeys.some(({ schema, table }) =>
      left.some(
        (other) => other !== pair && other.target.schema === schema && other.target.name === table,
      ),
    );
  while (left.length > 0) {
    const free = left.findIndex((pair) => !waitsFor(pair));
    ordered.push(...left.splice(Math.max(0, free), 1));
  }
  return ordered;
}

export function collectionName(table: TableDescription): string {
  return table.visible ? table.name : `${table.schema}_${table.name}`;
}

/** Text of a configuration in which only the transforms are left to be written. */
export function renderConfig(proposal: ConfigProposal): string {
  const { name, typescript, collections, unpaired } = proposal;
  const differs = collections.some((one) => !sameColumns(one));
  const todo = typescript
    ? 'const todo = (field: string): never => {'
    : 'const todo = (field) => {';
  return [
    "import { defineMigration } from 'changeover';",
    "import { postgres } from 'changeover/postgres';",
    '',
    ...(differs
      ? [
          "// Values are exact text or null: '12.50', '2026-01-31 10:00:00+00', 't'. Child rows are lists: row.addresses.",
          '// A transform is pure, and the key is the same text on both sides. Replace each todo(…) by what becomes of it.',
          todo,
          // biome-ignore lint/suspicious/noTemplateCurlyInString: a template of the program that is written.
          '  throw new Error(`the transform does not know yet what becomes of ${field}`);',
          '};',
          '',
        ]
      : []),
    'export default defineMigration({',
    `  name: ${quoted(name)},`,
    `  source: postgres({ url: ${address('SOURCE_URL', proposal.sourceUrl)} }),`,
    `  target: postgres({ url: ${address('TARGET_URL', proposal.targetUrl)} }),`,
    '  collections: {',
    ...collections.flatMap((one) => collectionLines(one, proposal)),
    '  },',
    ...unpaired.map(
      (table) => `  // not moved: ${tableName(table)} has no table of the same name in the target`,
    ),
    ...proposal.unfilled.map(
      (table) => `  // not filled: ${tableName(table)} has no table of the same name in the source`,
    ),
    '});',
    '',
  ].join('\n');
}

/** Properties are named as they have to be: bare where that is an identifier. */
const property = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name));
const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
const list = (names: readonly string[]): string => `[${names.map(quoted).join(', ')}]`;
const address = (variable: string, url: string | null): string =>
  `process.env.${variable} ?? ${quoted(url ?? '')}`;

function collectionLines(one: CollectionProposal, proposal: ConfigProposal): readonly string[] {
  const { source, target } = one;
  const same = sameColumns(one);
  const paired = (side: 'source' | 'target'): ReadonlyMap<TableDescription, string> =>
    new Map(proposal.collections.map((other) => [other[side], other.name]));
  const sourceKey = source.primaryKey;
  const targetKey = keyOfTarget(one);
  return [
    `    ${property(one.name)}: {`,
    `      source: ${shape(source, sourceKey)},`,
    ...childLines('source', source, sourceKey, proposal.sourceTables, paired('source')),
    `      target: ${shape(target, targetKey)},`,
    ...childLines('target', target, targetKey, proposal.targetTables, paired('target')),
    ...(same ? [] : transformLines('forward', [source, sourceKey], [target, targetKey])),
    ...(same ? [] : transformLines('backward', [target, targetKey], [source, sourceKey])),
    '    },',
  ];
}

type KeyColumns = readonly string[] | null;

function sameColumns({ source, target }: CollectionProposal): boolean {
  return (
    source.columns.length === target.columns.length &&
    source.columns.every((column) => target.columns.includes(column))
  );
}

/** Keys are compared part by part: where the target has the same columns in another order, the source's order is meant. */
function keyOfTarget({ source, target }: CollectionProposal): KeyColumns {
  const [ours, theirs] = [source.primaryKey, target.primaryKey];
  const same = ours?.length === theirs?.length && ours?.every((one) => theirs?.includes(one));
  return same === true ? ours : theirs;
}

function shape(table: TableDescription, key: KeyColumns): string {
  const name = quoted(tableName(table));
  return key
    ? `{ table: ${name}, key: ${list(key)} }`
    : `{ table: ${name}, key: [] /* no primary key: name columns that are unique and NOT NULL */ }`;
}

/** Tables that refer to this one, as comments: whether their rows are parts of the record only a person knows. */
function childLines(
  side: 'source' | 'target',
  root: TableDescription,
  rootKey: KeyColumns,
  tables: readonly TableDescription[],
  paired: ReadonlyMap<TableDescription, string>,
): readonly string[] {
  return tables.flatMap((table) => {
    const parent = table === root || rootKey === null ? null : foreignKeyTo(table, root, rootKey);
    if (parent === null || table.primaryKey === null) return [];
    const child = `${property(collectionName(table))}: { table: ${quoted(tableName(table))}, key: ${list(table.primaryKey)}, parent: ${list(parent)} }`;
    const own = paired.get(table);
    const instead = own === undefined ? '' : `, and take the collection ${own} away`;
    return [
      `      // are rows of ${tableName(table)} parts of this record? then add to ${side}${instead}:`,
      `      //   children: { ${child} }`,
    ];
  });
}

function transformLines(
  direction: 'forward' | 'backward',
  [from, fromKey]: KeyedTable,
  [to, toKey]: KeyedTable,
): readonly string[] {
  const origins = originsOf([from, fromKey], [to, toKey]);
  const used = new Set(origins.values());
  const unused = from.columns.filter((column) => !used.has(column));
  return [
    `      ${direction}: (row) => ({`,
    ...to.columns.map((column) => {
      const origin = origins.get(column);
      return origin === undefined
        ? `        ${property(column)}: todo(${quoted(`${tableName(to)}.${column}`)}),`
        : `        ${property(column)}: ${field(origin)} ?? null,`;
    }),
    ...(unused.length > 0 ? [`        // not used yet: ${unused.join(', ')}`] : []),
    '      }),',
  ];
}

const field = (column: string): string =>
  /^[A-Za-z_$][\w$]*$/.test(column) ? `row.${column}` : `row[${quoted(column)}]`;

type KeyedTable = readonly [table: TableDescription, key: KeyColumns];

/** Column → the column that it is made of. Keys are the same text on both sides, part by part, whatever they are called. */
function originsOf(
  [from, fromKey]: KeyedTable,
  [to, toKey]: KeyedTable,
): ReadonlyMap<string, string> {
  const keys = fromKey?.length === toKey?.length ? (fromKey ?? []) : [];
  const pairs = to.columns.flatMap((column): [string, string][] => {
    const origin = keys[toKey?.indexOf(column) ?? -1];
    if (origin !== undefined) return [[column, origin]];
    return from.columns.includes(column) ? [[column, column]] : [];
  });
  return new Map(pairs);
}
