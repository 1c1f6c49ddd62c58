import type { Kysely } from 'kysely';
import {
  type GapDecision,
  type GapFinder,
  type GapLedger,
  type GapRecord,
  type GapStatus,
  noGapCounts,
  undecidedGapStatuses,
} from '../../control/index.ts';
import type { DataRecord } from '../../record/index.ts';
import type { ControlTables } from './control-tables.ts';
import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';
import { tableOnDemand } from './table-on-demand.ts';

/** Apart from the numbered format: it is made with the first rescue, and releases that know nothing of it are not disturbed. */
interface GapTables {
  readonly gap: {
    readonly migration: string;
    readonly rescue: string;
    readonly collection: string;
    readonly key: string;
    readonly subject: string;
    /** Records as JSON; `null` for one that does not exist. */
    readonly target: string;
    readonly source: string;
    readonly found_by: string;
    readonly touched: number;
    readonly status: string;
    readonly note: string;
    readonly decided_at_ms: number | null;
  };
}

type Row = GapTables['gap'];
const withGap = (db: Kysely<ControlTables>): Kysely<GapTables> =>
  db as unknown as Kysely<GapTables>;

const ROWS_MAX = 500;

export function createSqlGaps(engine: SqlControlEngine, ready: () => Promise<void>): GapLedger {
  const prepared = tableOnDemand(engine, ready, {
    name: 'gap',
    look: () =>
      engine.run('looking for the gap', (db) =>
        withGap(db).selectFrom('gap').select('rescue').limit(1).execute(),
      ),
    make,
  });
  const run = async <T>(what: string, work: (db: Kysely<GapTables>) => Promise<T>): Promise<T> => {
    await prepared();
    return engine.run(what, (db) => work(withGap(db)));
  };
  const change = async <T>(
    what: string,
    work: (db: Kysely<GapTables>) => Promise<T>,
  ): Promise<T> => {
    await prepared();
    return engine.transaction(what, (tx) => work(withGap(tx)));
  };
  return {
    async record(migration, rescue, records) {
      for (let at = 0; at < records.length; at += ROWS_MAX) {
        const rows = records.slice(at, at + ROWS_MAX).map((one) => rowOf(migration, rescue, one));
        await change('recording the gap', (db) =>
          db
            .insertInto('gap')
            .values(rows)
            .onConflict((conflict) =>
              conflict.columns(['migration', 'rescue', 'collection', 'key']).doNothing(),
            )
            .execute(),
        );
      }
    },

    list: (migration, rescue, { collection, statuses, after, limit }) =>
      run('listing the gap', async (db) => {
        const rows = await db
          .selectFrom('gap')
          .selectAll()
          .where('migration', '=', migration)
          .where('rescue', '=', rescue)
          .$if(collection !== undefined, (query) =>
            query.where('collection', '=', collection ?? ''),
          )
          .$if(statuses !== undefined, (query) => query.where('status', 'in', statuses ?? []))
          .$if(after !== undefined, (query) =>
            query.where((eb) =>
              eb.or([
                eb('collection', '>', after?.collection ?? ''),
                eb.and([
                  eb('collection', '=', after?.collection ?? ''),
                  eb('key', '>', after?.key ?? ''),
                ]),
              ]),
            ),
          )
          .orderBy('collection')
          .orderBy('key')
          .limit(limit)
          .execute();
        return rows.map(recordOf);
      }),

    find: (migration, rescue, collection, key) =>
      run('looking for a record of the gap', async (db) => {
        const row = await db
          .selectFrom('gap')
          .selectAll()
          .where('migration', '=', migration)
          .where('rescue', '=', rescue)
          .where('collection', '=', collection)
          .where('key', '=', key)
          .executeTakeFirst();
        return row === undefined ? null : recordOf(row);
      }),

    decide: (migration, rescue, from, decisions) =>
      change('deciding on the gap', async (db) => {
        let changed = 0;
        for (const decision of decisions) {
          const { numUpdatedRows } = await db
            .updateTable('gap')
            .set(updateOf(decision, engine.clock.now()))
            .where('migration', '=', migration)
            .where('rescue', '=', rescue)
            .where('collection', '=', decision.collection)
            .where('key', '=', decision.key)
            .where('status', 'in', from)
            .executeTakeFirst();
          changed += Number(numUpdatedRows);
        }
        return changed;
      }),

    counts: (migration, rescue) =>
      run('counting the gap', async (db) => {
        const rows = await db
          .selectFrom('gap')
          .select((eb) => ['status', eb.fn.countAll<number>().as('rows')])
          .where('migration', '=', migration)
          .where('rescue', '=', rescue)
          .groupBy('status')
          .execute();
        return {
          ...noGapCounts,
          ...Object.fromEntries(rows.map(({ status, rows: count }) => [status, Number(count)])),
        };
      }),

    undecided: (migration, rescue, subjects) =>
      run('looking for open records', async (db) => {
        if (subjects.length === 0) return new Set<string>();
        const rows = await db
          .selectFrom('gap')
          .select('subject')
          .where('migration', '=', migration)
          .where('rescue', '=', rescue)
          .where('subject', 'in', subjects)
          .where('status', 'in', [...undecidedGapStatuses])
          .execute();
        return new Set(rows.map(({ subject }) => subject));
      }),

    clear: (migration) =>
      change('forgetting gaps', async (db) => {
        await db.deleteFrom('gap').where('migration', '=', migration).execute();
      }),
  };
}

/** A look first: a role without CREATE can work once the table exists. */
async function make(tx: ControlTransaction): Promise<void> {
  await tx.schema
    .createTable('gap')
    .ifNotExists()
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('rescue', 'text', (column) => column.notNull())
    .addColumn('collection', 'text', (column) => column.notNull())
    .addColumn('key', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('target', 'text', (column) => column.notNull())
    .addColumn('source', 'text', (column) => column.notNull())
    .addColumn('found_by', 'text', (column) => column.notNull())
    .addColumn('touched', 'integer', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('note', 'text', (column) => column.notNull())
    .addColumn('decided_at_ms', 'bigint')
    .addPrimaryKeyConstraint('gap_key', ['migration', 'rescue', 'collection', 'key'])
    .execute();
  await tx.schema
    .createIndex('gap_subject')
    .ifNotExists()
    .on('gap')
    .columns(['migration', 'rescue', 'subject'])
    .execute();
}

const rowOf = (migration: string, rescue: string, one: GapRecord): Row => ({
  migration,
  rescue,
  collection: one.collection,
  key: one.key,
  subject: one.subject,
  target: JSON.stringify(one.target),
  source: JSON.stringify(one.source),
  found_by: one.foundBy,
  touched: one.touched ? 1 : 0,
  status: one.status,
  note: one.note,
  decided_at_ms: one.decidedAtMs,
});

const recordOf = (row: Row): GapRecord => ({
  collection: row.collection,
  key: row.key,
  subject: row.subject,
  target: JSON.parse(row.target) as DataRecord | null,
  source: JSON.parse(row.source) as DataRecord | null,
  foundBy: row.found_by as GapFinder,
  touched: row.touched === 1,
  status: row.status as GapStatus,
  note: row.note,
  decidedAtMs: row.decided_at_ms,
});

function updateOf({ status, note, source }: GapDecision, nowMs: number): Partial<Row> {
  const undecided = (undecidedGapStatuses as readonly GapStatus[]).includes(status);
  return {
    status,
    note,
    decided_at_ms: undecided ? null : nowMs,
    ...(source === undefined ? {} : { source: JSON.stringify(source) }),
  };
}
