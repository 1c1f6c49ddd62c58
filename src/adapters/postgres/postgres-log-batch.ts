import { ChangeoverError } from '../../errors/index.ts';
import { type Change, encodeKey, type Key } from '../../record/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import { encodeRows } from './postgres-copy-stream.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { tableRows } from './postgres-door-rows.ts';
import { columnList, keyValues } from './postgres-door-sql.ts';
import { splitStatements } from './postgres-door-statements.ts';
import type { Statement } from './postgres-flight.ts';
import { keyElements, keyEquals, keyUnnest } from './postgres-key-sql.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import { textArray } from './postgres-text.ts';

/** The changes of one collection in a batch, one per key. */
export interface LogPart {
  readonly collection: CatalogCollection;
  readonly changes: readonly Change[];
  /** Encoded keys, in the order of `changes`. */
  readonly fenceKeys: readonly string[];
}

/** Parts in the order in which the collections first come. */
export async function partsOf(
  { catalog }: PostgresStoreParts,
  changes: readonly Change[],
): Promise<readonly LogPart[]> {
  const found = new Map<string, Change[]>();
  for (const change of changes) {
    const list = found.get(change.collection);
    if (list) list.push(change);
    else found.set(change.collection, [change]);
  }
  return Promise.all(
    [...found].map(async ([name, list]) => ({
      collection: await catalog.collection(name),
      changes: list,
      fenceKeys: list.map(({ key }) => fenceKey(key)),
    })),
  );
}

/** What JSON leaves as it is. */
const plain = /^[\w .:+-]*$/;

/** `encodeKey`, quicker for the usual keys. */
function fenceKey(key: Key): string {
  const [only = ''] = key;
  return key.length === 1 && plain.test(only) ? `["${only}"]` : encodeKey(key);
}

/**
 * Raises the fences of all these parts in the order in which `apply` locks them too. Equal ones are raised as well: a transaction comes in parts.
 * `strict`: fails where a fence is higher (`isStale`), so that nothing behind it in the same flight is run. `telling`: returns collection and
 * key of those that it raised, and locks the others.
 */
export function raiseLogFences(
  layout: PostgresLayout,
  parts: readonly LogPart[],
  manner: 'strict' | 'telling',
): Statement {
  const changes = parts.flatMap((part) => part.changes);
  const newer = '(f.epoch, f.sequence) <= (excluded.epoch, excluded.sequence)';
  const sequence =
    // NULL is what the table refuses.
    manner === 'strict' ? `CASE WHEN ${newer} THEN excluded.sequence END` : 'excluded.sequence';
  return {
    text: `INSERT INTO ${layout.fence} AS f (collection, key, epoch, sequence, deleted)
      SELECT u.collection, u.key, u.epoch, u.sequence, u.deleted
      FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::boolean[]) AS u(collection, key, epoch, sequence, deleted)
      ORDER BY u.collection COLLATE "C", u.key COLLATE "C"
      ON CONFLICT (collection, key) DO UPDATE
        SET epoch = excluded.epoch, sequence = ${sequence}, deleted = excluded.deleted
      ${manner === 'strict' ? '' : `WHERE ${newer} RETURNING f.collection, f.key`}`,
    values: [
      textArray(changes.map(({ collection }) => collection)),
      textArray(parts.flatMap(({ fenceKeys }) => fenceKeys)),
      bareArray(changes.map(({ version }) => version.epoch)),
      bareArray(changes.map(({ version }) => version.sequence)),
      bareArray(changes.map(({ value }) => value === null)),
    ],
  };
}

/** True for the error by which strict fences refuse. */
export function isStale(error: unknown): boolean {
  if (!(error instanceof ChangeoverError)) return false;
  const { sqlState, table, column } = error.data;
  return sqlState === '23502' && table === 'fence' && column === 'sequence';
}

const bareArray = (values: readonly (number | bigint | boolean)[]): string =>
  `{${values.join(',')}}`;

/** Rows that are all new go in by COPY, with fences that are all new: a third of the work of the upserts. Fails where one of them is not new. */
export function copyPart(
  layout: PostgresLayout,
  { collection, changes, fenceKeys }: LogPart,
): { readonly fences: Statement; readonly rows: readonly Statement[] } {
  const { root } = collection;
  const records = changes.flatMap(({ key, value }) =>
    value === null ? [] : [{ key, record: value }],
  );
  const fences = changes.map(({ version }, at) => [
    collection.collection,
    fenceKeys[at] ?? '',
    String(version.epoch),
    String(version.sequence),
    'f',
  ]);
  return {
    fences: {
      text: `COPY ${layout.fence} (collection, key, epoch, sequence, deleted) FROM STDIN`,
      copy: [...encodeRows(fences)],
    },
    rows: tableRows(collection, records).roots.map(({ columns, rows }) => ({
      text: `COPY ${root.quoted} (${columnList(columns)}) FROM STDIN`,
      copy: [...encodeRows(rows)],
    })),
  };
}

const SAMPLE = 32;

/** Whether any of a few keys of the part has a row: one boolean. */
export function samplePresence({ collection, changes }: LogPart): Statement {
  const { root } = collection;
  const step = Math.max(1, Math.floor(changes.length / SAMPLE));
  const keys = changes.filter((_, at) => at % step === 0).map(({ key }) => key);
  const parts = root.key.length;
  return {
    text: `SELECT EXISTS (SELECT 1 FROM ${keyUnnest(parts, 1, 'k')}
      JOIN ${root.quoted} t ON ${keyEquals(root.key, 't', keyElements(root.key, 'k'))})`,
    values: keyValues(keys, parts),
  };
}

/** Rows of all parts. Records are written in the order of the parts and deleted in the opposite one. */
export function rowsOf(
  layout: PostgresLayout,
  parts: readonly LogPart[],
  copied: ReadonlyMap<LogPart, readonly Statement[]>,
  deletesLast: boolean,
): readonly Statement[] {
  const deletes: Statement[] = [];
  const upserts: Statement[] = [];
  const split = parts.map((part) =>
    copied.has(part) ? null : splitStatements(layout, part.collection, part.changes),
  );
  parts.forEach((part, at) => {
    upserts.push(...(copied.get(part) ?? split[at]?.upserts ?? []));
  });
  for (const one of split.toReversed()) deletes.push(...(one?.deletes ?? []));
  return deletesLast ? [...upserts, ...deletes] : [...deletes, ...upserts];
}
