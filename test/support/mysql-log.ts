import { createMysqlCatalog } from '../../src/adapters/mysql/mysql-catalog.ts';
import { createMysqlChangeSource } from '../../src/adapters/mysql/mysql-change-source.ts';
import { type MysqlLayout, mysqlLayout } from '../../src/adapters/mysql/mysql-schema.ts';
import { type MysqlSession, openMysqlSession } from '../../src/adapters/mysql/mysql-session.ts';
import type {
  ChangeSource,
  ChangeStream,
  LogBatch,
  LogChange,
  LogCheckpoint,
  LogStart,
} from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

/** The log of one database, as a migration called `log` would read it from its source. */
export interface MysqlLog {
  readonly source: ChangeSource;
  readonly session: MysqlSession;
  readonly layout: MysqlLayout;
  close(): Promise<void>;
}

export function openMysqlLog(url: string, shapes: readonly Shape[], migration = 'log'): MysqlLog {
  const layout = mysqlLayout(migration, 'source');
  const session = openMysqlSession({ url }, systemRuntime, layout.database);
  const catalog = createMysqlCatalog(
    session,
    new Map(shapes.map((shape, index) => [`c${index}`, shape])),
  );
  const collections = () =>
    Promise.all(catalog.collections.map((name) => catalog.collection(name)));
  const parts = { options: { url }, session, layout, shapes, collections };
  const source = createMysqlChangeSource(parts);
  return { source, session, layout, close: () => session.close() };
}

export const checkpointAt = ({ identity, position }: LogStart): LogCheckpoint => ({
  identity,
  position,
  skip: 0,
});

export interface Collected {
  readonly changes: readonly LogChange[];
  readonly batches: readonly LogBatch[];
  /** Behind all of it. */
  readonly checkpoint: LogCheckpoint;
}

/** Everything that had committed when this was called: a challenge is written, and read up to. */
export async function collect(
  { source }: Pick<MysqlLog, 'source'>,
  stream: ChangeStream,
  deadlineMs = 60_000,
): Promise<Collected> {
  const token = systemRuntime.random.id();
  await source.challenge(token);
  const until = performance.now() + deadlineMs;
  const batches: LogBatch[] = [];
  for (;;) {
    const batch = await stream.next(1_000);
    batches.push(batch);
    if (batch.challenges.includes(token)) break;
    if (performance.now() > until) throw new Error('the challenge never came back');
  }
  const changes = batches.flatMap((batch) => batch.changes);
  return { changes, batches, checkpoint: (batches.at(-1) as LogBatch).checkpoint };
}

/** `insert orders(id=1, total=9.50)`, for comparing whole histories. */
export function told({ table, kind, before, after }: LogChange): string {
  const row = (values: LogChange['after']): string =>
    (values ?? [])
      .map((value, index) =>
        typeof value === 'symbol' ? '' : `${table.columns[index]?.name}=${value}`,
      )
      .filter((text) => text !== '')
      .join(' ');
  const old = before === null ? '' : ` from (${row(before)})`;
  const now = after === null ? '' : ` (${row(after)})`;
  return `${kind} ${table.name}${old}${now}`;
}
