import { type Expression, type SqlBool, sql } from 'kysely';
import {
  agreesNow,
  decided,
  firstLine,
  type Mismatch,
  type MismatchCondition,
  type MismatchFilter,
  type MismatchLedger,
  type MismatchLine,
  type MismatchPlace,
  type MismatchTally,
  seenAgain,
  seenSince,
  unresolvedStatuses,
} from '../../control/index.ts';
import type { ControlTables } from './control-tables.ts';
import { batches, byKey } from './row-batches.ts';
import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';
import { lineOf, rowOf, tallyOf } from './stored-mismatch.ts';

type Row = ControlTables['mismatch'];

/** One row for each key that differs, or did. */
export function createSqlMismatches(
  engine: SqlControlEngine,
  ready: () => Promise<void>,
): MismatchLedger {
  return {
    ...sqlChanges(engine, ready),

    async find(migration, { collection, key }) {
      await ready();
      const row = await engine.run('looking for a mismatch', (db) =>
        db
          .selectFrom('mismatch')
          .selectAll()
          .where('migration', '=', migration)
          .where('collection', '=', collection)
          .where('key', '=', key)
          .executeTakeFirst(),
      );
      return row === undefined ? null : lineOf(row);
    },

    async list(migration, filter) {
      await ready();
      const rows = await engine.run('listing mismatches', (db) =>
        db
          .selectFrom('mismatch')
          .selectAll()
          .where('migration', '=', migration)
          .where(matching(filter, engine.clock.now()))
          .orderBy(filter.lastSeen ? 'last_seen_ms' : 'first_seen_ms')
          .orderBy('collection')
          .orderBy('key')
          .limit(filter.limit)
          .execute(),
      );
      return rows.map(lineOf);
    },

    async count(migration, status) {
      await ready();
      const { rows } = await engine.run('counting mismatches', (db) =>
        db
          .selectFrom('mismatch')
          .select((eb) => eb.fn.countAll<number>().as('rows'))
          .where('migration', '=', migration)
          .where(inCondition(status, engine.clock.now()))
          .executeTakeFirstOrThrow(),
      );
      return Number(rows);
    },

    async tally(migration) {
      await ready();
      const nowMs = engine.clock.now();
      const rows = await engine.run('counting mismatches by class', (db) =>
        db
          .selectFrom('mismatch')
          .select((eb) => [
            'collection',
            'kind',
            'class',
            'fields',
            sql<string>`CASE WHEN ${expired(nowMs)} THEN 'open' ELSE status END`.as('standing'),
            eb.fn.countAll<number>().as('rows'),
          ])
          .where('migration', '=', migration)
          .groupBy(['collection', 'kind', 'class', 'fields', 'standing'])
          .execute(),
      );
      return rows
        .map((row): MismatchTally => tallyOf({ ...row, status: row.standing }, Number(row.rows)))
        .sort((a, b) => b.count - a.count || (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    },
  };
}

type Changes = Pick<MismatchLedger, 'record' | 'gone' | 'drop' | 'decide'>;

function sqlChanges(engine: SqlControlEngine, ready: () => Promise<void>): Changes {
  return {
    async record(migration, mismatches) {
      if (mismatches.length === 0) return [];
      await ready();
      const seen = byKey(mismatches, idOf, (_, later) => later);
      return engine.transaction('recording mismatches', async (tx) => {
        const recurring: MismatchLine[] = [];
        for (const batch of batches(seen)) {
          const next = merged(migration, batch, await taken(tx, migration, batch));
          await save(tx, migration, next.changed);
          recurring.push(...next.recurring);
        }
        return recurring;
      });
    },

    async gone(migration, places) {
      if (places.length === 0) return;
      await ready();
      await engine.transaction('recording what agrees', async (tx) => {
        for (const batch of batches(byKey(places, idOf, (first) => first))) {
          const looked = new Map(batch.map((place) => [idOf(place), place]));
          const lines = (await held(tx, migration, batch)).filter(
            (line) => !seenSince(line, looked.get(idOf(line)) ?? {}),
          );
          await remove(
            tx,
            migration,
            lines.filter((line) => agreesNow(line) === null),
          );
          await save(
            tx,
            migration,
            lines.flatMap((line) => agreesNow(line) ?? []),
          );
        }
      });
    },

    async drop(migration, places) {
      if (places.length === 0) return;
      await ready();
      await engine.transaction('dropping mismatches', async (tx) => {
        for (const batch of batches(byKey(places, idOf, (first) => first)))
          await remove(tx, migration, batch);
      });
    },

    async decide(migration, places, decision) {
      if (places.length === 0) return [];
      await ready();
      return engine.transaction('deciding on mismatches', async (tx) => {
        const done: MismatchLine[] = [];
        for (const batch of batches(byKey(places, idOf, (first) => first))) {
          const lines = (await held(tx, migration, batch)).map((line) => decided(line, decision));
          await save(tx, migration, lines);
          done.push(...lines);
        }
        return done;
      });
    },
  };
}

const idOf = ({ collection, key }: MismatchPlace): string => JSON.stringify([collection, key]);

/** What was seen, upon what is there. */
function merged(
  migration: string,
  seen: readonly Mismatch[],
  present: ReadonlyMap<string, MismatchLine>,
): { readonly changed: readonly MismatchLine[]; readonly recurring: readonly MismatchLine[] } {
  const text = (line: MismatchLine): string => JSON.stringify(rowOf(migration, line));
  const changed: MismatchLine[] = [];
  const recurring: MismatchLine[] = [];
  for (const one of seen) {
    const line = present.get(idOf(one));
    if (line === undefined) continue;
    // A line that has just been inserted comes out as it is.
    const next = seenAgain(line, one);
    if (text(next) !== text(line)) changed.push(next);
    if (next.status === 'recurring' && line.status !== 'recurring') recurring.push(next);
  }
  return { changed, recurring };
}

/**
 * Inserts the lines that are new, and answers with all of them as they stand, locked: an update that changes nothing takes the lock in both
 * databases, in the order of the keys, and nobody can come between this look and what is written upon it.
 */
async function taken(
  tx: ControlTransaction,
  migration: string,
  seen: readonly Mismatch[],
): Promise<ReadonlyMap<string, MismatchLine>> {
  const rows = await tx
    .insertInto('mismatch')
    .values(seen.map((one) => rowOf(migration, firstLine(one))))
    .onConflict((conflict) =>
      conflict
        .columns(['migration', 'collection', 'key'])
        .doUpdateSet((eb) => ({ migration: eb.ref('excluded.migration') })),
    )
    .returningAll()
    .execute();
  return new Map(rows.map(lineOf).map((line) => [idOf(line), line]));
}

/** The lines of these places, locked. */
async function held(
  tx: ControlTransaction,
  migration: string,
  places: readonly MismatchPlace[],
): Promise<readonly MismatchLine[]> {
  const found: MismatchLine[] = [];
  for (const [collection, keys] of keysByCollection(places)) {
    const rows = await tx
      .updateTable('mismatch')
      .set({ migration })
      .where('migration', '=', migration)
      .where('collection', '=', collection)
      .where('key', 'in', keys)
      .returningAll()
      .execute();
    found.push(...rows.map(lineOf));
  }
  return found;
}

async function remove(
  tx: ControlTransaction,
  migration: string,
  places: readonly MismatchPlace[],
): Promise<void> {
  for (const [collection, keys] of keysByCollection(places))
    await tx
      .deleteFrom('mismatch')
      .where('migration', '=', migration)
      .where('collection', '=', collection)
      .where('key', 'in', keys)
      .execute();
}

async function save(
  tx: ControlTransaction,
  migration: string,
  lines: readonly MismatchLine[],
): Promise<void> {
  if (lines.length === 0) return;
  await tx
    .insertInto('mismatch')
    .values(lines.map((line) => rowOf(migration, line)))
    .onConflict((conflict) =>
      conflict
        .columns(['migration', 'collection', 'key'])
        .doUpdateSet((eb) =>
          Object.fromEntries(savedColumns.map((name) => [name, eb.ref(`excluded.${name}`)])),
        ),
    )
    .execute();
}

const savedColumns = [
  'kind',
  'status',
  'differences',
  'last_seen_ms',
  'rechecks',
  'note',
  'class',
  'fields',
  'owner',
  'ticket',
  'expires_ms',
  'detail',
] as const satisfies readonly (keyof Row)[];

function keysByCollection(
  places: readonly MismatchPlace[],
): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { collection, key } of places)
    found.set(collection, [...(found.get(collection) ?? []), key]);
  return found;
}

const expired = (nowMs: number) =>
  sql<SqlBool>`(status = 'explained' AND coalesce(expires_ms, 0) <= ${nowMs})`;

function inCondition(condition: MismatchCondition, nowMs: number): Expression<SqlBool> {
  if (condition !== 'unexplained') return sql<SqlBool>`status = ${condition}`;
  const statuses = sql.join(unresolvedStatuses.map((one) => sql`${one}`));
  return sql<SqlBool>`(status IN (${statuses}) OR ${expired(nowMs)})`;
}

function matching(filter: MismatchFilter, nowMs: number): Expression<SqlBool> {
  const { status, collection, field, detector, after, lastSeen } = filter;
  const conditions: Expression<SqlBool>[] = [sql<SqlBool>`1 = 1`];
  if (status !== undefined) conditions.push(inCondition(status, nowMs));
  if (collection !== undefined) conditions.push(sql<SqlBool>`collection = ${collection}`);
  if (filter.class !== undefined) conditions.push(sql<SqlBool>`class = ${filter.class}`);
  if (detector !== undefined) conditions.push(sql<SqlBool>`detector = ${detector}`);
  if (field !== undefined)
    conditions.push(sql<SqlBool>`fields LIKE ${likeField(field)} ESCAPE '!'`);
  if (after !== undefined) conditions.push(behind('first_seen_ms', after.firstSeenMs, after));
  if (lastSeen?.after)
    conditions.push(behind('last_seen_ms', lastSeen.after.lastSeenMs, lastSeen.after));
  return sql<SqlBool>`${sql.join(conditions, sql` AND `)}`;
}

function behind(
  column: 'first_seen_ms' | 'last_seen_ms',
  ms: number,
  { collection, key }: MismatchPlace,
): Expression<SqlBool> {
  const time = sql.ref(column);
  const place = sql`(collection > ${collection} OR (collection = ${collection} AND key > ${key}))`;
  return sql<SqlBool>`(${time} > ${ms} OR (${time} = ${ms} AND ${place}))`;
}

/** The beginning of a pair in `fields`: quotes and backslashes inside a name are written as JSON writes them, so nothing else looks so. */
const likeField = (field: string): string =>
  `%[${JSON.stringify(field).replace(/[!%_]/g, '!$&')},%`;
