import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ChangeStream, LogChange, LogCheckpoint } from '../../src/log/index.ts';
import { startPrivateMariadb } from '../support/mariadb-server.ts';
import { checkpointAt, collect, openMysqlLog, told } from '../support/mysql-log.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missing, missingMariadb, missingSysbench } from '../support/requirements.ts';

const STREAM = 'changeover_log_s_1';
const TABLES = 3;
const ROWS = 2_000;

/** Rows by table and key, as the changes leave them. */
type State = Map<string, Map<string, string>>;

function replay(state: State, { table, kind, before, after }: LogChange): void {
  const rows = state.get(table.name) ?? new Map<string, string>();
  state.set(table.name, rows);
  const key = (values: LogChange['after']): string => String(values?.[0]);
  if (kind === 'truncate') rows.clear();
  if (kind === 'insert' && rows.has(key(after))) throw new Error(`${key(after)} is inserted twice`);
  if (kind === 'delete' && !rows.has(key(before))) throw new Error(`${key(before)} was not there`);
  if (kind === 'update' && !rows.has(key(before ?? after)))
    throw new Error('updated, but not there');
  if (before !== null) rows.delete(key(before));
  if (after !== null) rows.set(key(after), after.map(String).join('|'));
}

describe.skipIf(missingMariadb() || missingSysbench())('the log under sysbench', () => {
  const databases = withMariadb(1);

  function sysbench(...command: readonly string[]): Promise<void> {
    const { host, port, user, password } = databases.server;
    const program = spawn(
      'sysbench',
      [
        'oltp_read_write',
        `--mysql-host=${host}`,
        `--mysql-port=${port}`,
        `--mysql-user=${user}`,
        `--mysql-password=${password}`,
        `--mysql-db=${databases.name(0)}`,
        `--tables=${TABLES}`,
        `--table-size=${ROWS}`,
        '--threads=4',
        ...command,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let said = '';
    program.stdout.on('data', (text) => {
      said += text;
    });
    program.stderr.on('data', (text) => {
      said += text;
    });
    return new Promise((resolve, reject) => {
      program.on('error', reject);
      program.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(said))));
    });
  }

  test('tells every row as it is in the end, over readers that come and go', async () => {
    const shapes = Array.from({ length: TABLES }, (_, index) => ({
      table: `sbtest${index + 1}`,
      key: ['id'],
    }));
    await sysbench('prepare');
    // From nothing, so that the log alone makes the tables.
    for (const { table } of shapes) await databases.query(0, `TRUNCATE ${table}`);
    const log = openMysqlLog(databases.url(0), shapes);
    const state: State = new Map();
    const open = (from: LogCheckpoint): Promise<ChangeStream> =>
      log.source.open({ stream: STREAM, from, changesMax: 500, bytesMax: 200_000, whole: false });
    try {
      let checkpoint = checkpointAt(await log.source.install(STREAM, 5_000));
      for (const { table } of shapes)
        await databases.query(
          0,
          `INSERT INTO ${table} SELECT seq, seq, 'c', 'pad' FROM seq_1_to_${ROWS}`,
        );
      let running = true;
      const traffic = sysbench('--time=6', '--events=0', 'run').finally(() => {
        running = false;
      });
      let stream = await open(checkpoint);
      let last = 0n;
      let seen = 0;
      while (running) {
        const batch = await stream.next(100);
        for (const change of batch.changes) {
          expect(change.sequence).toBeGreaterThanOrEqual(last);
          last = change.sequence;
          replay(state, change);
        }
        seen += batch.changes.length;
        checkpoint = batch.checkpoint;
        if (seen < 5_000) continue;
        // A reader that ends, and another one that goes on where the follower stands.
        seen = 0;
        await stream.close();
        stream = await open(checkpoint);
      }
      await traffic;
      for (const change of (await collect(log, stream)).changes) replay(state, change);
      await stream.close();
      for (const { table } of shapes) {
        const { rows } = await log.session.query(`SELECT id, k, c, pad FROM ${table}`);
        const expected = rows.map((row) => row.map(String).join('|')).sort();
        expect([...(state.get(table)?.values() ?? [])].sort()).toEqual(expected);
        expect(rows.length).toBe(ROWS);
      }
    } finally {
      await log.source.remove(STREAM);
      await log.close();
    }
  });
});

const PLUGIN = '/usr/lib/mysql/plugin/file_key_management.so';
const KEY = '1;a7addd9adea9978fda19f21e6be987880e68ac92632ca052e5bb42b1a506939a\n';

test.skipIf(missingMariadb() || missing("MariaDB's plugin for keys in a file", existsSync(PLUGIN)))(
  'an encrypted log is read: the server decrypts what it sends',
  async () => {
    const server = await startPrivateMariadb();
    try {
      const keys = join(server.dataDir, '..', 'keys');
      writeFileSync(keys, KEY, { mode: 0o644 });
      await server.restart({
        plugin_load_add: 'file_key_management',
        file_key_management_filename: keys,
        encrypt_binlog: 'ON',
      });
      const url = await server.createDatabase('shop');
      await server.query('CREATE TABLE orders (id int PRIMARY KEY, note text)', [], 'shop');
      const log = openMysqlLog(url, [{ table: 'orders', key: ['id'] }]);
      const start = await log.source.install(STREAM, 5_000);
      await server.query("INSERT INTO orders VALUES (1, 'secret')", [], 'shop');
      const stream = await log.source.open({
        stream: STREAM,
        from: checkpointAt(start),
        changesMax: 10,
        bytesMax: 10_000,
        whole: false,
      });
      const { changes } = await collect(log, stream);
      expect(changes.map(told)).toEqual(['insert orders (id=1 note=secret)']);
      await stream.close();
      await log.close();
    } finally {
      await server.stop();
    }
  },
);
