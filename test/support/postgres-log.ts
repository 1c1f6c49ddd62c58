import pg from 'pg';
import { postgres } from '../../src/adapters/postgres/index.ts';
import type { PostgresOptions } from '../../src/adapters/postgres/postgres-connections.ts';
import type {
  ChangeSource,
  ChangeStream,
  LogBatch,
  LogChange,
  LogCheckpoint,
  LogValue,
  OpenStream,
} from '../../src/log/index.ts';
import { unchanged } from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import { systemClock, systemRandom, systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';

/** Slots are the whole server's, which files that run at the same time share. */
export const rigMigration = `rig${process.env['VITEST_POOL_ID'] ?? ''}`;
export const stream = `changeover_${rigMigration}_s_1`;
const READ_MS = 20_000;

/** A store whose collections are all captured from the log, with what tests do to it. */
export interface LogRig {
  readonly url: string;
  readonly store: MigrationStore;
  readonly log: ChangeSource;
  /** Statements of the application, one implicit transaction for each call. */
  sql(text: string): Promise<pg.QueryResult>;
  install(): Promise<LogCheckpoint>;
  /** Opens a reader that is closed by `close` at the latest. */
  open(from: LogCheckpoint, options?: Partial<OpenStream>): Promise<ChangeStream>;
  /** Batches until everything has come that had committed when this was called. */
  toEnd(reader: ChangeStream): Promise<readonly LogBatch[]>;
  /** Every change behind `from`, read by a reader of its own. */
  changes(from: LogCheckpoint, options?: Partial<OpenStream>): Promise<readonly LogChange[]>;
  close(): Promise<void>;
}

/** Creates the tables and connects; the store is installed as the authority of epoch 1. */
export async function logRig(
  url: string,
  ddl: string,
  shapes: Readonly<Record<string, Shape>>,
  options: PostgresOptions = {},
): Promise<LogRig> {
  const client = new pg.Client({ connectionString: url, application_name: 'changeover-test' });
  client.on('error', () => {});
  await client.connect();
  await client.query(ddl);
  const store = await postgres({ url, ...options }).connect({
    migration: rigMigration,
    side: 'source',
    shapes: new Map(Object.entries(shapes)),
    logged: new Set(Object.keys(shapes)),
    runtime: systemRuntime,
  });
  await store.setup.install('authority', 1);
  const { log } = store;
  if (!log) throw new Error('the store has no log');
  const readers = new Set<ChangeStream>();

  const open: LogRig['open'] = async (from, more = {}) => {
    const reader = await log.open({
      stream,
      from,
      changesMax: 1_000,
      bytesMax: 1024 * 1024,
      whole: false,
      ...more,
    });
    readers.add(reader);
    return reader;
  };
  const toEnd: LogRig['toEnd'] = async (reader) => {
    const token = systemRandom.id();
    await log.challenge(token);
    const batches: LogBatch[] = [];
    const until = systemClock.monotonic() + READ_MS;
    for (;;) {
      const batch = await reader.next(200);
      batches.push(batch);
      if (batch.challenges.includes(token)) return batches;
      if (systemClock.monotonic() > until) throw new Error('the challenge has not come back');
    }
  };
  return {
    url,
    store,
    log,
    sql: (text) => client.query(text),
    async install() {
      return { ...(await log.install(stream, 10_000)), skip: 0 };
    },
    open,
    toEnd,
    async changes(from, more) {
      const reader = await open(from, more);
      try {
        return (await toEnd(reader)).flatMap(({ changes }) => changes);
      } finally {
        await reader.close();
      }
    },
    async close() {
      await Promise.all([...readers].map((reader) => reader.close()));
      await store.close();
      await client.end().catch(() => {});
    },
  };
}

/** Column → value; `…` for what is not in the log. */
export function rowOf(
  { table }: LogChange,
  values: readonly LogValue[] | null,
): Readonly<Record<string, string | null>> | null {
  if (values === null) return null;
  return Object.fromEntries(
    table.columns.map(({ name }, index) => {
      const value = values[index];
      return [name, value === unchanged || value === undefined ? '…' : value];
    }),
  );
}

/** `insert items 1,a`: for comparing what came in which order. */
export function gist(change: LogChange): string {
  const row = rowOf(change, change.after ?? change.before);
  const values = row === null ? '' : ` ${Object.values(row).join(',')}`;
  return `${change.kind} ${change.table.name}${values}`;
}
