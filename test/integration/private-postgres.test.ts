import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import {
  hasPostgres,
  type PrivatePostgres,
  type PrivatePostgresOptions,
  startPrivatePostgres,
} from '../../src/demo/private-postgres.ts';
import { childrenOf, isRunning } from '../../src/demo/process-tree.ts';
import { query, withClient } from '../support/databases.ts';

const open: PrivatePostgres[] = [];

async function start(options: PrivatePostgresOptions = {}): Promise<PrivatePostgres> {
  const server = await startPrivatePostgres(options);
  open.push(server);
  return server;
}

afterEach(async () => {
  for (const server of open.splice(0)) await server.stop();
});

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 8_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('waited 8 s in vain');
    await sleep(20);
  }
}

describe.each(['embedded', 'system'] as const)('with the %s programs', (source) => {
  const available = hasPostgres(source);

  test.skipIf(!available)('a server starts, serves and leaves nothing behind', async () => {
    const server = await start({ source });
    const pid = server.pid as number;
    const url = await server.createDatabase('odd "name"');
    expect(await query(url, 'SELECT current_database() AS name')).toEqual([{ name: 'odd "name"' }]);
    await Promise.all([server.stop(), server.stop()]);
    expect(isRunning(pid)).toBe(false);
    expect(existsSync(server.dataDir)).toBe(false);
    expect(existsSync(server.logPath)).toBe(false);
    await expect(server.start()).rejects.toThrow(/for good/);
  });

  test.skipIf(!available)('a confirmed commit survives kill -9 of the server', async () => {
    const server = await start({ source });
    await query(server.url(), 'CREATE TABLE t (id int)');
    for (let id = 0; id < 20; id += 1) {
      await query(server.url(), 'INSERT INTO t VALUES ($1)', [id]);
    }
    const { port, pid } = server;
    const family = [pid as number, ...childrenOf(pid as number)];
    await server.kill();
    expect(server.pid).toBeUndefined();
    await until(() => family.every((member) => !isRunning(member)));
    await expect(query(server.url(), 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
    await server.start();
    expect(server.port).toBe(port);
    expect(await query(server.url(), 'SELECT count(*)::int AS n FROM t')).toEqual([{ n: 20 }]);
  });
});

test('settings reach the server, logical decoding is on, and ALTER SYSTEM wins', async () => {
  const server = await start({ settings: { 'app.motto': "it's \\ fine", work_mem: '7MB' } });
  const show = async (name: string): Promise<unknown> =>
    (await query(server.url(), 'SELECT current_setting($1) AS value', [name]))[0]?.['value'];
  expect(await show('app.motto')).toBe("it's \\ fine");
  expect(await show('work_mem')).toBe('7MB');
  expect(await show('wal_level')).toBe('logical');
  expect(await show('listen_addresses')).toBe('127.0.0.1');
  expect(await show('unix_socket_directories')).toBe('');
  expect(await show('synchronous_commit')).toBe('on');
  expect(await show('fsync')).toBe('off');
  await query(server.url(), "ALTER SYSTEM SET work_mem = '9MB'");
  await server.shutdown();
  await server.start();
  expect(await show('work_mem')).toBe('9MB');
});

test('a paused server keeps its connections and answers nothing until it is resumed', async () => {
  const server = await start();
  await withClient(server.url(), async (client) => {
    server.pause();
    let answered = false;
    const answer = client.query('SELECT 1').then(() => {
      answered = true;
    });
    await sleep(300);
    expect(answered).toBe(false);
    server.resume();
    await answer;
    expect(answered).toBe(true);
  });
});

test('a paused server can be stopped', async () => {
  const server = await start();
  const pid = server.pid as number;
  server.pause();
  await server.stop();
  expect(isRunning(pid)).toBe(false);
});

test('a data folder that was given is kept and can be started again', async () => {
  const first = await start({ keep: true });
  await query(first.url(), 'CREATE TABLE kept (id int)');
  await first.stop();
  expect(existsSync(first.dataDir)).toBe(true);
  const second = await start({ dataDir: first.dataDir, keep: false });
  expect(await query(second.url(), 'SELECT * FROM kept')).toEqual([]);
  await second.stop();
  expect(existsSync(first.dataDir)).toBe(false);
  await rm(dirname(first.dataDir), { recursive: true });
});

test('a port that is taken is refused with the words of the server', async () => {
  const first = await start();
  await expect(startPrivatePostgres({ port: first.port })).rejects.toThrow(
    /ended while it was starting[\s\S]*in use/,
  );
});

describe('when its owner ends', () => {
  const program = fileURLToPath(new URL('../support/postgres-owner.ts', import.meta.url));

  async function owner(mode: string): Promise<{ child: ChildProcess; pid: number; data: string }> {
    const child = spawn(process.execPath, ['--import', 'tsx', program, mode], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const [line] = (await once(lines, 'line')) as [string];
    return { child, ...(JSON.parse(line) as { pid: number; data: string }) };
  }

  test.each([
    ['is killed with SIGKILL', 'serve', 'SIGKILL'],
    ['is killed with SIGKILL while the server is paused', 'paused', 'SIGKILL'],
    ['is interrupted', 'serve', 'SIGINT'],
    ['is terminated', 'serve', 'SIGTERM'],
    ['exits without a word', 'exit', undefined],
  ] as const)('because it %s, the server and its folder go too', async (_title, mode, signal) => {
    const { child, pid, data } = await owner(mode);
    if (signal) {
      expect(isRunning(pid)).toBe(true);
      child.kill(signal);
    }
    await until(() => !isRunning(pid));
    await until(() => !existsSync(dirname(data)));
  });
});
