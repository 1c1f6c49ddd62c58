import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bankAnswers, bankConfig, bankFacts, bankTarget, makeBank } from '../support/bank.ts';
import { withClient } from '../support/databases.ts';
import { useServer } from '../support/private-postgres.ts';
import { missingSystemPostgres } from '../support/requirements.ts';
import { nobodyReads, WholeMigration } from '../support/whole-migration.ts';

describe.skipIf(missingSystemPostgres())(
  'pgbench goes on while its PostgreSQL is migrated from the log to another schema, there and back',
  { timeout: 240_000 },
  () => {
    const starting = useServer({ source: 'system', settings: { wal_level: 'logical' } });
    let url = '';
    let program = '';
    let migration: WholeMigration;
    let bench: { readonly child: ChildProcess; readonly output: () => string } | null = null;

    const urlOf = (database: string): string => url.replace(/\/[^/]*$/, `/${database}`);
    const read = (database: string, queries: readonly string[]): Promise<readonly string[]> =>
      bankAnswers(urlOf(database), queries);

    beforeAll(async () => {
      const server = await starting;
      url = server.url();
      program = join(server.binDir ?? '', 'pgbench');
      await withClient(url, async (client) => {
        await client.query('CREATE DATABASE old_bank');
        await client.query('CREATE DATABASE new_bank');
      });
      await makeBank(program, urlOf('old_bank'), 4);
      await withClient(urlOf('new_bank'), (client) => client.query(bankTarget));
      migration = new WholeMigration(bankConfig(urlOf('old_bank'), urlOf('new_bank')));
    });
    afterAll(async () => {
      bench?.child.kill('SIGKILL');
      await migration?.close();
    });

    const traffic = (seconds: number): void => {
      const args = [
        '-n',
        '-c',
        '4',
        '-j',
        '1',
        '-T',
        String(seconds),
        '-R',
        '150',
        urlOf('old_bank'),
      ];
      const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
      bench = { child, output: () => text };
    };
    const ended = async (): Promise<string> => {
      if (bench === null) throw new Error('no traffic');
      if (bench.child.exitCode === null) await once(bench.child, 'close');
      const output = bench.output();
      bench = null;
      return output;
    };
    const equal = async (): Promise<void> => {
      let last: unknown;
      for (const until = Date.now() + 30_000; Date.now() < until; await sleep(250)) {
        const [source, target] = [
          await read('old_bank', bankFacts.source),
          await read('new_bank', bankFacts.target),
        ];
        last = { source, target };
        if (JSON.stringify(source) === JSON.stringify(target)) return;
      }
      expect(last).toBe(`equal; worker: ${migration.problems.join('\n')}`);
    };

    test('the preflight passes', async () => {
      const check = await migration.run('check');
      expect(check.verdict).toBe('yes');
    });

    test('copied, followed and compared under load, and pgbench reports no error', async () => {
      traffic(25);
      await sleep(500);
      await migration.start();
      await migration.toReadSwitch();
      const report = await ended();
      expect(report).toMatch(/number of failed transactions: 0 /);
      expect(Number(/processed: (\d+)/.exec(report)?.[1])).toBeGreaterThan(500);
      await equal();
    });

    test('the write switch turns the direction: what the target commits comes back to the source', async () => {
      await migration.run('dial', '100');
      await migration.advance(nobodyReads);
      await withClient(urlOf('new_bank'), (client) =>
        client.query(`
          UPDATE bank.account SET balance = balance + 7 WHERE id % 1000 = 0;
          UPDATE bank.teller SET balance = balance + 1 WHERE id = 3;
          DELETE FROM bank.movement WHERE id % 2 = 0;
          UPDATE bank.teller SET branch_id = 2 WHERE id = 1;
          INSERT INTO bank.movement VALUES (1000000, 1, 1, 1, 5.00, '2026-01-01 00:00:00.123456+00')`),
      );
      await equal();
      await expect(
        withClient(urlOf('old_bank'), (client) =>
          client.query('UPDATE pgbench_accounts SET abalance = 0 WHERE aid = 1'),
        ),
      ).rejects.toThrow(/writes go to the other store/);
    });

    test('and back: the source is the authority again, and is followed again', async () => {
      await migration.run('rollback', '--yes', '--reason', 'in a test');
      traffic(3);
      const report = await ended();
      expect(report).toMatch(/number of failed transactions: 0 /);
      await equal();
      await migration.run('verify');
    });

    test('abort leaves nothing of ours in either database', async () => {
      await migration.run('abort', '--yes', '--reason', 'in a test');
      const left = `SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'changeover%')`;
      expect(await read('old_bank', [left])).toEqual(['0']);
      expect(await read('new_bank', [left])).toEqual(['0']);
    });
  },
);
