import type { DataRecord, Row, Scalar } from '../../record/index.ts';
import type { AuthorityWrite } from '../../store/index.ts';
import { columnOf } from './postgres-canonical.ts';
import type {
  CatalogChild,
  CatalogCollection,
  CatalogColumn,
  CatalogTable,
} from './postgres-catalog.ts';
import type { Statement } from './postgres-flight.ts';
import { keyEquals, keyParameters, keyText } from './postgres-key-sql.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import { quoteLiteral, textArray } from './postgres-text.ts';

/** A statement and how many rows it must touch when the record exists afterwards; null: any number. */
export interface WriteStatement extends Statement {
  readonly rows: number | null;
  /** For messages: what did not fit when the number is wrong. */
  readonly about: string;
}

const plain = (text: string, values: readonly Scalar[]): WriteStatement => ({
  text,
  values,
  rows: null,
  about: '',
});

/** The rows of a write: root, then surplus children away, then children in. For `delete`: children, then root. */
export function rowStatements(
  collection: CatalogCollection,
  write: AuthorityWrite,
): readonly WriteStatement[] {
  const { root, children } = collection;
  const byKey = keyEquals(root.key, 't', keyParameters(root.key, 1));
  if (write.action === 'delete') {
    return [
      ...children.map((child) =>
        plain(`DELETE FROM ${child.quoted} t WHERE ${parentIs(collection, child)}`, write.key),
      ),
      plain(`DELETE FROM ${root.quoted} t WHERE ${byKey}`, write.key),
    ];
  }
  return [
    ...rootStatements(root, write, byKey, rootRow(collection, write.record)),
    ...children.flatMap((child) => {
      const rows = write.record[child.field];
      return Array.isArray(rows) ? childStatements(collection, child, write, rows) : [];
    }),
  ];
}

function parentIs(collection: CatalogCollection, child: CatalogChild): string {
  return keyEquals(child.parent, 't', keyParameters(collection.root.key, 1));
}

/** The given columns of the root, without the key (which the write names itself). */
function rootRow(collection: CatalogCollection, record: DataRecord): Row {
  const fields = new Set(collection.children.map(({ field }) => field));
  const key = new Set(collection.root.key.map(({ name }) => name));
  return Object.fromEntries(
    Object.entries(record).filter(([name]) => !fields.has(name) && !key.has(name)),
  ) as Row;
}

function rootStatements(
  root: CatalogTable,
  write: AuthorityWrite,
  byKey: string,
  row: Row,
): readonly WriteStatement[] {
  const columns = Object.keys(row).map((name) => columnOf(root, name));
  const first = root.key.length + 1;
  const values = [...write.key, ...columns.map(({ name }) => row[name] ?? null)];
  const given = columns.map((column, index) => ({
    column,
    value: `$${first + index}::${column.castType}`,
  }));
  const settable = given.filter(({ column }) => column.identity !== 'always');
  const update =
    settable.length === 0
      ? plain(`SELECT 1 FROM ${root.quoted} t WHERE ${byKey} FOR NO KEY UPDATE`, write.key)
      : plain(
          `UPDATE ${root.quoted} t SET ${settable.map(({ column, value }) => `${column.quoted} = ${value}`).join(', ')} WHERE ${byKey}${used(given, settable)}`,
          values,
        );
  if (write.action === 'update') return [update];
  const all = [
    ...root.key.map((column, index) => ({ column, value: `$${index + 1}::${column.castType}` })),
    ...given,
  ];
  const into = insertInto(
    root,
    all.map(({ column }) => column),
  );
  const list = all.map(({ value }) => value).join(', ');
  const conflict = onConflict(
    root,
    settable.map(({ column }) => column),
    '',
  );
  if (
    isComplete(
      root,
      all.map(({ column }) => column),
    )
  ) {
    return [plain(`${into} VALUES (${list}) ${conflict}`, values)];
  }
  // PostgreSQL checks NOT NULL before it looks for the conflict: a partial row of an existing record would be refused.
  const absent = `NOT EXISTS (SELECT 1 FROM ${root.quoted} t WHERE ${byKey})`;
  return [update, plain(`${into} SELECT ${list} WHERE ${absent} ${conflict}`, values)];
}

/** Every parameter has to be used, or its type is unknown. */
function used(
  given: readonly { readonly column: CatalogColumn; readonly value: string }[],
  settable: readonly unknown[],
): string {
  if (given.length === settable.length) return '';
  const unset = given.filter(({ column }) => column.identity === 'always');
  return ` AND (true OR ${unset.map(({ value }) => `${value} IS NULL`).join(' OR ')})`;
}

function insertInto(table: CatalogTable, columns: readonly CatalogColumn[]): string {
  const overriding = columns.some(({ identity }) => identity === 'always')
    ? ' OVERRIDING SYSTEM VALUE'
    : '';
  return `INSERT INTO ${table.quoted} AS t (${columns.map(({ quoted }) => quoted).join(', ')})${overriding}`;
}

/**
 * An update even when nothing is to be set: the row has to be locked before the version is drawn. Only a table of nothing but ALWAYS identities
 * has no column that could be set to itself; its rows never change.
 */
function onConflict(
  table: CatalogTable,
  columns: readonly CatalogColumn[],
  condition: string,
): string {
  const arbiter = table.key.map(({ quoted }) => quoted).join(', ');
  const any = table.allColumns.find(
    ({ identity, generated }) => identity !== 'always' && !generated,
  );
  const set =
    columns.length > 0
      ? columns.map(({ quoted }) => `${quoted} = EXCLUDED.${quoted}`)
      : any
        ? [`${any.quoted} = t.${any.quoted}`]
        : [];
  if (set.length === 0) return `ON CONFLICT (${arbiter}) DO NOTHING`;
  return `ON CONFLICT (${arbiter}) DO UPDATE SET ${set.join(', ')}${condition}`;
}

function isComplete(table: CatalogTable, columns: readonly CatalogColumn[]): boolean {
  return table.allColumns.every(
    (column) =>
      !column.notNull || column.hasDefault || column.generated || columns.includes(column),
  );
}

/** Replaces the whole set of a child: surplus rows away first (they may hold unique values), then the given ones in. */
function childStatements(
  collection: CatalogCollection,
  child: CatalogChild,
  write: AuthorityWrite,
  given: readonly Row[],
): readonly WriteStatement[] {
  const rows = given.map((row) => {
    const filled: Record<string, Scalar> = { ...row };
    // The key of the write decides whose rows these are, whatever the rows say.
    child.parent.forEach(({ name }, index) => {
      filled[name] = write.key[index] ?? null;
    });
    return filled;
  });
  const keyed = rows.filter((row) => child.key.every(({ name }) => row[name] !== undefined));
  const parts = write.key.length;
  const exists =
    write.action === 'update'
      ? `EXISTS (SELECT 1 FROM ${collection.root.quoted} t WHERE ${keyEquals(collection.root.key, 't', keyParameters(collection.root.key, 1))})`
      : 'true';
  const kept = child.key.map((_, index) => `$${parts + index + 1}::text[]`).join(', ');
  const names = child.key.map((_, index) => `c${index + 1}`);
  const elements = child.key.map((column, index) => `u.c${index + 1}::${column.castType}`);
  const surplus = plain(
    `DELETE FROM ${child.quoted} t WHERE ${parentIs(collection, child)} AND ${exists} AND NOT EXISTS (SELECT 1 FROM unnest(${kept}) AS u(${names.join(', ')}) WHERE ${keyEquals(child.key, 't', elements)})`,
    [
      ...write.key,
      ...child.key.map(({ name }) => textArray(keyed.map((row) => row[name] ?? null))),
    ],
  );
  return [
    surplus,
    ...childInserts(child, write.key, rows, write.action === 'update' ? collection : null),
  ];
}

/** One insert for each set of columns that the rows name: what a row does not name stays, or gets its default. */
function childInserts(
  child: CatalogChild,
  key: readonly string[],
  rows: readonly Row[],
  onlyIfRootOf: CatalogCollection | null,
): readonly WriteStatement[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const id = JSON.stringify(Object.keys(row).sort());
    const group = groups.get(id);
    if (group) group.push(row);
    else groups.set(id, [row]);
  }
  return [...groups.values()].map((group) => {
    const columns = Object.keys(group[0] ?? {}).map((name) => columnOf(child, name));
    const keyed = child.key.every((column) => columns.includes(column));
    const names = columns.map((_, index) => `c${index + 1}`);
    const first = onlyIfRootOf === null ? 1 : key.length + 1;
    const arrays = columns.map((_, index) => `$${first + index}::text[]`).join(', ');
    const list = columns.map((column, index) => `u.c${index + 1}::${column.castType}`).join(', ');
    const mine = child.parent.map(({ quoted }) => `t.${quoted} = EXCLUDED.${quoted}`).join(' AND ');
    const settable = columns.filter(
      (column) => !child.key.includes(column) && column.identity !== 'always',
    );
    const where =
      onlyIfRootOf === null
        ? ''
        : ` WHERE EXISTS (SELECT 1 FROM ${onlyIfRootOf.root.quoted} t WHERE ${keyEquals(onlyIfRootOf.root.key, 't', keyParameters(onlyIfRootOf.root.key, 1))})`;
    return {
      // Another record's row with the same key is not taken away from it.
      text: `${insertInto(child, columns)} SELECT ${list} FROM unnest(${arrays}) AS u(${names.join(', ')})${where}${keyed ? ` ${onConflict(child, settable, ` WHERE ${mine}`)}` : ''}`,
      values: [
        ...(onlyIfRootOf === null ? [] : key),
        ...columns.map(({ name }) => textArray(group.map((row) => row[name] ?? null))),
      ],
      rows: group.length,
      about: `a row of "${child.field}" has the key of a row of another record`,
    };
  });
}

/**
 * Draws the version of a write when the root row is locked: with the queue entry of that number, or the bare number for a consumed intent. Behind
 * the rows for `put` and `update`; for `delete` before them, with a lock in a subquery (beside nextval in one select list, the number could be
 * drawn first). Answers (number, key as the store spells it), or nothing when there is no root.
 */
export function journalStatement(
  layout: PostgresLayout,
  collection: CatalogCollection,
  write: AuthorityWrite,
): Statement {
  const { root } = collection;
  const byKey = keyEquals(root.key, 't', keyParameters(root.key, 1));
  const text = keyText(root.key.map(({ quoted }) => `t.${quoted}`));
  const lock = write.action === 'delete' ? ' FOR UPDATE' : '';
  const from = `(SELECT ${text} AS key FROM ${root.quoted} t WHERE ${byKey}${lock}) r`;
  if (write.journal !== 'change') {
    return {
      text: `SELECT nextval(${quoteLiteral(layout.version)}), r.key FROM ${from}`,
      values: write.key,
    };
  }
  const grace = `$${root.key.length + 1}::float8 * interval '1 millisecond'`;
  return {
    text: `INSERT INTO ${layout.queue} (collection, key, due_at) SELECT ${quoteLiteral(collection.collection)}, r.key, clock_timestamp() + ${grace} FROM ${from} RETURNING id, key`,
    values: [...write.key, String(write.graceMs)],
  };
}
