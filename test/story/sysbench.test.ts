import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb, missingSysbench } from '../support/requirements.ts';
import { sbtestArguments, sbtestConfig, sbtestTables, sbtestTarget } from '../support/sbtest.ts';
import { nobodyReads, WholeMigration } from '../support/whole-migration.ts';

describe.skipIf(missingMariadb() || missingSysbench())(
  'sysbench goes on while its MariaDB is migrated to PostgreSQL by the binary log',
  { timeout: 240_000 },
  () => {
    const mariadb = withMariadb(1);
    const postgres = withDatabases(1);
    let migration: WholeMigration;
    let traffic: { readonly child: ChildProcess; readonly output: () => string } | null = null;

    const args = (command: 'prepare' | 'run', seconds: number): string[] =>
      sbtestArguments(mariadb.server, mariadb.name(0), command, { seconds, rate: 60 });
    const start = (seconds: number): void => {
      const child = spawn('sysbench', args('run', seconds), { stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
      traffic = { child, output: () => text };
    };
    const ended = async (): Promise<string> => {
      if (traffic === null) throw new Error('no traffic');
      const { child, output } = traffic;
      traffic = null;
      if (child.exitCode === null) await once(child, 'close');
      expect(child.exitCode, output()).toBe(0);
      return output();
    };

    beforeAll(async () => {
      const made = spawnSync('sysbench', args('prepare', 0), { encoding: 'utf8' });
      if (made.status !== 0) throw new Error(made.stdout + made.stderr);
      await postgres.query(0, sbtestTarget);
      migration = new WholeMigration(sbtestConfig(mariadb.url(0), postgres.url(0)));
    });
    afterAll(async () => {
      traffic?.child.kill('SIGKILL');
      await migration?.close();
    });

    const rows = async (): Promise<readonly [string[], string[]]> => {
      const sql = (name: string): string =>
        `SELECT concat_ws('|', id, k, c, pad) AS t FROM ${name}`;
      const source: string[] = [];
      const target: string[] = [];
      for (const name of sbtestTables) {
        for (const { t } of await mariadb.query<{ t: string }>(0, sql(name))) source.push(name + t);
        for (const row of await postgres.query(0, sql(name)))
          target.push(name + String((row as { t: string }).t));
      }
      return [source.sort(), target.sort()];
    };
    const equal = async (): Promise<void> => {
      for (const until = Date.now() + 30_000; ; await sleep(250)) {
        const [source, target] = await rows();
        const at = source.findIndex((text, index) => text !== target[index]);
        if (source.length === target.length && at < 0) return;
        if (Date.now() > until)
          expect([source.length, source[at]], migration.problems.join('\n')).toEqual([
            target.length,
            target[at],
          ]);
      }
    };

    test('copied, followed and compared under load', async () => {
      start(25);
      await sleep(500);
      await migration.start();
      await migration.toReadSwitch();
      const report = await ended();
      expect(Number(/transactions: +(\d+)/.exec(report)?.[1])).toBeGreaterThan(200);
      expect(report).toMatch(/reconnects: +0 /);
      await equal();
    });

    test('the direction turns, and MariaDB follows PostgreSQL', async () => {
      await migration.run('dial', '100');
      await migration.advance(nobodyReads);
      await postgres.query(0, `UPDATE sbtest1 SET k = k + 1, c = 'é' || id WHERE id % 500 = 0`);
      await postgres.query(0, 'DELETE FROM sbtest2 WHERE id % 1000 = 0');
      await postgres.query(0, `INSERT INTO sbtest2 VALUES (900000, 1, 'new', '')`);
      await equal();
    });

    test('and back, under load', async () => {
      await migration.run('rollback', '--yes', '--reason', 'in a test');
      start(3);
      await ended();
      await equal();
      await migration.run('verify');
    });
  },
);
