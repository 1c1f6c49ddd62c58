import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import type { ChangeStream, LogBatch, LogChange, LogCheckpoint } from '../../src/log/index.ts';
import { systemRandom } from '../../src/runtime/index.ts';
import { query } from '../support/databases.ts';
import { gist, type LogRig, logRig, stream } from '../support/postgres-log.ts';
import { useServer } from '../support/private-postgres.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** Short, so that waiting for longer than it is no matter. */
const SENDER_TIMEOUT_MS = 2_000;
const starting = useServer({
  settings: {
    wal_sender_timeout: `${SENDER_TIMEOUT_MS}ms`,
    logical_decoding_work_mem: '1MB',
  },
});
const ITEMS = 'CREATE TABLE items (id int PRIMARY KEY, name text)';
const reading = { stream, changesMax: 100, bytesMax: 100_000, whole: false };
const items = { items: { table: 'items', key: ['id'] } };

let rigs: LogRig[] = [];
let proxies: TcpProxy[] = [];
afterEach(async () => {
  for (const rig of rigs) {
    // Names of slots are the whole server's.
    await rig.log.remove(stream);
    await rig.close();
  }
  for (const proxy of proxies) await proxy.close();
  rigs = [];
  proxies = [];
});

async function use(
  throughProxy = false,
): Promise<{ readonly rig: LogRig; readonly proxy: TcpProxy }> {
  const server = await starting;
  const url = await server.createDatabase(`t${systemRandom.id()}`);
  const proxy = await startTcpProxy({ port: server.port });
  proxies.push(proxy);
  const options = throughProxy ? { url: proxy.url(url) } : {};
  const rig = await logRig(url, ITEMS, items, options);
  rigs.push(rig);
  return { rig, proxy };
}

/** Batches behind `from` until the token is seen, confirmed as they come; opened again after every failure. */
async function follow(
  rig: LogRig,
  from: LogCheckpoint,
  token: string,
): Promise<{ readonly changes: readonly LogChange[]; readonly failures: number }> {
  const changes: LogChange[] = [];
  let at = from;
  let failures = 0;
  for (;;) {
    let reader: ChangeStream | null = null;
    try {
      reader = await rig.open(at, { changesMax: 50 });
      for (;;) {
        const batch = await reader.next(100);
        changes.push(...batch.changes);
        at = batch.checkpoint;
        reader.confirm(at);
        if (batch.challenges.includes(token)) return { changes, failures };
      }
    } catch (error) {
      failures += 1;
      if (failures > 200) throw error;
      expect((error as { code?: string }).code).toMatch(/STORE_UNAVAILABLE|STORE_CONFLICT/);
      await sleep(20);
    } finally {
      await reader?.close();
    }
  }
}

const slotOf = async (rig: LogRig): Promise<Record<string, string>> =>
  (
    await rig.sql(
      `SELECT active, confirmed_flush_lsn - '0/0' AS confirmed, pg_current_wal_lsn() - confirmed_flush_lsn AS behind FROM pg_replication_slots WHERE slot_name = '${stream}'`,
    )
  ).rows[0];

describe('the network', () => {
  test('cut again and again, in the middle of messages: every change comes, once and in order', async () => {
    const { rig, proxy } = await use(true);
    const from = await rig.install();
    for (let round = 0; round < 20; round += 1) {
      await rig.sql(
        `INSERT INTO items SELECT i, repeat('x', i % 300) FROM generate_series(${round * 100 + 1}, ${round * 100 + 100}) i`,
      );
    }
    await rig.log.challenge('end');
    let cutting = true;
    const cutter = (async () => {
      for (let cut = 0; cut < 12; cut += 1) {
        proxy.cutAfter(3_000 + 7_919 * cut, 'down');
        await sleep(120);
      }
      cutting = false;
    })();
    const { changes, failures } = await follow(rig, from, 'end');
    await cutter;
    expect(cutting).toBe(false);
    expect(failures).toBeGreaterThan(0);
    const ids = changes.map(({ after }) => Number(after?.[0]));
    expect(ids).toEqual(Array.from({ length: 2_000 }, (_, index) => index + 1));
  });

  test('a reader whose server is killed reads on after the restart', async () => {
    const server = await starting;
    const { rig } = await use();
    const from = await rig.install();
    const reader = await rig.open(from);
    await rig.sql(`INSERT INTO items VALUES (1, 'a')`);
    const [first] = await rig.toEnd(reader);
    await server.kill();
    await expect(reader.next(5_000).then(() => reader.next(5_000))).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    await server.start();
    const again = new pg.Client({ connectionString: rig.url });
    await again.connect();
    await again.query(`INSERT INTO items VALUES (2, 'b')`);
    await again.end();
    const changes = await rig.changes(first?.checkpoint as LogCheckpoint);
    expect(changes.map(gist)).toEqual(['insert items 2,b']);
  });
});

describe('keepalives', () => {
  test('are answered while nobody asks for a batch, for longer than wal_sender_timeout', async () => {
    const { rig } = await use();
    const from = await rig.install();
    const reader = await rig.open(from, { bytesMax: 64 * 1024 });
    // More than is read ahead, and more than the sockets hold.
    await rig.sql(`INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i`);
    const first = await reader.next(5_000);
    await sleep(2.5 * SENDER_TIMEOUT_MS);
    const rest = await rig.toEnd(reader);
    const changes = [first, ...rest].flatMap(({ changes }) => changes);
    expect(changes).toHaveLength(30_000);
  });

  test('an idle reader stays, and lets the log of other tables go', async () => {
    const { rig } = await use();
    await rig.sql('CREATE TABLE other (id int, text text)');
    const from = await rig.install();
    const reader = await rig.open(from);
    const before = await slotOf(rig);
    const until = Date.now() + 2 * SENDER_TIMEOUT_MS;
    let last: LogBatch | undefined;
    while (Date.now() < until) {
      await rig.sql(`INSERT INTO other SELECT i, repeat('y', 500) FROM generate_series(1, 200) i`);
      last = await reader.next(50);
      expect(last.changes).toEqual([]);
      reader.confirm(last.checkpoint);
    }
    await sleep(400);
    const { checkpoint } = await reader.next(10);
    reader.confirm(checkpoint);
    await sleep(400);
    const after = await slotOf(rig);
    expect(Number(after['confirmed'])).toBeGreaterThan(Number(before['confirmed']) + 1_000_000);
    expect(Number(after['behind'])).toBeLessThan(100_000);
    await reader.close();
    // Nothing was lost by it.
    await rig.sql(`INSERT INTO items VALUES (1, 'a')`);
    expect((await rig.changes(checkpoint)).map(gist)).toEqual(['insert items 1,a']);
  });

  test('what is not confirmed is kept', async () => {
    const { rig } = await use();
    const from = await rig.install();
    const reader = await rig.open(from);
    await rig.sql(`INSERT INTO items VALUES (1, 'a')`);
    await rig.toEnd(reader);
    await sleep(2 * SENDER_TIMEOUT_MS);
    await reader.close();
    expect((await rig.changes(from)).map(gist)).toEqual(['insert items 1,a']);
  });

  test('a follower that hangs does not keep the server from stopping', async () => {
    const server = await starting;
    const { rig } = await use();
    const reader = await rig.open(await rig.install());
    await rig.sql(`INSERT INTO items VALUES (1, 'a')`);
    // Read, and never confirmed.
    await rig.toEnd(reader);
    const started = Date.now();
    await server.shutdown('fast');
    expect(Date.now() - started).toBeLessThan(5_000);
    await server.start();
  });
});

test('a server that was promoted is another log; while it is a standby nothing is decided', async () => {
  const server = await starting;
  const { rig } = await use();
  const from = await rig.install();
  const insert = (id: number): Promise<unknown> =>
    query(rig.url, `INSERT INTO items VALUES (${id}, 'a')`);
  await insert(1);
  await server.shutdown();
  const signal = join(server.dataDir, 'standby.signal');
  writeFileSync(signal, '');
  await server.start();
  await expect(rig.changes(from)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  await query(rig.url, 'SELECT pg_promote(true, 30)');
  await insert(2);
  // The slot is still there, and would give both.
  await expect(rig.log.open({ ...reading, from })).rejects.toThrow(/LOG_LOST.*timeline/);
});

test('a transaction of 200 MB goes through in bounded memory', async () => {
  const { rig } = await use();
  const from = await rig.install();
  await rig.sql(`ALTER TABLE items ALTER name SET STORAGE PLAIN`);
  await rig.sql(`INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(1, 200000) i`);
  const reader = await rig.open(from, { changesMax: 5_000, bytesMax: 4 * 1024 * 1024 });
  global.gc?.();
  const before = process.memoryUsage().rss;
  let most = 0;
  let count = 0;
  let at = from;
  while (count < 200_000) {
    const { changes, checkpoint } = await reader.next(5_000);
    for (const change of changes) {
      count += 1;
      if (Number(change.after?.[0]) !== count) throw new Error(`row ${count} is missing`);
    }
    at = checkpoint;
    most = Math.max(most, process.memoryUsage().rss);
    // A follower slower than the server.
    if (count % 50_000 < changes.length) await sleep(200);
  }
  expect(at.skip).toBe(0);
  // Garbage of a busy machine included; all of it held would be far above 300.
  expect((most - before) / 1024 / 1024).toBeLessThan(200);
});

test('a slot that the server has given up is LOG_LOST, and says so before', async () => {
  const { rig } = await use();
  const from = await rig.install();
  expect(await rig.log.retention(stream)).toMatchObject({ state: 'kept' });
  await rig.sql(`INSERT INTO items VALUES (1, 'a')`);
  await rig.sql('CREATE TABLE other (text text)');
  for (const setting of ['max_slot_wal_keep_size', 'max_wal_size'])
    await rig.sql(`ALTER SYSTEM SET ${setting} = '64MB'`);
  await rig.sql('SELECT pg_reload_conf()');
  const states = new Set<string>();
  for (let round = 0; round < 14; round += 1) {
    await rig.sql(`INSERT INTO other SELECT repeat('z', 1000) FROM generate_series(1, 10000)`);
    await rig.sql('CHECKPOINT');
    const { state, leftBytes } = await rig.log.retention(stream);
    states.add(state);
    expect(round === 0 || leftBytes !== null).toBe(true);
    if (state === 'lost') break;
  }
  expect([...states]).toEqual(['kept', 'at-risk', 'lost']);
  await expect(rig.changes(from)).rejects.toMatchObject({ code: 'LOG_LOST' });
  await expect(rig.install()).rejects.toMatchObject({ code: 'LOG_LOST' });
});
