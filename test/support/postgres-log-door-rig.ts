import { afterEach, beforeEach } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import type { PostgresOptions } from '../../src/adapters/postgres/postgres-connections.ts';
import type { Change } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { LogApplied, LogDoor, MigrationStore } from '../../src/store/index.ts';
import { query, withDatabases } from './databases.ts';
import { at, change, ddl, shapes, stream } from './log-door-tables.ts';

/** A PostgreSQL follower with the tables of the log door, for each test of the file that imports this. */
export const databases = withDatabases(1);
export const url = (): string => databases.url(0);
export const context = { epoch: 1, timeoutMs: 20_000 };
export const sleep = (ms: number): Promise<void> => systemRuntime.clock.sleep(ms);

export const entries = (from: number, count: number, sequence: number, text = 'entry'): Change[] =>
  Array.from({ length: count }, (_, index) =>
    change('journal', from + index, sequence, { text: `${text}\t${index}` }),
  );

export let opened: MigrationStore[] = [];

export async function connect(
  options: PostgresOptions = {},
  logged: ReadonlySet<string> = new Set(shapes.keys()),
): Promise<MigrationStore> {
  const store = await postgres({ url: url(), ...options }).connect({
    migration: 'logged',
    side: 'target',
    shapes,
    logged,
    runtime: systemRuntime,
  });
  opened.push(store);
  return store;
}

export async function follower(options: PostgresOptions = {}): Promise<MigrationStore> {
  const store = await connect(options);
  await store.setup.install('follower', 1);
  await doorOf(store).begin(stream, at(0));
  return store;
}

export function doorOf({ door }: MigrationStore): LogDoor {
  if (!door.log) throw new Error('the store has no door.log');
  return door.log;
}

export const enter = (
  store: MigrationStore,
  from: number,
  changes: readonly Change[],
): Promise<LogApplied> =>
  doorOf(store).apply({ stream, from: at(from), to: at(from + 1), changes }, context);

export const settled = (work: Promise<unknown>, ms = 200): Promise<boolean> =>
  Promise.race([
    work.then(
      () => true,
      () => true,
    ),
    sleep(ms).then(() => false),
  ]);

beforeEach(async () => {
  await query(url(), ddl);
});

afterEach(async () => {
  await Promise.all(opened.map((store) => store.close()));
  opened = [];
  await query(
    url(),
    `DROP TABLE statements, journal, pets, owners, lines, carts; DROP TABLE husbands, wives CASCADE;
     DROP SCHEMA IF EXISTS changeover_logged_target CASCADE; DROP FUNCTION IF EXISTS note_statement CASCADE`,
  );
});
