import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { postgresControl } from '../../src/adapters/postgres/postgres-control-store.ts';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import type { ControlConnector, ControlStore } from '../../src/control/index.ts';
import { isRefusal, transition } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { query, withDatabases } from '../support/databases.ts';
import { useServer } from '../support/private-postgres.ts';

const program = fileURLToPath(new URL('../support/control-process.ts', import.meta.url));
const entry = { actor: 'test', action: 'toggle', reason: '', detail: {} };
const children = new Set<ChildProcess>();
const stores = new Set<ControlStore>();
let folder = '';

// Registered first, so that it looks for leaked connections after the stores were closed.
const databases = withDatabases(1, { scope: 'test' });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'changeover-control-'));
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
  for (const store of stores) await store.close();
  stores.clear();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  readonly lines: unknown[];
  readonly ended: Promise<void>;
  kill(): void;
}

function run(address: string, ...rest: readonly string[]): Run {
  return follow(spawn(process.execPath, ['--import', 'tsx', program, address, ...rest]));
}

function follow(child: ChildProcess): Run {
  children.add(child);
  const lines: unknown[] = [];
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += String(chunk);
    const parts = text.split('\n');
    text = parts.pop() ?? '';
    lines.push(...parts.map((part) => JSON.parse(part) as unknown));
  });
  let problems = '';
  child.stderr?.on('data', (chunk) => {
    problems += String(chunk);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('close', (code, signal) => {
      if (code === 0 || signal === 'SIGKILL') resolve();
      else reject(new Error(`exit ${code}: ${problems}`));
    });
  });
  ended.catch(() => {});
  return { lines, ended, kill: () => child.kill('SIGKILL') };
}

async function opened(connector: ControlConnector): Promise<ControlStore> {
  const store = await connector.connect(systemRuntime);
  stores.add(store);
  return store;
}

async function toggle(store: ControlStore): Promise<number> {
  const state = await store.load('shop');
  const next = transition(
    state,
    state.phase === 'off'
      ? { type: 'start', shadow: false }
      : { type: state.workHeld ? 'resume-work' : 'hold-work' },
  );
  if (isRefusal(next)) throw new Error(next.refused);
  expect(await store.commit(next, entry)).toBe(true);
  return next.version;
}

/** Milliseconds until `done`; fails after `ms`. */
async function until(ms: number, done: () => boolean): Promise<number> {
  const start = performance.now();
  while (!done()) {
    if (performance.now() - start > ms) throw new Error(`not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - start;
}

const kinds = [
  { kind: 'sqlite', address: () => join(mkdtempSync(join(folder, 'c-')), 'control.db') },
  { kind: 'postgres', address: () => databases.url(0) },
] as const;
const connect = (address: string): ControlConnector =>
  address.includes('://') ? postgresControl({ url: address }) : sqlite({ file: address });

describe.each(kinds)('$kind, several processes', ({ address }) => {
  test('processes that start at once create the tables once, and share every round', async () => {
    const where = address();
    const runs = Array.from({ length: 4 }, () => run(where, 'commit', '10'));
    await Promise.all(runs.map(({ ended }) => ended));
    const wins = runs.flatMap(({ lines }) => lines[0] as number[]).sort((a, b) => a - b);
    expect(wins).toEqual(Array.from({ length: 40 }, (_, index) => index + 2));
    const store = await opened(connect(where));
    const versions = (await store.history('shop', 100)).map(({ stateVersion }) => stateVersion);
    expect(versions).toEqual([...wins].reverse());
  });

  test('a watcher in another process sees a change within a second', async () => {
    const where = address();
    const store = await opened(connect(where));
    const first = (await store.load('shop')).version;
    const watcher = run(where, 'watch');
    await until(10_000, () => watcher.lines[0] === first);
    for (let round = 0; round < 5; round++) {
      const version = await toggle(store);
      expect(await until(1_000, () => watcher.lines.at(-1) === version)).toBeLessThan(1_000);
    }
    expect(watcher.lines).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('evidence of two processes adds up, and a killed committer leaves state and audit agreeing', async () => {
    const where = address();
    const store = await opened(connect(where));
    await store.load('shop');
    const killed = run(where, 'commit', '100000');
    const adding = [run(where, 'evidence', '50'), run(where, 'evidence', '50')];
    await Promise.all(adding.map(({ ended }) => ended));
    await expect
      .poll(async () => (await store.load('shop')).version, { timeout: 20_000 })
      .toBeGreaterThan(1);
    killed.kill();
    await killed.ended;
    expect((await store.evidence.since('shop', 0))[0]?.compared).toBe(100);
    const { version } = await store.load('shop');
    const lines = await store.history('shop', 100_000);
    expect(version).toBeGreaterThan(1);
    expect(lines.length).toBe(version - 1);
    expect(lines[0]?.stateVersion).toBe(version);
  });

  test('a control store of a newer format is refused, and left alone', async () => {
    const where = address();
    const store = await opened(connect(where));
    await store.load('shop');
    if (where.includes('://')) {
      await query(where, 'update changeover_control.format set version = 9');
    } else {
      const database = new Database(where);
      database.exec('update format set version = 9');
      database.close();
    }
    const other = await opened(connect(where));
    await expect(other.load('shop')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/format 9.*knows formats up to \d+.*newer release/),
    });
  });
});

describe('sqlite, trouble', () => {
  const file = (): string => join(mkdtempSync(join(folder, 's-')), 'control.db');

  test('a file that is no database is named, with what to do', async () => {
    const where = file();
    writeFileSync(where, 'these are my notes, not a database\n'.repeat(200));
    const store = await opened(sqlite({ file: where }));
    await expect(store.load('shop')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/damaged.*Restore it from a backup/),
    });
  });

  test('a damaged page is reported as damage', async () => {
    const where = file();
    const first = await opened(sqlite({ file: where }));
    await first.load('shop');
    await first.close();
    const database = new Database(where);
    database.exec('pragma wal_checkpoint(truncate)');
    database.close();
    const size = 4096;
    const garbage = Buffer.alloc(size * 12, 0x5a);
    const handle = openSync(where, 'r+');
    writeSync(handle, garbage, 0, garbage.length, size);
    closeSync(handle);
    const store = await opened(sqlite({ file: where }));
    await expect(store.load('shop')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('a path that is a folder is reported as not writable', async () => {
    const where = file();
    mkdirSync(where);
    const store = await opened(sqlite({ file: where }));
    await expect(store.load('shop')).rejects.toMatchObject({
      code: 'CONTROL_UNAVAILABLE',
      message: expect.stringMatching(/cannot be opened/),
    });
  });

  test('a file that was deleted under a running process is noticed, not written on', async () => {
    const where = file();
    const store = await opened(sqlite({ file: where }));
    await store.load('shop');
    await toggle(store);
    rmSync(where);
    await expect(store.load('shop')).rejects.toMatchObject({
      code: 'CONTROL_UNAVAILABLE',
      message: expect.stringMatching(/deleted or replaced/),
    });
  });

  test('a process that is stopped inside a transaction blocks nobody longer than the deadline, and no event loop', async () => {
    const where = file();
    const store = await opened(sqlite({ file: where }));
    await store.load('shop');
    const holder = new Database(where);
    holder.exec('begin immediate');
    let longestMs = 0;
    let last = performance.now();
    const ticker = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last);
      last = performance.now();
    }, 5);
    await expect(store.note('shop', entry)).rejects.toMatchObject({
      code: 'CONTROL_UNAVAILABLE',
      message: expect.stringMatching(/locked/),
    });
    clearInterval(ticker);
    expect(longestMs).toBeLessThan(250);
    expect((await store.load('shop')).version).toBe(1);
    holder.exec('rollback');
    holder.close();
    await store.note('shop', entry);
  });

  test('a file that may not grow is reported with the disk, and keeps what it has', async () => {
    const where = file();
    const limited = follow(
      spawn('bash', [
        '-c',
        'ulimit -f 1024; exec "$@"',
        'bash',
        process.execPath,
        '--import',
        'tsx',
        program,
        where,
        'fill',
      ]),
    );
    await limited.ended;
    expect(limited.lines[0]).toMatchObject({
      code: 'CONTROL_UNAVAILABLE',
      message: expect.stringMatching(/free space/i),
    });
    const store = await opened(sqlite({ file: where }));
    expect((await store.history('shop', 10_000)).length).toBeGreaterThan(10);
    await store.note('shop', entry);
  });

  test('a full disk is reported as full, and work goes on when there is space again', async (context) => {
    const mount = mkdtempSync(join(folder, 'disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount], { stdio: 'ignore' });
    } catch {
      // Only root may mount; the test above covers the same path with a limit on the file.
      context.skip();
    }
    try {
      const ballast = join(mount, 'ballast');
      writeFileSync(ballast, Buffer.alloc(300_000));
      const store = await opened(sqlite({ file: join(mount, 'control.db') }));
      const detail = { text: 'x'.repeat(10_000) };
      const filling = async (): Promise<void> => {
        for (let index = 0; index < 1_000; index++) await store.note('shop', { ...entry, detail });
      };
      await expect(filling()).rejects.toMatchObject({
        code: 'CONTROL_UNAVAILABLE',
        message: expect.stringMatching(/full/),
      });
      rmSync(ballast);
      await store.note('shop', entry);
      await store.close();
    } finally {
      execFileSync('umount', ['-l', mount]);
    }
  });
});

describe('postgres, trouble', () => {
  test('a server that never was there is CONTROL_UNAVAILABLE without the password', async () => {
    const store = await opened(postgresControl({ url: 'postgres://me:s3cret@127.0.0.1:1/none' }));
    const error: unknown = await store.load('shop').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
    expect(String(error)).toContain('127.0.0.1:1');
    expect(String(error)).not.toContain('s3cret');
    expect(store.display).not.toContain('s3cret');
  });

  test('what is not an address is refused at once', () => {
    expect(() => postgresControl({ url: 'here' })).toThrow(/CONFIG_INVALID/);
    expect(() => postgresControl({ url: 'mysql://x@y/z' })).toThrow(/mysql:/);
  });

  test('a role that may create nothing works once the tables are there, and is told before', async () => {
    const url = databases.url(0);
    const role = `plain_${process.pid}`;
    await query(url, `create role ${role} login password 'x'`);
    try {
      const plain = new URL(url);
      plain.username = role;
      plain.password = 'x';
      const early = await opened(postgresControl({ url: plain.href }));
      await expect(early.load('shop')).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(/permission denied/),
      });
      const owner = await opened(postgresControl({ url }));
      await owner.load('shop');
      await query(url, `grant usage on schema changeover_control to ${role}`);
      await query(url, `grant all on all tables in schema changeover_control to ${role}`);
      expect((await early.load('shop')).version).toBe(1);
      await toggle(early);
      expect((await owner.load('shop')).version).toBe(2);
    } finally {
      await query(url, `drop owned by ${role}`);
      await query(url, `drop role ${role}`);
    }
  });

  test('a notification, not the poll, brings a change', async () => {
    const url = databases.url(0);
    const writer = await opened(postgresControl({ url }));
    const reader = await opened(postgresControl({ url }));
    const seen: number[] = [];
    reader.watch(
      'shop',
      ({ version }) => seen.push(version),
      () => {},
    );
    await until(2_000, () => seen.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const times: number[] = [];
    for (let round = 0; round < 9; round++) {
      const version = await toggle(writer);
      times.push(await until(1_000, () => seen.at(-1) === version));
    }
    expect(times.sort((a, b) => a - b)[4]).toBeLessThan(100);
  });

  test('a watcher that hears notifications hardly asks', async () => {
    const url = databases.url(0);
    const store = await opened(postgresControl({ url }));
    const seen: number[] = [];
    store.watch(
      'shop',
      ({ version }) => seen.push(version),
      () => {},
    );
    await until(2_000, () => seen.length === 1);
    const asked = async (): Promise<number> => {
      const rows = await query<{ n: number }>(
        url,
        'select xact_commit::int as n from pg_stat_database where datname = current_database()',
      );
      return rows[0]?.n ?? Number.NaN;
    };
    // The server counts with up to a second of delay.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const before = await asked();
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    // Each 250 ms would be 24 and more.
    expect((await asked()) - before).toBeLessThan(18);
    expect(await toggle(store)).toBe(2);
    await until(1_000, () => seen.at(-1) === 2);
  });

  test('the backend of a watcher is ended: it listens again', async () => {
    const url = databases.url(0);
    const store = await opened(postgresControl({ url }));
    const seen: number[] = [];
    store.watch(
      'shop',
      ({ version }) => seen.push(version),
      () => {},
    );
    await until(2_000, () => seen.length === 1);
    await query(
      url,
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'changeover-control' and datname = current_database()`,
    );
    const writer = await opened(postgresControl({ url }));
    const version = await toggle(writer);
    await until(1_500, () => seen.at(-1) === version);
    const listening = async (): Promise<boolean> =>
      (
        await query(
          url,
          `select 1 from pg_stat_activity where query ilike 'listen %' and datname = current_database()`,
        )
      ).length > 0;
    for (let tries = 0; !(await listening()); tries++) {
      if (tries > 100) throw new Error('nobody listens');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });

  test('a server that hangs, dies and returns: calls end by their deadline, the watcher recovers', async () => {
    const server = await useServer();
    const url = await server.createDatabase('control');
    const store = await opened(postgresControl({ url }));
    const seen: number[] = [];
    const errors: unknown[] = [];
    store.watch(
      'shop',
      ({ version }) => seen.push(version),
      (error) => errors.push(error),
    );
    await until(3_000, () => seen.length === 1);
    server.pause();
    const start = performance.now();
    await expect(store.load('shop')).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
    expect(performance.now() - start).toBeLessThan(12_000);
    await until(8_000, () => errors.length > 0);
    server.resume();
    await server.kill();
    await expect(store.load('shop')).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
    await server.start();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.end();
    const version = await toggle(await opened(postgresControl({ url })));
    await until(3_000, () => seen.at(-1) === version);
    expect(seen).toEqual([1, 2]);
    for (const error of errors) expect(error).toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
    server.pause();
    const closing = performance.now();
    await store.close();
    expect(performance.now() - closing).toBeLessThan(4_000);
    server.resume();
  });

  test('a control store that was restored from a backup is not followed back', async () => {
    const url = databases.url(0);
    const store = await opened(postgresControl({ url }));
    await toggle(store);
    await toggle(store);
    const seen: number[] = [];
    const errors: string[] = [];
    store.watch(
      'shop',
      ({ version }) => seen.push(version),
      (error) => errors.push(String(error)),
    );
    await until(2_000, () => seen.length === 1);
    await query(url, 'update changeover_control.migration_state set version = 2');
    await until(2_000, () => errors.length > 0);
    expect(errors[0]).toMatch(/went back from state version 3 to 2/);
    expect(seen).toEqual([3]);
  });
});
