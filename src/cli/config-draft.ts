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
          '// Values are exact text or null. A record is its columns, and lists of rows for its children.',
          todo,
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
  const same = sameColumns(one);
  return [
    `    ${property(one.name)}: {`,
    ...shapeLines('source', one.source, proposal.sourceTables),
    ...shapeLines('target', one.target, proposal.targetTables),
    ...(same ? [] : transformLines('forward', one.source, one.target)),
    ...(same ? [] : transformLines('backward', one.target, one.source)),
    '    },',
  ];
}

function sameColumns({ source, target }: CollectionProposal): boolean {
  return (
    source.columns.length === target.columns.length &&
    source.columns.every((column) => target.columns.includes(column))
  );
}

function shapeLines(
  side: 'source' | 'target',
  table: TableDescription,
  tables: readonly TableDescription[],
): readonly string[] {
  const key = table.primaryKey;
  const shape = key
    ? `{ table: ${quoted(tableName(table))}, key: ${list(key)} }`
    : `{ table: ${quoted(tableName(table))}, key: [] /* no primary key: name columns that are unique and NOT NULL */ }`;
  const children = key === null ? [] : childrenOf(table, key, tables);
  return [
    `      ${side}: ${shape},`,
    ...(children.length > 0
      ? [
          `      // rows of other tables may belong to the record; add to ${side}:`,
          `      //   children: { ${children.join(', ')} }`,
        ]
      : []),
  ];
}

function childrenOf(
  root: TableDescription,
  rootKey: readonly string[],
  tables: readonly TableDescription[],
): readonly string[] {
  return tables.flatMap((table) => {
    const parent = table === root ? null : foreignKeyTo(table, root, rootKey);
    if (parent === null || table.primaryKey === null) return [];
    return [
      `${property(collectionName(table))}: { table: ${quoted(tableName(table))}, key: ${list(table.primaryKey)}, parent: ${list(parent)} }`,
    ];
  });
}

function transformLines(
  direction: 'forward' | 'backward',
  from: TableDescription,
  to: TableDescription,
): readonly string[] {
  const field = (column: string): string =>
    /^[A-Za-z_$][\w$]*$/.test(column) ? `row.${column}` : `row[${quoted(column)}]`;
  const missing = from.columns.filter((column) => !to.columns.includes(column));
  return [
    `      ${direction}: (row) => ({`,
    ...to.columns.map((column) =>
      from.columns.includes(column)
        ? `        ${property(column)}: ${field(column)} ?? null,`
        : `        ${property(column)}: todo(${quoted(`${tableName(to)}.${column}`)}),`,
    ),
    ...(missing.length > 0 ? [`        // not used yet: ${missing.join(', ')}`] : []),
    '      }),',
  ];
}
