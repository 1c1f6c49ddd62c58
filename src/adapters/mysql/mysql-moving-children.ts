import { ChangeoverError } from '../../errors/index.ts';
import {
  type Change,
  compareVersions,
  encodeKey,
  type Key,
  type Scalar,
  type Version,
} from '../../record/index.ts';
import type { CatalogChild, CatalogCollection } from './mysql-catalog.ts';
import type { ChildRows, RowGroup } from './mysql-door-rows.ts';
import { insertOrLockRows, upsertRows } from './mysql-door-sql.ts';
import { fenceIds, fencesOf } from './mysql-fences.ts';
import { comparableKey, keyAmong } from './mysql-key-sql.ts';
import { decodedValue, selectExpression } from './mysql-literals.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlTransaction } from './mysql-session.ts';

/*
 * Where the key of a child does not hold its parent's, a row can move from one record to another, and the two records have
 * fences of their own: a change of the first that was read before the move must not take the row back. It is taken only from a record whose fence
 * is not newer; whoever moved the row has changed both, so a newer change of the first record is on its way.
 *
 * That is seen only by a statement that is younger than the other record's commit: so the rows are put in or locked first, and looked at then.
 */

/** Child rows that have to be looked at before they are written. */
export interface MovingRows {
  readonly child: CatalogChild;
  readonly group: RowGroup;
}

/** The groups of a child that may belong to another record; the others are upserted as they are. */
export function movingGroups({ child, groups }: ChildRows): readonly RowGroup[] {
  const has = (columns: CatalogChild['columns'], name: string): boolean =>
    columns.some((column) => column.name === name);
  if (child.parent.every(({ name }) => has(child.key, name))) return [];
  return groups.filter(({ columns }) => child.key.every(({ name }) => has(columns, name)));
}

/** Inserts the rows that are absent, locks the others. */
export function lockMoving({ child, group }: MovingRows): readonly string[] {
  return insertOrLockRows(child, group);
}

/** Writes the locked rows that may be taken. Returns how many belonged to other records. */
export async function writeMoving(
  transaction: MysqlTransaction,
  layout: MysqlLayout,
  collection: CatalogCollection,
  moving: readonly MovingRows[],
  changes: readonly Pick<Change, 'key' | 'version'>[],
): Promise<number> {
  if (moving.length === 0) return 0;
  const ours = new Map(changes.map(({ key, version }) => [encodeKey(key), version]));
  let others = 0;
  for (const { child, group } of moving) {
    const owners = await ownersOf(transaction, collection, child, group);
    const foreign = group.rows.filter((row) => {
      const owner = owners.get(rowKey(child, group, row));
      return (
        owner !== undefined &&
        encodeKey(owner) !== encodeKey(parentIn(collection, child, group, row))
      );
    });
    others += foreign.length;
    const keys = foreign.map((row) => owners.get(rowKey(child, group, row)) as Key);
    const ids = await fenceIds((some) => transaction.run(some), collection, keys);
    const fences = await fencesOf(transaction, layout, collection.collection, ids);
    const taken = new Set(
      foreign.filter((row, at) => {
        const theirs = fences.get(ids[at] ?? '')?.version;
        const mine = ours.get(encodeKey(givenParent(child, group, row)));
        return theirs !== undefined && mine !== undefined && isNewer(theirs, mine);
      }),
    );
    const rows = group.rows.filter((row) => !taken.has(row));
    if (rows.length > 0) await transaction.run(upsertRows(child, { ...group, rows }));
  }
  return others;
}

/** For follower transactions whose version is not known yet. */
export function refuseMoving(collection: string, others: number): void {
  if (others === 0) return;
  throw new ChangeoverError(
    'STORE_CONFLICT',
    `A child row of "${collection}" moves between records: which change is the newer one is known only with its version.`,
  );
}

const isNewer = (a: Version, b: Version): boolean => compareVersions(a, b) > 0;

function givenParent(child: CatalogChild, { columns }: RowGroup, row: readonly Scalar[]): Key {
  return child.parent.map(
    ({ name }) => row[columns.findIndex((column) => column.name === name)] ?? '',
  );
}

function parentIn(
  { root }: CatalogCollection,
  child: CatalogChild,
  group: RowGroup,
  row: readonly Scalar[],
): Key {
  return comparableKey(root.key, givenParent(child, group, row));
}

function rowKey(child: CatalogChild, { columns }: RowGroup, row: readonly Scalar[]): string {
  const given = child.key.map(
    ({ name }) => row[columns.findIndex((column) => column.name === name)] ?? '',
  );
  return encodeKey(comparableKey(child.key, given));
}

/** Encoded child key → key of the record that the row belongs to; both comparable. */
async function ownersOf(
  transaction: MysqlTransaction,
  { root }: CatalogCollection,
  child: CatalogChild,
  group: RowGroup,
): Promise<ReadonlyMap<string, Key>> {
  const keys = group.rows.map((row) =>
    child.key.map(
      ({ name }) => row[group.columns.findIndex((column) => column.name === name)] ?? '',
    ),
  );
  const list = [...child.key, ...child.parent].map((column) => selectExpression(column, 't'));
  const { rows } = await transaction.query(
    `SELECT ${list.join(', ')} FROM ${child.quoted} t WHERE ${keyAmong(child.key, 't', keys)}`,
  );
  const width = child.key.length;
  return new Map(
    rows.map((row) => {
      const key = child.key.map((column, at) => decodedValue(column, row[at] ?? null) ?? '');
      const parent = child.parent.map(
        (column, at) => decodedValue(column, row[width + at] ?? null) ?? '',
      );
      return [encodeKey(comparableKey(child.key, key)), comparableKey(root.key, parent)] as const;
    }),
  );
}
