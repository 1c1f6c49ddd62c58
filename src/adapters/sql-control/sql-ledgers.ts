import type {
  EvidenceCounts,
  EvidenceLedger,
  Mismatch,
  MismatchKind,
  MismatchLedger,
  MismatchStatus,
} from '../../control/index.ts';
import type { FieldDifference } from '../../record/index.ts';
import { evidenceCounts } from './control-schema.ts';
import type { ControlTables } from './control-tables.ts';
import type { SqlControlEngine } from './sql-control-engine.ts';

/** Rows of one statement: 11 columns each stay below SQLite's 32 766 and PostgreSQL's 65 535 parameters. */
const rowsPerStatement = 500;

/** Rows by their key, in key order: two processes then lock rows in the same order and cannot deadlock. */
function byKey<T>(
  rows: readonly T[],
  keyOf: (row: T) => string,
  join: (a: T, b: T) => T,
): readonly T[] {
  const merged = new Map<string, T>();
  for (const row of rows) {
    const key = keyOf(row);
    const present = merged.get(key);
    merged.set(key, present === undefined ? row : join(present, row));
  }
  return [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

function* batches<T>(rows: readonly T[]): Generator<T[]> {
  for (let at = 0; at < rows.length; at += rowsPerStatement) {
    yield rows.slice(at, at + rowsPerStatement);
  }
}

/** Counts that several processes add to the same rows. */
export function createSqlEvidence(
  engine: SqlControlEngine,
  ready: () => Promise<void>,
): EvidenceLedger {
  return {
    async add(migration, counts) {
      if (counts.length === 0) return;
      await ready();
      const rows = byKey(
        counts,
        (row) => JSON.stringify([row.collection, row.detector, row.minute]),
        sum,
      ).map((row) => evidenceRow(migration, row));
      await engine.transaction('adding evidence', async (tx) => {
        for (const values of batches(rows)) {
          await tx
            .insertInto('evidence')
            .values(values)
            .onConflict((conflict) =>
              conflict
                .columns(['migration', 'collection', 'detector', 'minute'])
                .doUpdateSet((eb) =>
                  Object.fromEntries(
                    evidenceCounts.map((count) => [
                      count,
                      eb(`evidence.${count}`, '+', eb.ref(`excluded.${count}`)),
                    ]),
                  ),
                ),
            )
            .execute();
        }
      });
    },

    async since(migration, fromMinute) {
      await ready();
      const rows = await engine.run('reading evidence', (db) =>
        db
          .selectFrom('evidence')
          .selectAll()
          .where('migration', '=', migration)
          .where('minute', '>=', fromMinute)
          .orderBy('minute')
          .orderBy('collection')
          .orderBy('detector')
          .execute(),
      );
      return rows.map(({ migration: _, timed_out: timedOut, ...row }) => ({ ...row, timedOut }));
    },

    async clear(migration) {
      await ready();
      await engine.transaction('clearing evidence', (db) =>
        db.deleteFrom('evidence').where('migration', '=', migration).execute(),
      );
    },
  };
}

const sum = (a: EvidenceCounts, b: EvidenceCounts): EvidenceCounts => ({
  ...a,
  compared: a.compared + b.compared,
  matched: a.matched + b.matched,
  suspect: a.suspect + b.suspect,
  confirmed: a.confirmed + b.confirmed,
  shed: a.shed + b.shed,
  timedOut: a.timedOut + b.timedOut,
  failed: a.failed + b.failed,
});

const evidenceRow = (
  migration: string,
  { timedOut, ...counts }: EvidenceCounts,
): ControlTables['evidence'] => ({ migration, ...counts, timed_out: timedOut });

/** One row for each key that differs, or did. */
export function createSqlMismatches(
  engine: SqlControlEngine,
  ready: () => Promise<void>,
): MismatchLedger {
  return {
    async record(migration, mismatches) {
      if (mismatches.length === 0) return;
      await ready();
      const rows = byKey(
        mismatches,
        (row) => JSON.stringify([row.collection, row.key]),
        (_, later) => later,
      ).map((row) => mismatchRow(migration, row));
      await engine.transaction('recording mismatches', async (tx) => {
        for (const values of batches(rows)) {
          await tx
            .insertInto('mismatch')
            .values(values)
            .onConflict((conflict) =>
              // Detector and first seen stay: they say what noticed it first, and when.
              conflict.columns(['migration', 'collection', 'key']).doUpdateSet((eb) => ({
                kind: eb.ref('excluded.kind'),
                status: eb.ref('excluded.status'),
                differences: eb.ref('excluded.differences'),
                last_seen_ms: eb.ref('excluded.last_seen_ms'),
                rechecks: eb.ref('excluded.rechecks'),
                note: eb.ref('excluded.note'),
              })),
            )
            .execute();
        }
      });
    },

    async drop(migration, keys) {
      if (keys.length === 0) return;
      await ready();
      const ordered = byKey(
        keys,
        (row) => JSON.stringify([row.collection, row.key]),
        (first) => first,
      );
      await engine.transaction('dropping mismatches', async (tx) => {
        for (const batch of batches(ordered)) {
          for (const collection of new Set(batch.map((row) => row.collection))) {
            const dropped = batch.filter((row) => row.collection === collection);
            await tx
              .deleteFrom('mismatch')
              .where('migration', '=', migration)
              .where('collection', '=', collection)
              .where(
                'key',
                'in',
                dropped.map((row) => row.key),
              )
              .execute();
          }
        }
      });
    },

    async list(migration, { status, limit }) {
      await ready();
      const rows = await engine.run('listing mismatches', (db) =>
        db
          .selectFrom('mismatch')
          .selectAll()
          .where('migration', '=', migration)
          .$if(status !== undefined, (query) => query.where('status', '=', status as string))
          .orderBy('first_seen_ms')
          .orderBy('collection')
          .orderBy('key')
          .limit(limit)
          .execute(),
      );
      return rows.map(toMismatch);
    },

    async count(migration, status) {
      await ready();
      const { rows } = await engine.run('counting mismatches', (db) =>
        db
          .selectFrom('mismatch')
          .select((eb) => eb.fn.countAll<number>().as('rows'))
          .where('migration', '=', migration)
          .where('status', '=', status)
          .executeTakeFirstOrThrow(),
      );
      return Number(rows);
    },
  };
}

const mismatchRow = (migration: string, row: Mismatch): ControlTables['mismatch'] => ({
  migration,
  collection: row.collection,
  key: row.key,
  kind: row.kind,
  status: row.status,
  detector: row.detector,
  differences: JSON.stringify(row.differences),
  first_seen_ms: row.firstSeenMs,
  last_seen_ms: row.lastSeenMs,
  rechecks: row.rechecks,
  note: row.note,
});

const toMismatch = (row: ControlTables['mismatch']): Mismatch => ({
  collection: row.collection,
  key: row.key,
  kind: row.kind as MismatchKind,
  status: row.status as MismatchStatus,
  detector: row.detector,
  differences: JSON.parse(row.differences) as readonly FieldDifference[],
  firstSeenMs: row.first_seen_ms,
  lastSeenMs: row.last_seen_ms,
  rechecks: row.rechecks,
  note: row.note,
});
