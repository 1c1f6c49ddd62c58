import { afterEach, beforeEach, expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import {
  caughtUp,
  followLog,
  logApplierDefaults,
  prepareStream,
  streamEnds,
} from '../../src/capture/index.ts';
import type { MigrationState, Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { LogDoor, MigrationStore } from '../../src/store/index.ts';
import { query, withDatabases } from '../support/databases.ts';
import { type EngineFixture, engineFixture, itemsCollection } from '../support/engine-fixture.ts';
import { useServer } from '../support/private-postgres.ts';

/** Its writer sleeps: what no commit has waited for is still in the server's memory when it is killed. */
const server = useServer({
  settings: { wal_writer_delay: '10s', wal_writer_flush_after: '64MB', wal_buffers: '16MB' },
});
const databases = withDatabases(1, { scope: 'test' });
const ddl = 'CREATE TABLE items (id int PRIMARY KEY, name text)';
const stream = 'changeover_fixture_s_1';
const items = itemsCollection({ capture: 'log' });
let targetUrl: string;
const opened: { close(): Promise<void> }[] = [];

beforeEach(async () => {
  const target = await server;
  await query(target.url('postgres'), 'DROP DATABASE IF EXISTS copy WITH (FORCE)');
  await target.createDatabase('copy');
  targetUrl = target.url('copy');
  await query(targetUrl, ddl);
  await databases.query(0, ddl);
});

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

function connect(side: Side): Promise<MigrationStore> {
  return postgres({ url: side === 'source' ? databases.url(0) : targetUrl }).connect({
    migration: 'fixture',
    side,
    shapes: new Map([['items', items[side]]]),
    logged: new Set(['items']),
    runtime: systemRuntime,
  });
}

async function crash(): Promise<void> {
  const target = await server;
  await target.kill();
  await target.start();
}

const at = (sequence: number) => ({
  identity: 'log one',
  position: { sequence: BigInt(sequence), text: `0/${sequence}` },
  skip: 0,
});

/** A door whose stream stands at 0; `put` applies record n, which moves it from n - 1 to n. */
async function doorAtZero() {
  const store = await connect('target');
  opened.push(store);
  await store.setup.install('follower', 1);
  const door = store.door.log as LogDoor;
  await door.begin(stream, at(0));
  const put = (number: number, lazy: boolean) =>
    door.apply(
      {
        stream,
        from: at(number - 1),
        to: at(number),
        lazy,
        changes: [
          {
            collection: 'items',
            key: [String(number)],
            version: { epoch: 1, sequence: BigInt(number) },
            value: { id: String(number), name: 'n' },
            origin: 'log',
          },
        ],
      },
      { epoch: 1, timeoutMs: 30_000 },
    );
  return { door, put };
}

/** Rows that are there, and where the follower says it stands. */
async function standing(door: LogDoor): Promise<readonly [number, number]> {
  const checkpoint = await door.checkpoint(stream);
  const [row] = await query(targetUrl, 'SELECT count(*)::int AS rows FROM items');
  return [Number(row?.['rows']), Number(checkpoint?.position.sequence)];
}

test('a crash takes lazy batches away with their checkpoint, and none before one that was not lazy', async () => {
  const { door, put } = await doorAtZero();
  expect(await put(1, true)).toMatchObject({ durable: false });
  expect(await put(2, false)).toMatchObject({ durable: true });
  for (const number of [3, 4, 5]) await put(number, true);
  expect(await standing(door)).toEqual([5, 5]);
  await crash();
  expect(await standing(door)).toEqual([2, 2]);
});

test('no crash takes back a checkpoint that was told to be durable', async () => {
  const { door, put } = await doorAtZero();
  for (const number of [1, 2, 3]) await put(number, true);
  expect(await door.checkpoint(stream, { durable: true })).toEqual(at(3));
  await put(4, true);
  await crash();
  expect(await standing(door)).toEqual([3, 3]);
});

test('a database that waits for no disk is made to where the door says durable', async () => {
  await query(targetUrl, 'ALTER DATABASE copy SET synchronous_commit = off');
  const { door, put } = await doorAtZero();
  await put(1, false);
  await put(2, true);
  await crash();
  expect(await standing(door)).toEqual([1, 1]);
  await put(2, true);
  await door.checkpoint(stream, { durable: true });
  await crash();
  expect(await standing(door)).toEqual([2, 2]);
  await door.move(stream, at(2), at(3));
  await crash();
  expect(await standing(door)).toEqual([2, 3]);
});

/** A migration that follows; `wrapped` is what it takes for the follower's door. */
async function following(wrap: (door: LogDoor) => LogDoor) {
  const stores = { source: await connect('source'), target: await connect('target') };
  const fixture: EngineFixture = await engineFixture(stores, items);
  const state: MigrationState = fixture.state();
  const ends = streamEnds(fixture.context, 'source', state.epoch);
  if (ends === null) throw new Error('nothing is captured from the log');
  await prepareStream(ends, 10_000);
  const door = wrap(ends.door);
  const { target } = stores;
  const context = {
    ...fixture.context,
    stores: { ...stores, target: { ...target, door: { ...target.door, log: door } } },
  };
  const passes = { enter: () => ({ state, leave: () => {} }) };
  // Only a batch that is told to be durable for another reason than its age is.
  const options = { ...logApplierDefaults, durableMs: 60_000 };
  const session = () => {
    const stop = new AbortController();
    const ended = followLog(context, passes, options, stop.signal).then(
      () => null,
      (error: unknown) => error as Error,
    );
    return {
      ended,
      async stop() {
        stop.abort();
        return ended;
      },
    };
  };
  opened.push({
    async close() {
      await ends.log.remove(ends.stream);
      await fixture.close();
    },
  });
  return { context, state, ends, session };
}

/** Rows come to the follower lazily, and it crashes; the follower is followed again. Its rows in the end, and what ended the second session. */
async function crashWhileFollowing(wrap: (door: LogDoor) => LogDoor) {
  const { context, state, ends, session } = await following(wrap);
  const first = session();
  const rowsAre = async (count: number): Promise<void> => {
    await expect
      .poll(
        async () => (await query(targetUrl, 'SELECT count(*)::int AS n FROM items'))[0]?.['n'],
        {
          timeout: 10_000,
        },
      )
      .toBe(count);
  };
  await databases.query(0, "INSERT INTO items SELECT i, 'first' FROM generate_series(1, 10) i");
  expect(await caughtUp(context, state, 10_000)).toBe(true);
  await databases.query(0, "INSERT INTO items SELECT i, 'lazy' FROM generate_series(11, 20) i");
  await rowsAre(20);
  // Confirmations go out in their own time.
  await systemRuntime.clock.sleep(300);
  await crash();
  await first.stop();
  const [row] = await query(targetUrl, 'SELECT count(*)::int AS n FROM items');
  expect(row?.['n']).toBe(10);
  const second = session();
  const level = caughtUp(context, state, 10_000);
  const end = await Promise.race([second.ended, level]);
  await second.stop();
  const rows = await query(targetUrl, 'SELECT count(*)::int AS n FROM items');
  return { end, rows: rows[0]?.['n'], stream: ends.stream };
}

test('what a crash of the follower took away comes again: the log was kept for it', async () => {
  expect(await crashWhileFollowing((door) => door)).toMatchObject({ end: true, rows: 20 });
});

test('a door that calls lazy batches durable loses them, and the log says so', async () => {
  const lying = (door: LogDoor): LogDoor => ({
    ...door,
    apply: async (batch, context) => ({ ...(await door.apply(batch, context)), durable: true }),
  });
  const { end, rows } = await crashWhileFollowing(lying);
  expect(end).toMatchObject({ code: 'LOG_LOST' });
  expect(rows).toBe(10);
});
