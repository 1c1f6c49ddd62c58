import type { Key } from '../../record/index.ts';
import type {
  CatalogChild,
  CatalogCollection,
  CatalogColumn,
  CatalogTable,
} from './postgres-catalog.ts';
import type { ChildRows, RowGroup } from './postgres-door-rows.ts';
import {
  keyColumns,
  keyElements,
  keyEquals,
  keySpelling,
  keyText,
  keyUnnest,
} from './postgres-key-sql.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { Statement } from './postgres-session.ts';
import { quoteLiteral, textArray } from './postgres-text.ts';

/** Parameters for `keyUnnest`. */
export function keyValues(keys: readonly Key[], parts: number): readonly string[] {
  return keyColumns(keys, parts).map((column) => textArray(column));
}

/** `(x::bigint, y::text COLLATE "C")`: a row of typed expressions that is ordered as scans are. */
function comparable(key: readonly CatalogColumn[], expressions: readonly string[]): string {
  const parts = key.map(
    (column, index) => `${expressions[index]}${column.collatable ? ' COLLATE "C"' : ''}`,
  );
  return `(${parts.join(', ')})`;
}

/** Condition that a typed key lies between the bounds of the chunk row `c`. */
function coveredBy(key: readonly CatalogColumn[], expressions: readonly string[]): string {
  const row = comparable(key, expressions);
  const bound = (name: string): string =>
    `(${key.map((column, index) => `c.${name}[${index + 1}]::${column.castType}`).join(', ')})`;
  return `(c.after_key IS NULL OR ${row} > ${bound('after_key')})
    AND (c.until_key IS NULL OR ${row} <= ${bound('until_key')})`;
}

/**
 * Share-locks the in-flight chunks that cover one of these keys whose root is absent; waits for those that are being written. The
 * snapshot that finds a root absent is the one that finds the chunks: a chunk that has written before it is seen in the root table,
 * one that is recorded after it waits for this transaction before it reads.
 */
export function lockCoveringChunks(
  layout: PostgresLayout,
  { collection, root }: CatalogCollection,
  keys: readonly Key[],
): Statement {
  const parts = root.key.length;
  const elements = keyElements(root.key, 'k');
  return {
    text: `SELECT c.chunk FROM ${layout.chunk} c
      WHERE c.collection = $1 AND c.state = 'in-flight' AND EXISTS (
        SELECT 1 FROM ${keyUnnest(parts, 2, 'k')}
        WHERE ${coveredBy(root.key, elements)}
          AND NOT EXISTS (SELECT 1 FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', elements)}))
      ORDER BY c.chunk FOR SHARE OF c`,
    values: [collection, ...keyValues(keys, parts)],
  };
}

/** Deletes children, then roots of these keys. */
export function deleteRecords(
  { root, children }: CatalogCollection,
  keys: readonly Key[],
): readonly Statement[] {
  const parts = root.key.length;
  const from = keyUnnest(parts, 1, 'k');
  const remove = (table: CatalogTable, columns: readonly CatalogColumn[]): Statement => ({
    text: `DELETE FROM ${table.quoted} t USING ${from}
      WHERE ${keyEquals(columns, 't', keyElements(root.key, 'k'))}`,
    values: keyValues(keys, parts),
  });
  return [...children.map((child) => remove(child, child.parent)), remove(root, root.key)];
}

/**
 * Inserts or updates rows, in the order of the table's key: chunks insert in that order too, so the two never wait for each other
 * in a circle. Key columns are not set: an UPDATE of them would lock out foreign-key checks.
 *
 * @param condition on the present row `t` and the `excluded` one; where it is false the present row stays
 */
export function upsertRows(table: CatalogTable, group: RowGroup, condition = ''): Statement {
  const sets = group.columns
    .filter((column) => !isKey(table, column) && column.identity !== 'always')
    .map(({ quoted }) => `${quoted} = excluded.${quoted}`);
  const where = condition === '' ? '' : ` WHERE ${condition}`;
  return insertRows(
    table,
    group,
    sets.length === 0 ? 'DO NOTHING' : `DO UPDATE SET ${sets.join(', ')}${where}`,
  );
}

const isKey = (table: CatalogTable, column: CatalogColumn): boolean =>
  table.key.some(({ name }) => name === column.name);

function insertRows(table: CatalogTable, { columns, rows }: RowGroup, action: string): Statement {
  const element = elementOf(columns);
  const order = keyIn(table, columns).map((column) => inOrder(column, element(column)));
  return {
    text: `INSERT INTO ${table.quoted} AS t (${columnList(columns)})${overriding(columns)}
      SELECT ${columns.map(element).join(', ')}
      FROM ${unnestRows(columns)}
      ${order.length > 0 ? `ORDER BY ${order.join(', ')}` : ''}
      ON CONFLICT (${columnList(table.key)}) ${action}`,
    values: columns.map((_, index) => textArray(rows.map((row) => row[index] ?? null))),
  };
}

const elementOf =
  (columns: readonly CatalogColumn[]) =>
  (column: CatalogColumn): string =>
    `u.c${columns.indexOf(column) + 1}::${column.castType}`;

const unnestRows = (columns: readonly CatalogColumn[]): string =>
  `unnest(${columns.map((_, index) => `$${index + 1}::text[]`).join(', ')}) AS u(${columns.map((_, index) => `c${index + 1}`).join(', ')})`;

const inOrder = (column: CatalogColumn, expression: string): string =>
  `${expression}${column.collatable ? ' COLLATE "C"' : ''}`;

/** The key columns that a group carries, in key order. */
function keyIn(table: CatalogTable, columns: readonly CatalogColumn[]): readonly CatalogColumn[] {
  return table.key
    .map(({ name }) => columns.find((column) => column.name === name))
    .filter((column) => column !== undefined);
}

/** Deletes the child rows of these roots that are not among the rows to be written. */
export function deleteSurplus(root: CatalogTable, { child, roots, groups }: ChildRows): Statement {
  const parts = root.key.length;
  const kept = keptKeys(child, groups);
  const keptParts = child.key.length;
  return {
    text: `DELETE FROM ${child.quoted} t USING ${keyUnnest(parts, 1, 'k')}
      WHERE ${keyEquals(child.parent, 't', keyElements(root.key, 'k'))}
        AND NOT EXISTS (SELECT 1 FROM ${keyUnnest(keptParts, parts + 1, 's')}
          WHERE ${keyEquals(child.key, 't', keyElements(child.key, 's'))})`,
    values: [...keyValues(roots, parts), ...keyValues(kept, keptParts)],
  };
}

/** `rows`: how many it touches when none of them belongs to another record by now; absent: that cannot be. */
export interface DoorStatement extends Statement {
  readonly rows?: number;
}

/**
 * Writes child rows. Where the key of a child does not hold its parent's, a row can move from one record to another, and the two records have
 * fences of their own: a change of the first that was read before the move must not take the row back. It is taken only from a record whose fence
 * is not newer; whoever moved the row has changed both, so a newer change of the first record is on its way.
 *
 * That is seen only by a statement whose snapshot is younger than the other record's commit: so the rows are put in and locked before.
 */
export function upsertChildRows(
  layout: PostgresLayout,
  { collection, root }: CatalogCollection,
  child: CatalogChild,
  group: RowGroup,
): readonly DoorStatement[] {
  const fixed = child.parent.every((column) => isKey(child, column));
  if (fixed || keyIn(child, group.columns).length < child.key.length)
    return [upsertRows(child, group)];
  const mine = child.parent.map(({ quoted }) => `t.${quoted} = excluded.${quoted}`).join(' AND ');
  const fenceKey = (row: string): string =>
    keyText(
      keySpelling(
        root.key,
        child.parent.map(({ quoted }, index) => `${row}.${quoted}::${root.key[index]?.castType}`),
      ),
    );
  const name = quoteLiteral(collection);
  const taken = `EXISTS (SELECT 1 FROM ${layout.fence} theirs, ${layout.fence} ours
    WHERE theirs.collection = ${name} AND theirs.key = ${fenceKey('t')}
      AND ours.collection = ${name} AND ours.key = ${fenceKey('excluded')}
      AND (theirs.epoch, theirs.sequence) > (ours.epoch, ours.sequence))`;
  const upsert = upsertRows(child, group, `(${mine}) OR NOT ${taken}`);
  return [
    insertRows(child, group, 'DO NOTHING'),
    lockRows(child, group),
    { ...upsert, rows: group.rows.length },
  ];
}

/** Locks the rows with the keys of a group, in key order. */
function lockRows(table: CatalogTable, { columns, rows }: RowGroup): Statement {
  const key = keyIn(table, columns);
  const element = elementOf(key);
  const at = key.map((column) => columns.indexOf(column));
  return {
    text: `SELECT 1 FROM ${unnestRows(key)} JOIN ${table.quoted} t ON ${keyEquals(key, 't', key.map(element))}
      ORDER BY ${key.map((column) => inOrder(column, `t.${column.quoted}`)).join(', ')} FOR NO KEY UPDATE OF t`,
    values: at.map((index) => textArray(rows.map((row) => row[index] ?? null))),
  };
}

function keptKeys(child: CatalogChild, groups: readonly RowGroup[]): readonly Key[] {
  return groups.flatMap(({ columns, rows }) => {
    const at = child.key.map(({ name }) => columns.findIndex((column) => column.name === name));
    return rows.map((row) => at.map((index) => row[index] ?? ''));
  });
}

export function columnList(columns: readonly CatalogColumn[]): string {
  return columns.map(({ quoted }) => quoted).join(', ');
}

export function overriding(columns: readonly CatalogColumn[]): string {
  return columns.some(({ identity }) => identity === 'always') ? ' OVERRIDING SYSTEM VALUE' : '';
}
