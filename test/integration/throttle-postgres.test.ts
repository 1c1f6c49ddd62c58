import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runBackfill } from '../../src/backfill/index.ts';
import { defineMigration, type OptionsInput, throttleChecksOf } from '../../src/config/index.ts';
import { type PrivatePostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import type { StoreConnector, StorePressure } from '../../src/store/index.ts';
import { query, withClient } from '../support/databases.ts';
import type { EngineFixture } from '../support/engine-fixture.ts';
import {
  customers,
  customersDdl,
  customersSeed,
  postgresFixture,
} from '../support/postgres-fixture.ts';
import { useServer } from '../support/private-postgres.ts';

/** Running connections are counted over the whole server: these tests need one that nobody else uses. */
let server: PrivatePostgres;
let fixture: EngineFixture;
const starting = useServer();
beforeAll(async () => {
  server = await starting;
});
let databases = 0;
beforeEach(async () => {
  databases += 1;
  const urls = {
    source: await server.createDatabase(`source_${databases}`),
    target: await server.createDatabase(`target_${databases}`),
  };
  await query(urls.source, `${customersDdl.source}; ${customersSeed(2_000)}`);
  await query(urls.target, customersDdl.target);
  fixture = await postgresFixture(urls, customers);
});
afterEach(() => fixture?.close());

const nobody: StoreConnector = {
  engine: 'none',
  display: 'none:',
  connect: () => Promise.reject(new Error('not here')),
};
const url = (side: 'source' | 'target'): string => server.url(`${side}_${databases}`);
const backfill = (options: NonNullable<OptionsInput['backfill']>, rowsPerSecondMax = 0) => {
  const defined = defineMigration({
    name: 'fixture',
    source: nobody,
    target: nobody,
    collections: { customers: {} },
    backfill: options,
  });
  const checks = throttleChecksOf(defined.options, fixture.context);
  const currentState = fixture.state;
  const pace = { chunkRowsInitial: 200, chunkRowsMax: 200, rowsPerSecondMax };
  return runBackfill(
    fixture.context,
    'customers',
    { currentState, checks, ...pace },
    new AbortController().signal,
  );
};
const reasons = (): readonly (string | null)[] =>
  fixture.events.flatMap((event) => (event.type === 'throttle' ? [event.reason] : []));
const copied = async (): Promise<number> =>
  Number((await query(url('target'), 'SELECT count(*) AS n FROM customers'))[0]?.['n']);
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited 20 s in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const pressure = (): Required<StorePressure> =>
  fixture.context.stores.source.pressure as Required<StorePressure>;

describe('the backfill', () => {
  test('waits while more connections run a statement than allowed, and goes on after them', async () => {
    const busy = Array.from({ length: 5 }, () =>
      withClient(url('source'), (client) => client.query('SELECT pg_sleep(1.5)')),
    );
    await until('five sleepers', async () => (await pressure().activeConnections(1_000)) >= 5);
    const running = backfill({ sourceConnectionsMax: 4 });
    await until('the throttle', () => reasons().length > 0);
    expect(await copied()).toBe(0);
    expect(reasons()[0]).toMatch(/^source connections: \d+ run a statement, more than 4$/);
    await Promise.all(busy);
    expect(await running).toMatchObject({ outcome: 'finished', rowsRead: 2_000 });
    expect(reasons().at(-1)).toBeNull();
  });

  test('waits while the query of the operator says so, and goes on when it does not', async () => {
    await query(url('target'), 'CREATE TABLE load (n numeric); INSERT INTO load VALUES (70.5)');
    const running = backfill({
      targetThrottleQuery: 'SELECT max(n) FROM load;',
      targetThrottleQueryMax: 70,
    });
    await until('the throttle', () => reasons().length > 0);
    expect(reasons()).toEqual(['target throttle query answers 70.5, more than 70']);
    expect(await copied()).toBe(0);
    await query(url('target'), 'UPDATE load SET n = 70');
    expect(await running).toMatchObject({ outcome: 'finished', rowsInserted: 2_000 });
    expect(reasons()).toEqual(['target throttle query answers 70.5, more than 70', null]);
  });

  test('waits in the middle as well, while the query answers true or fails', async () => {
    await query(
      url('source'),
      'CREATE TABLE pause (wanted boolean); INSERT INTO pause VALUES (false)',
    );
    const running = backfill({ sourceThrottleQuery: 'SELECT wanted FROM pause' }, 800);
    await until('some rows', async () => (await copied()) > 0);
    await query(url('source'), 'ALTER TABLE pause RENAME TO away');
    await until('the throttle', () => reasons().length === 1);
    await query(url('source'), 'ALTER TABLE away RENAME TO pause');
    await until('the release', () => reasons().length === 2);
    await query(url('source'), 'UPDATE pause SET wanted = true');
    await until('the throttle', () => reasons().length === 3);
    expect(await copied()).toBeLessThan(2_000);
    await query(url('source'), 'UPDATE pause SET wanted = false');
    expect(await running).toMatchObject({ outcome: 'finished', rowsRead: 2_000 });
    const [failed, released, asked, last] = reasons();
    expect(failed).toMatch(/^source throttle query cannot be read: .*"pause" does not exist/);
    expect([released, asked, last]).toEqual([null, 'source throttle query answers true', null]);
  });
});

describe('a PostgreSQL store', () => {
  test.each([
    ['SELECT 41 + 1', 42],
    ['SELECT 0.5', 0.5],
    ['SELECT true', true],
    ['SELECT 1 > 2;', false],
    ['SHOW max_connections', 200],
  ])('answers %s with its value', async (text, value) => {
    expect(await pressure().measure(text, 1_000)).toBe(value);
  });

  test.each([
    ['SELECT NULL', /NULL/],
    ['SELECT 1 WHERE false', /0 rows/],
    ['SELECT 1, 2', /one number/],
    ['SELECT generate_series(1, 2)', /2 rows/],
    ["SELECT 'high'", /a text/],
    ["SELECT ' '", /a text/],
    ["SELECT 'NaN'::float8", /a text/],
    ['SELECT 1; SELECT 2', /multiple commands/],
    ['SELECT nonsense', /nonsense/],
    ['DELETE FROM customers RETURNING 1', /read-only/],
    ["SELECT nextval('s')", /read-only/],
    ['SELECT pg_sleep(5)', /timeout|in time/],
  ])('answers %s with an error', async (text, message) => {
    await query(url('source'), 'CREATE SEQUENCE IF NOT EXISTS s');
    await expect(pressure().measure(text, 300)).rejects.toThrow(message);
    expect(await pressure().measure('SELECT 1', 1_000)).toBe(1);
  });

  test('counts no idle connection, and throws where it cannot see what others do', async () => {
    await until('rest', async () => (await pressure().activeConnections(1_000)) === 0);
    await query(url('source'), 'CREATE ROLE app LOGIN');
    await withClient(url('source'), async () => {
      expect(await pressure().activeConnections(1_000)).toBe(0);
      const address = new URL(url('source'));
      address.username = 'app';
      const { postgres } = await import('../../src/adapters/postgres/index.ts');
      const { context } = fixture;
      const blind = await postgres({ url: address.href }).connect({
        migration: 'fixture',
        side: 'source',
        shapes: new Map(),
        runtime: context.runtime,
      });
      const asked = blind.pressure as Required<StorePressure>;
      await expect(asked.activeConnections(1_000)).rejects.toThrow(/GRANT pg_read_all_stats/);
      await query(url('source'), 'GRANT pg_read_all_stats TO app');
      expect(await asked.activeConnections(1_000)).toBeGreaterThanOrEqual(0);
      await blind.close();
    });
  });

  test('knows no lag without a standby, and a subscriber is none', async () => {
    expect(await pressure().replicationLagMs(1_000)).toBeNull();
    await query(url('source'), "SELECT pg_create_logical_replication_slot('decoder', 'pgoutput')");
    expect(await pressure().replicationLagMs(1_000)).toBeNull();
    await query(url('source'), "SELECT pg_drop_replication_slot('decoder')");
  });
});

describe('with a standby', () => {
  let standby: PrivatePostgres;
  let folder: string;
  beforeAll(async () => {
    await query(server.url(), "SELECT pg_create_physical_replication_slot('standby', true)");
    folder = await mkdtemp(join(tmpdir(), 'changeover-standby-'));
    const dataDir = join(folder, 'data');
    // A copy of a server that was shut down in order is a base backup; the embedded programs have no other.
    await server.shutdown();
    expect(spawnSync('cp', ['-a', server.dataDir, dataDir]).status).toBe(0);
    expect(spawnSync('chmod', ['755', folder]).status).toBe(0);
    expect(
      spawnSync('cp', ['-a', join(dataDir, 'PG_VERSION'), join(dataDir, 'standby.signal')]).status,
    ).toBe(0);
    await server.start();
    standby = await startPrivatePostgres({
      source: server.source,
      dataDir,
      settings: {
        primary_conninfo: `host=${server.host} port=${server.port} user=${server.user}`,
        primary_slot_name: 'standby',
        wal_receiver_status_interval: '100ms',
      },
    });
  });
  afterAll(async () => {
    await standby?.stop();
    await query(server.url(), "SELECT pg_drop_replication_slot('standby')");
    await rm(folder, { recursive: true, force: true });
  });

  test('the backfill waits while the standby does not replay, and goes on when it does', async () => {
    await until('a level standby', async () => (await pressure().replicationLagMs(1_000)) === 0);
    await query(standby.url(), 'SELECT pg_wal_replay_pause()');
    // The copy itself writes what the standby does not replay.
    const running = backfill({ targetReplicationLagMs: 250 }, 800);
    await until('the throttle', () => reasons().length > 0);
    expect(await copied()).toBeLessThan(2_000);
    await query(standby.url(), 'SELECT pg_wal_replay_resume()');
    expect(await running).toMatchObject({ outcome: 'finished', rowsRead: 2_000 });
    expect(reasons()[0]).toMatch(/^target replication lag \d+ ms is above 250 ms$/);
    expect(reasons().at(-1)).toBeNull();
  });

  test('the lag grows while the standby is frozen or gone, though the server measures nothing', async () => {
    await until('a level standby', async () => (await pressure().replicationLagMs(1_000)) === 0);
    for (const [stop, go] of [
      [() => standby.pause(), () => standby.resume()],
      [() => standby.shutdown(), () => standby.start()],
    ] as const) {
      await stop();
      await query(
        url('source'),
        'CREATE TABLE IF NOT EXISTS noise (n int); INSERT INTO noise VALUES (1)',
      );
      const lag = async (): Promise<number> => (await pressure().replicationLagMs(1_000)) ?? -1;
      await until('a lag', async () => (await lag()) > 600);
      await go();
      await until('a level standby', async () => (await lag()) === 0);
    }
  });
});
