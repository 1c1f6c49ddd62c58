import { sql, type Transaction } from 'kysely';
import {
  type EvidenceDelta,
  type EvidenceKept,
  type EvidenceLatency,
  type EvidenceLedger,
  subjectLength,
} from '../../control/index.ts';
import type { Side } from '../../migration/index.ts';
import type { ControlTables } from './control-tables.ts';
import { evidenceCounts } from './evidence-columns.ts';
import { batches, byKey } from './row-batches.ts';
import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';

/** As long as the step lasts: the table of earlier releases beside the one that takes its place. */
type FormerTables = ControlTables & {
  readonly evidence: Omit<ControlTables['evidence_count'], 'fingerprint' | 'subjects'>;
};

/**
 * A step of the schema: rows of evidence say by which comparator they were counted. What earlier releases counted stays, by none that is known, and
 * so proves nothing. SQLite cannot change a primary key: the table is made anew.
 */
export async function giveEvidenceComparators(tx: ControlTransaction): Promise<void> {
  let next = tx.schema
    .createTable('evidence_count')
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('collection', 'text', (column) => column.notNull())
    .addColumn('detector', 'text', (column) => column.notNull())
    .addColumn('minute', 'bigint', (column) => column.notNull())
    .addColumn('fingerprint', 'text', (column) => column.notNull());
  for (const count of evidenceCounts)
    next = next.addColumn(count, 'bigint', (column) => column.notNull());
  await next
    .addColumn('subjects', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('evidence_count_key', [
      'migration',
      'collection',
      'detector',
      'minute',
      'fingerprint',
    ])
    .execute();
  const old = tx as unknown as Transaction<FormerTables>;
  const copied = ['migration', 'collection', 'detector', 'minute', ...evidenceCounts] as const;
  await old
    .insertInto('evidence_count')
    .columns([...copied, 'fingerprint', 'subjects'])
    .expression((eb) =>
      eb
        .selectFrom('evidence')
        .select([...copied, sql<string>`''`.as('fingerprint'), sql<string>`''`.as('subjects')]),
    )
    .execute();
  await tx.schema.dropTable('evidence').execute();
  await tx.schema
    .createTable('evidence_latency')
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('minute', 'bigint', (column) => column.notNull())
    .addColumn('collection', 'text', (column) => column.notNull())
    .addColumn('side', 'text', (column) => column.notNull())
    .addColumn('bucket', 'integer', (column) => column.notNull())
    .addColumn('reads', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('evidence_latency_key', [
      'migration',
      'minute',
      'collection',
      'side',
      'bucket',
    ])
    .execute();
}

type Ready = () => Promise<void>;

/** Counts that several processes add to the same rows. */
export function createSqlEvidence(engine: SqlControlEngine, ready: Ready): EvidenceLedger {
  return {
    ...countMethods(engine, ready),
    ...latencyMethods(engine, ready),

    async subjects(migration, { collection, detector, fingerprint, fromMinute }) {
      await ready();
      const rows = await engine.run('reading subjects', (db) =>
        db
          .selectFrom('evidence_count')
          .select(['minute', 'subjects'])
          .where('migration', '=', migration)
          .where('collection', '=', collection)
          .where('detector', '=', detector)
          .where('fingerprint', '=', fingerprint)
          .where('minute', '>=', fromMinute)
          .where('subjects', '<>', '')
          .orderBy('minute')
          .execute(),
      );
      return rows.map(({ minute, subjects }) => ({ minute, packed: subjects }));
    },

    async prune(migration, kept) {
      await ready();
      await engine.transaction('forgetting evidence', async (tx) => {
        await tx
          .deleteFrom('evidence_latency')
          .where('migration', '=', migration)
          .where('minute', '<', kept.latencyFromMinute)
          .execute();
        await pruneSubjects(tx, migration, kept);
      });
    },

    async clear(migration) {
      await ready();
      await engine.transaction('clearing evidence', async (tx) => {
        await tx.deleteFrom('evidence_count').where('migration', '=', migration).execute();
        await tx.deleteFrom('evidence_latency').where('migration', '=', migration).execute();
      });
    },
  };
}

function countMethods(
  engine: SqlControlEngine,
  ready: Ready,
): Pick<EvidenceLedger, 'add' | 'since'> {
  return {
    async add(migration, deltas) {
      if (deltas.length === 0) return;
      await ready();
      const rows = byKey(
        deltas.map((delta) => evidenceRow(migration, delta)),
        keyOf,
        sum,
      );
      await engine.transaction('adding evidence', async (tx) => {
        for (const values of batches(rows)) {
          await tx
            .insertInto('evidence_count')
            .values(values)
            .onConflict((conflict) =>
              conflict
                .columns(['migration', 'collection', 'detector', 'minute', 'fingerprint'])
                .doUpdateSet((eb) => ({
                  ...Object.fromEntries(
                    evidenceCounts.map((count) => [
                      count,
                      eb(`evidence_count.${count}`, '+', eb.ref(`excluded.${count}`)),
                    ]),
                  ),
                  subjects: eb('evidence_count.subjects', '||', eb.ref('excluded.subjects')),
                })),
            )
            .execute();
        }
      });
    },

    async since(migration, fromMinute) {
      await ready();
      const rows = await engine.run('reading evidence', (db) =>
        db
          .selectFrom('evidence_count')
          .select(['collection', 'detector', 'minute', 'fingerprint', ...evidenceCounts])
          .where('migration', '=', migration)
          .where('minute', '>=', fromMinute)
          .orderBy('minute')
          .orderBy('collection')
          .orderBy('detector')
          .orderBy('fingerprint')
          .execute(),
      );
      return rows.map(({ timed_out: timedOut, ...row }) => ({ ...row, timedOut }));
    },
  };
}

function latencyMethods(
  engine: SqlControlEngine,
  ready: Ready,
): Pick<EvidenceLedger, 'addLatencies' | 'latencies'> {
  return {
    async addLatencies(migration, latencies) {
      const single = latencies.flatMap(({ collection, side, minute, buckets }) =>
        [...buckets].map(([bucket, reads]) => ({
          migration,
          minute,
          collection,
          side,
          bucket,
          reads,
        })),
      );
      if (single.length === 0) return;
      await ready();
      const rows = byKey(
        single,
        (row) => JSON.stringify([row.minute, row.collection, row.side, row.bucket]),
        (a, b) => ({ ...a, reads: a.reads + b.reads }),
      );
      await engine.transaction('adding latencies', async (tx) => {
        for (const values of batches(rows))
          await tx
            .insertInto('evidence_latency')
            .values(values)
            .onConflict((conflict) =>
              conflict
                .columns(['migration', 'minute', 'collection', 'side', 'bucket'])
                .doUpdateSet((eb) => ({
                  reads: eb('evidence_latency.reads', '+', eb.ref('excluded.reads')),
                })),
            )
            .execute();
      });
    },

    async latencies(migration, fromMinute) {
      await ready();
      const rows = await engine.run('reading latencies', (db) =>
        db
          .selectFrom('evidence_latency')
          .select(({ fn }) => [
            'collection',
            'side',
            'bucket',
            fn.sum<number>('reads').as('reads'),
            fn.max('minute').as('newest'),
          ])
          .where('migration', '=', migration)
          .where('minute', '>=', fromMinute)
          .groupBy(['collection', 'side', 'bucket'])
          .orderBy('collection')
          .orderBy('side')
          .orderBy('bucket')
          .execute(),
      );
      const found = new Map<string, EvidenceLatency & { readonly buckets: Map<number, number> }>();
      for (const { collection, side, bucket, reads, newest } of rows) {
        const id = JSON.stringify([collection, side]);
        const old = found.get(id);
        const minute = Math.max(old?.minute ?? 0, Number(newest));
        const buckets = old?.buckets ?? new Map<number, number>();
        buckets.set(bucket, Number(reads));
        found.set(id, { collection, side: side as Side, minute, buckets });
      }
      return [...found.values()];
    },
  };
}

/** Empties the oldest rows of each collection and detector that come behind `subjectsMax` newer subjects; their counts stay. */
async function pruneSubjects(
  tx: ControlTransaction,
  migration: string,
  { subjectsMax }: EvidenceKept,
): Promise<void> {
  const rows = await tx
    .selectFrom('evidence_count')
    .select(['collection', 'detector', 'minute', sql<number>`length(subjects)`.as('characters')])
    .where('migration', '=', migration)
    .where('subjects', '<>', '')
    .orderBy('minute', 'desc')
    .execute();
  const kept = new Map<string, number>();
  const full = new Map<string, { collection: string; detector: string; minute: number }>();
  for (const { collection, detector, minute, characters } of rows) {
    const id = JSON.stringify([collection, detector]);
    const total = (kept.get(id) ?? 0) + Number(characters) / subjectLength;
    kept.set(id, total);
    if (total > subjectsMax && !full.has(id)) full.set(id, { collection, detector, minute });
  }
  for (const { collection, detector, minute } of full.values())
    await tx
      .updateTable('evidence_count')
      .set({ subjects: '' })
      .where('migration', '=', migration)
      .where('collection', '=', collection)
      .where('detector', '=', detector)
      .where('minute', '<=', minute)
      .execute();
}

type EvidenceRow = ControlTables['evidence_count'];

const keyOf = (row: EvidenceRow): string =>
  JSON.stringify([row.collection, row.detector, row.minute, row.fingerprint]);

const sum = (a: EvidenceRow, b: EvidenceRow): EvidenceRow => ({
  ...a,
  ...Object.fromEntries(evidenceCounts.map((count) => [count, a[count] + b[count]])),
  subjects: a.subjects + b.subjects,
});

const evidenceRow = (
  migration: string,
  { timedOut, fingerprint = '', subjects = [], ...counts }: EvidenceDelta,
): EvidenceRow => ({
  migration,
  ...counts,
  fingerprint,
  timed_out: timedOut,
  subjects: subjects.join(''),
});
