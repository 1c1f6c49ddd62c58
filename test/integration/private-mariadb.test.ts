import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createConnection } from 'mysql2/promise';
import { afterEach, describe, expect, test } from 'vitest';
import { isRunning } from '../../src/demo/process-tree.ts';
import {
  type PrivateMariadb,
  type PrivateMariadbOptions,
  startPrivateMariadb,
} from '../support/mariadb-server.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const open: PrivateMariadb[] = [];

async function start(options: PrivateMariadbOptions = {}): Promise<PrivateMariadb> {
  const server = await startPrivateMariadb(options);
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

describe.skipIf(missingMariadb())('a private MariaDB', () => {
  test('starts, serves and leaves nothing behind', async () => {
    const server = await start();
    const pid = server.pid as number;
    const url = await server.createDatabase('odd name');
    const connection = await createConnection(url);
    const [rows] = await connection.query('SELECT database() AS name');
    await connection.end();
    expect(rows).toEqual([{ name: 'odd name' }]);
    await Promise.all([server.stop(), server.stop()]);
    expect(isRunning(pid)).toBe(false);
    expect(existsSync(server.dataDir)).toBe(false);
    expect(existsSync(server.logPath)).toBe(false);
    await expect(server.start()).rejects.toThrow(/for good/);
  });

  test('a confirmed commit and its log survive kill -9 of the server', async () => {
    const server = await start();
    await server.createDatabase('d');
    await server.query('CREATE TABLE t (id int PRIMARY KEY)', [], 'd');
    for (let id = 0; id < 20; id += 1) await server.query('INSERT INTO t VALUES (?)', [id], 'd');
    const { port } = server;
    const pid = server.pid as number;
    await server.kill();
    expect(server.pid).toBeUndefined();
    expect(isRunning(pid)).toBe(false);
    await expect(server.query('SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
    await server.start();
    expect(server.port).toBe(port);
    expect(await server.query('SELECT count(*) AS n FROM t', [], 'd')).toEqual([{ n: '20' }]);
    const logs = await server.query<{ Log_name: string }>('SHOW BINARY LOGS');
    const events = await server.query<{ Event_type: string }>(
      `SHOW BINLOG EVENTS IN '${logs[0]?.Log_name}'`,
    );
    const rows = events.filter(({ Event_type }) => Event_type.startsWith('Write_rows'));
    expect(rows).toHaveLength(20);
  });

  test('its log is complete by default, and settings replace defaults, also at a restart', async () => {
    const server = await start({ settings: { default_time_zone: '+05:00', log_bin: null } });
    const show = async (name: string): Promise<unknown> =>
      (await server.query(`SELECT @@global.${name} AS value`))[0]?.['value'];
    expect(await show('time_zone')).toBe('+05:00');
    expect(await show('log_bin')).toBe('0');
    await server.restart({
      log_bin: 'binlog',
      default_time_zone: null,
      character_set_server: 'latin1',
    });
    expect(await show('log_bin')).toBe('1');
    expect(await show('character_set_server')).toBe('latin1');
    expect(await show('time_zone')).toBe('SYSTEM');
    expect(await show('system_time_zone')).toBe('UTC');
    expect(await show('binlog_format')).toBe('ROW');
    expect(await show('binlog_row_image')).toBe('FULL');
    expect(await show('binlog_row_metadata')).toBe('FULL');
    expect(await show('bind_address')).toBe('127.0.0.1');
    expect(Number(await show('server_id'))).toBeGreaterThan(0);
  });

  test('a user of ours may do what was granted and no more', async () => {
    const server = await start();
    await server.createDatabase('d');
    await server.query('CREATE TABLE t (id int)', [], 'd');
    const user = await server.createUser('reader', ['GRANT SELECT ON d.*']);
    const connection = await createConnection(server.url('d', user));
    await connection.query('SELECT * FROM t');
    await expect(connection.query('INSERT INTO t VALUES (1)')).rejects.toThrow(/denied/);
    await connection.end();
  });

  test('paused it keeps its connections and answers nothing until it is resumed', async () => {
    const server = await start();
    const connection = await createConnection(server.url());
    server.pause();
    let answered = false;
    const answer = connection.query('SELECT 1').then(() => {
      answered = true;
    });
    await sleep(300);
    expect(answered).toBe(false);
    server.resume();
    await answer;
    await connection.end();
  });

  test('paused it can be stopped', async () => {
    const server = await start();
    const pid = server.pid as number;
    server.pause();
    await server.stop();
    expect(isRunning(pid)).toBe(false);
  });

  test('a setting that it does not know fails the start with the words of the server', async () => {
    await expect(startPrivateMariadb({ settings: { nonsense: '1' } })).rejects.toThrow(
      /unknown variable 'nonsense/,
    );
  });
});

describe.skipIf(missingMariadb())('when its owner', () => {
  const program = fileURLToPath(new URL('../support/mariadb-owner.ts', import.meta.url));

  test.each([
    ['is killed with SIGKILL', 'serve', 'SIGKILL'],
    ['is killed with SIGKILL while the server is paused', 'paused', 'SIGKILL'],
    ['is terminated', 'serve', 'SIGTERM'],
    ['exits without a word', 'exit', undefined],
  ] as const)('%s, the server and its folder go too', async (_title, mode, signal) => {
    const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', program, mode], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const [line] = (await once(lines, 'line')) as [string];
    const { pid, data } = JSON.parse(line) as { pid: number; data: string };
    if (signal) child.kill(signal);
    await until(() => !isRunning(pid) && !existsSync(data));
  });
});

describe.skipIf(missingMariadb())('databases for every test', () => {
  const databases = withMariadb(2, { scope: 'test' });

  test.each([1, 2])('are empty (%i)', async (round) => {
    await databases.query(0, 'CREATE TABLE t (id int)');
    await databases.query(0, 'INSERT INTO t VALUES (?)', [round]);
    expect(await databases.query(0, 'SELECT id FROM t')).toEqual([{ id: String(round) }]);
    expect(databases.url(1)).not.toBe(databases.url(0));
  });
});
