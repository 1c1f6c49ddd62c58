import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { ChangeStream, LogCheckpoint } from '../../src/log/index.ts';
import { checkpointAt, collect, type MysqlLog, openMysqlLog, told } from '../support/mysql-log.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const STREAM = 'changeover_log_s_1';
const orders = [{ table: 'orders', key: ['id'] }];
const WITNESS = / \d+#[0-9a-f]{8}$/;

describe.skipIf(missingMariadb())('the log of MariaDB, followed by GTID', () => {
  const databases = withMariadb(1, { scope: 'test' });
  const run = (sql: string): Promise<unknown> => databases.query(0, sql);
  /** Statements on one connection. */
  const session = (...statements: readonly string[]): Promise<unknown> =>
    run(statements.join('; '));

  async function open(log: MysqlLog, from: LogCheckpoint): Promise<ChangeStream> {
    const limits = { changesMax: 1_000, bytesMax: 1_000_000, whole: false };
    return log.source.open({ stream: STREAM, from, ...limits });
  }

  /** Opens, reads up to now and closes. */
  async function readFrom(
    from: LogCheckpoint,
  ): Promise<{ readonly rows: readonly string[]; readonly checkpoint: LogCheckpoint }> {
    const log = openMysqlLog(databases.url(0), orders);
    try {
      const stream = await open(log, from);
      try {
        const { changes, checkpoint } = await collect(log, stream);
        return { rows: changes.map(told), checkpoint };
      } finally {
        await stream.close();
      }
    } finally {
      await log.close();
    }
  }

  async function install(): Promise<LogCheckpoint> {
    await run('CREATE TABLE orders (id int PRIMARY KEY, note varchar(40))');
    const log = openMysqlLog(databases.url(0), orders);
    const start = checkpointAt(await log.source.install(STREAM, 5_000));
    await log.close();
    return start;
  }

  async function withLog(body: (start: LogCheckpoint) => Promise<void>): Promise<void> {
    try {
      await body(await install());
    } finally {
      await run('DROP DATABASE IF EXISTS changeover_log_source');
    }
  }

  const insert = (id: number): string => `INSERT INTO orders VALUES (${id}, 'x')`;
  const row = (id: number): string => `insert orders (id=${id} note=x)`;
  const gtidsOf = (checkpoint: LogCheckpoint): string =>
    / ([^ #]+)(?: \d+#\w+)?$/.exec(checkpoint.position.text)?.[1] ?? '';
  const changed = (checkpoint: LogCheckpoint, text: string): LogCheckpoint => ({
    ...checkpoint,
    position: { ...checkpoint.position, text },
  });
  /** How the server was asked the last time for more than a glance. */
  const asked = (): string =>
    readFileSync(databases.server.logPath, 'utf8')
      .split('\n')
      .filter((line) => line.includes('Start binlog_dump'))
      .at(-1) ?? '';

  const lost = (message: RegExp): object => ({
    code: 'LOG_LOST',
    message: expect.stringMatching(message),
  });

  test('goes on across new files, a restart and a kill', async () => {
    await withLog(async (start) => {
      expect(gtidsOf(start)).toMatch(/^0-\d+-\d+$/);
      await run(insert(1));
      const first = await readFrom(start);
      expect(first.rows).toEqual([row(1)]);
      expect(asked()).toContain(`using_gtid(1), gtid('${gtidsOf(start)}')`);
      expect(first.checkpoint.position.text).toMatch(WITNESS);
      await run('FLUSH BINARY LOGS');
      await run('FLUSH BINARY LOGS');
      await run(insert(2));
      const second = await readFrom(first.checkpoint);
      expect(second.rows).toEqual([row(2)]);
      await databases.server.restart();
      await run(insert(3));
      const third = await readFrom(second.checkpoint);
      expect(third.rows).toEqual([row(3)]);
      await databases.server.kill();
      await databases.server.start();
      await run(insert(4));
      expect((await readFrom(third.checkpoint)).rows).toEqual([row(4)]);
      expect((await readFrom(start)).rows).toEqual([1, 2, 3, 4].map(row));
    });
  });

  test('goes on in each domain by itself', async () => {
    await withLog(async (start) => {
      let from = start;
      let id = 0;
      for (const domain of [0, 7, 3, 7, 0, 9]) {
        id += 1;
        await session(`SET gtid_domain_id = ${domain}`, insert(id));
        const { rows, checkpoint } = await readFrom(from);
        expect(rows).toEqual([row(id)]);
        from = checkpoint;
      }
      expect(gtidsOf(from)).toMatch(/^0-\d+-\d+,3-\d+-1,7-\d+-2,9-\d+-1$/);
      // Numbers of a domain may jump.
      await run('FLUSH BINARY LOGS');
      await session('SET gtid_domain_id = 7, gtid_seq_no = 1000', insert(50));
      const jumped = await readFrom(from);
      expect(jumped.rows).toEqual([row(50)]);
      expect(gtidsOf(jumped.checkpoint)).toMatch(/,7-\d+-1000,/);
      await session('SET gtid_domain_id = 3', insert(51));
      expect((await readFrom(jumped.checkpoint)).rows).toEqual([row(51)]);
      expect((await readFrom(from)).rows).toEqual([row(50), row(51)]);
      // What a replica logs has the numbers of its own source, in one domain with those of the server.
      await session('SET server_id = 99, gtid_seq_no = 5', insert(60));
      await session('SET server_id = 98, gtid_seq_no = 4', insert(61));
      let foreign = await readFrom(from);
      expect(foreign.rows).toEqual([50, 51, 60, 61].map(row));
      for (const [server, number] of [
        [98, 7],
        [99, 6],
        [98, 8],
      ]) {
        await session(
          `SET server_id = ${server}, gtid_seq_no = ${number}`,
          insert(60 + (number ?? 0)),
        );
        await run('FLUSH BINARY LOGS');
        foreign = await readFrom(foreign.checkpoint);
        expect(foreign.rows).toEqual([row(60 + (number ?? 0))]);
      }
    });
  });

  test('goes on behind a transaction that was prepared, and is not ours', async () => {
    await withLog(async (start) => {
      await run('CREATE TABLE other (id int PRIMARY KEY) ENGINE = InnoDB');
      const { checkpoint: before } = await readFrom(start);
      const prepare = [
        "XA START 'a'",
        'INSERT INTO other VALUES (1)',
        "XA END 'a'",
        "XA PREPARE 'a'",
      ];
      const log = openMysqlLog(databases.url(0), orders);
      const stream = await open(log, before);
      await session(...prepare);
      let checkpoint = before;
      await expect
        .poll(async () => {
          ({ checkpoint } = await stream.next(100));
          return checkpoint.position.sequence;
        })
        .toBeGreaterThan(before.position.sequence);
      await stream.close();
      await log.close();
      const [, file, end] = /^(\S+):(\d+)@/.exec(checkpoint.position.text) ?? [];
      const events = await databases.query<{ Event_type: string; End_log_pos: string }>(
        0,
        `SHOW BINLOG EVENTS IN '${file}'`,
      );
      expect(events.at(-1)).toMatchObject({ Event_type: 'XA_prepare', End_log_pos: end });
      await run(insert(1));
      await run(insert(2));
      await run("XA COMMIT 'a'");
      expect((await readFrom(checkpoint)).rows).toEqual([row(1), row(2)]);
    });
  });

  test('reads on from a checkpoint without GTID, and has it from the next file on', async () => {
    await withLog(async (start) => {
      await run(insert(1));
      const old = changed(start, start.position.text.replace(/ .*$/, ''));
      const first = await readFrom(old);
      expect(first.rows).toEqual([row(1)]);
      expect(asked()).toContain('using_gtid(0)');
      expect(gtidsOf(first.checkpoint)).toBe('');
      await run('FLUSH BINARY LOGS');
      await run(insert(2));
      const second = await readFrom(first.checkpoint);
      expect(second.rows).toEqual([row(2)]);
      expect(gtidsOf(second.checkpoint)).toMatch(/^0-/);
      await run(insert(3));
      expect((await readFrom(second.checkpoint)).rows).toEqual([row(3)]);
      expect(asked()).toContain('using_gtid(1)');
    });
  });

  test('a server that counts other transactions as those that were read is another one', async () => {
    await withLog(async (start) => {
      await run(insert(1));
      const one = (await readFrom(start)).checkpoint;
      await run(insert(2));
      const two = (await readFrom(one)).checkpoint;
      const [placeOne = ''] = one.position.text.split(' ');
      const [placeTwo = ''] = two.position.text.split(' ');
      const mixed = (place: string, gtids: string): LogCheckpoint =>
        changed(one, `${place} ${gtids}`);
      await expect(readFrom(mixed(placeOne, gtidsOf(two)))).rejects.toMatchObject(
        lost(/behind GTID [^)]+\), but the server counts what follows there/),
      );
      await expect(readFrom(mixed(placeTwo, gtidsOf(one)))).rejects.toMatchObject(
        lost(/the server sends a transaction before it/),
      );
      const unknown = gtidsOf(two).replace(/\d+$/, (number) => String(Number(number) + 1_000));
      await expect(readFrom(mixed(placeTwo, unknown))).rejects.toMatchObject(
        lost(/-\d+, which is not in the master's binlog/),
      );
    });
  });

  /**
   * Two histories of one server, in a file of one name and one stamp, with transactions of one size; the second one is what the server has then.
   *
   * @returns where the first one was read to, behind three rows
   */
  async function setBack(start: LogCheckpoint, domains: readonly number[]): Promise<LogCheckpoint> {
    const { server } = databases;
    const copy = join(server.dataDir, '..', 'copy');
    const write = async (ids: readonly number[], inDomains: readonly number[]): Promise<void> => {
      await session('SET timestamp = 1700000000', 'FLUSH BINARY LOGS');
      for (const [index, id] of ids.entries())
        await session(`SET gtid_domain_id = ${inDomains[index] ?? 0}`, insert(id));
    };
    await server.shutdown();
    copyFolder(server.dataDir, copy);
    await server.start();
    await write([1, 2, 3], []);
    const log = openMysqlLog(databases.url(0), orders);
    const stream = await open(log, start);
    const rows: string[] = [];
    let checkpoint = start;
    while (rows.length < 3 || checkpoint.skip > 0) {
      const batch = await stream.next(100);
      rows.push(...batch.changes.map(told));
      checkpoint = batch.checkpoint;
    }
    expect(rows).toEqual([1, 2, 3].map(row));
    await stream.close();
    await log.close();
    await server.shutdown();
    rmSync(server.dataDir, { recursive: true });
    copyFolder(copy, server.dataDir);
    rmSync(copy, { recursive: true });
    // Transactions tell by the second when they were made.
    await sleep(1_100);
    await server.start();
    await write([4, 5, 6, 7, 8], domains);
    return checkpoint;
  }

  const without = ({ position: { text } }: LogCheckpoint, what: RegExp): string =>
    text.replace(what, '');

  test('a server that was set back and has made other transactions since is another one', async () => {
    await withLog(async (start) => {
      const read = await setBack(start, [0, 5]);
      const gtids = gtidsOf(read);
      const found = /^0-\d+-\d+/
        .exec(gtids)?.[0]
        .replace(/\d+$/, (last) => String(Number(last) - 1));
      await expect(readFrom(read)).rejects.toMatchObject(
        lost(new RegExp(`behind GTID ${gtids}\\).* another one: GTID ${found} of .*start anew`)),
      );
      await expect(readFrom(changed(read, without(read, WITNESS)))).rejects.toMatchObject(
        lost(new RegExp(`behind GTID ${gtids}\\), but the server sends a transaction before it`)),
      );
      // File and offset do not tell it.
      expect((await readFrom(changed(read, without(read, / .*$/)))).rows).toEqual([7, 8].map(row));
    });
  });

  test('… also where they have the same numbers', async () => {
    await withLog(async (start) => {
      const read = await setBack(start, []);
      const last = /0-\d+-\d+/.exec(gtidsOf(read))?.[0];
      await expect(readFrom(read)).rejects.toMatchObject(
        lost(new RegExp(`behind GTID .* another one: GTID ${last} of 20\\S+Z.*start anew`)),
      );
    });
  });
});

function copyFolder(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}
