import {
  addSamples,
  type Sample,
  type SampleLedger,
  type SampleSeries,
  sampleBounds,
} from '../../control/index.ts';
import type { Side } from '../../migration/index.ts';
import type { ControlTables, SampleBucket } from './control-tables.ts';
import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';

const buckets: readonly SampleBucket[] = [...sampleBounds, null].map(
  (_, index) => `b${index}` as const,
);
const added = ['count', 'sum', ...buckets] as const;

/** Rows of one statement: 39 columns each stay below SQLite's 32 766 parameters. */
const rowsPerStatement = 500;

/** The table `sample`; a step of the schema. */
export async function createSampleTable(tx: ControlTransaction): Promise<void> {
  let sample = tx.schema
    .createTable('sample')
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('minute', 'bigint', (column) => column.notNull())
    .addColumn('series', 'text', (column) => column.notNull())
    .addColumn('side', 'text', (column) => column.notNull());
  for (const count of [...added, 'high'] as const)
    sample = sample.addColumn(count, 'bigint', (column) => column.notNull());
  // By minute first: a report reads the newest, pruning takes the oldest.
  await sample
    .addPrimaryKeyConstraint('sample_key', ['migration', 'minute', 'series', 'side'])
    .execute();
}

/** Measurements that several processes add to the same rows. */
export function createSqlSamples(
  engine: SqlControlEngine,
  ready: () => Promise<void>,
): SampleLedger {
  return {
    async add(migration, samples) {
      if (samples.length === 0) return;
      await ready();
      const rows = merged(samples).map((sample) => rowOf(migration, sample));
      await engine.transaction('adding measurements', async (tx) => {
        for (let at = 0; at < rows.length; at += rowsPerStatement)
          await addRows(tx, rows.slice(at, at + rowsPerStatement));
      });
    },

    async since(migration, fromMinute) {
      await ready();
      const rows = await engine.run('reading measurements', (db) =>
        db
          .selectFrom('sample')
          .selectAll()
          .where('migration', '=', migration)
          .where('minute', '>=', fromMinute)
          .orderBy('minute')
          .orderBy('series')
          .orderBy('side')
          .execute(),
      );
      return rows.map(sampleOf);
    },

    async prune(migration, beforeMinute) {
      await ready();
      await engine.transaction('forgetting measurements', (db) =>
        db
          .deleteFrom('sample')
          .where('migration', '=', migration)
          .where('minute', '<', beforeMinute)
          .execute(),
      );
    },
  };
}

async function addRows(tx: ControlTransaction, rows: readonly ControlTables['sample'][]) {
  await tx
    .insertInto('sample')
    .values([...rows])
    .onConflict((conflict) =>
      conflict.columns(['migration', 'minute', 'series', 'side']).doUpdateSet((eb) => ({
        ...Object.fromEntries(
          added.map((name) => [name, eb(`sample.${name}`, '+', eb.ref(`excluded.${name}`))]),
        ),
        high: eb
          .case()
          .when('excluded.high', '>', eb.ref('sample.high'))
          .then(eb.ref('excluded.high'))
          .else(eb.ref('sample.high'))
          .end(),
      })),
    )
    .execute();
}

/** One per key, in key order: two processes then lock rows in the same order and cannot deadlock. */
function merged(samples: readonly Sample[]): readonly Sample[] {
  const byKey = new Map<string, Sample>();
  for (const sample of samples) {
    const key = JSON.stringify([sample.minute, sample.series, sample.side]);
    const present = byKey.get(key);
    byKey.set(key, present === undefined ? sample : addSamples(present, sample));
  }
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sample]) => sample);
}

function rowOf(migration: string, { buckets: counts, ...sample }: Sample): ControlTables['sample'] {
  const columns = Object.fromEntries(buckets.map((name, index) => [name, counts[index] ?? 0]));
  return { migration, ...sample, ...columns };
}

function sampleOf(row: ControlTables['sample']): Sample {
  const { minute, count, sum, high } = row;
  return {
    series: row.series as SampleSeries,
    side: row.side as Side,
    minute,
    count,
    sum,
    high,
    buckets: buckets.map((name) => row[name] ?? 0),
  };
}
