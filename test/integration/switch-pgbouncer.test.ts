import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type PgBouncerOptions, pgbouncer } from '../../src/adapters/postgres/index.ts';
import { type SwitchOptions, switchAuthority } from '../../src/cutover/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { bankAnswers } from '../support/bank.ts';
import { cliJson } from '../support/cli.ts';
import { withClient } from '../support/databases.ts';
import {
  makePooledBank,
  pooledBankConfig,
  pooledBankFacts,
  startTraffic,
  type TrafficReport,
} from '../support/pooled-bank.ts';
import {
  type PrivatePgBouncer,
  type PrivatePgBouncerOptions,
  startPrivatePgBouncer,
} from '../support/private-pgbouncer.ts';
import { useServer } from '../support/private-postgres.ts';
import { missingPgBouncer, missingSystemPostgres } from '../support/requirements.ts';
import { nobodyReads, WholeMigration } from '../support/whole-migration.ts';

const dying = fileURLToPath(new URL('../support/switch-folder-and-die.ts', import.meta.url));

describe.skipIf(missingSystemPostgres() || missingPgBouncer())(
  'traffic through PgBouncer goes on while authority changes',
  { timeout: 120_000 },
  () => {
    const starting = useServer({ source: 'system', settings: { wal_level: 'logical' } });
    const names = { source: 'old_bank', target: 'new_bank' } as const;
    const bouncers: PrivatePgBouncer[] = [];
    let url = '';
    let program = '';
    let bouncer: PrivatePgBouncer;
    let migration: WholeMigration;

    const urlOf = (side: Side): string => url.replace(/\/[^/]*$/, `/${names[side]}`);
    const lineTo = (side: Side): string =>
      `host=127.0.0.1 port=${new URL(url).port} dbname=${names[side]}`;
    const databases = (): PgBouncerOptions['databases'] => ({
      shop: { source: lineTo('source'), target: lineTo('target') },
    });
    /** As `check` tells it to be written once by hand. */
    const lines = (side: Side): string =>
      [
        `shop = ${lineTo(side)}`,
        ...(['source', 'target'] as const).map(
          (one) => `changeover_look_${one}_shop = ${lineTo(one)}`,
        ),
      ].join('\n');
    const login = { user: 'postgres' };
    const another = async (
      options: Partial<PrivatePgBouncerOptions> = {},
    ): Promise<PrivatePgBouncer> => {
      const started = await startPrivatePgBouncer({
        databases: lines('source'),
        ...options,
      });
      bouncers.push(started);
      return started;
    };

    beforeAll(async () => {
      const server = await starting;
      url = server.url();
      program = join(server.binDir, 'pgbench');
      for (const name of Object.values(names)) await server.createDatabase(name);
      await makePooledBank(program, urlOf('source'), urlOf('target'), 1);
      bouncer = await another();
      const { file } = bouncer;
      const options = { admin: bouncer.admin(), file, databases: databases(), login };
      const traffic = `pgbouncer(${JSON.stringify(options)})`;
      migration = new WholeMigration(pooledBankConfig(urlOf('source'), urlOf('target'), traffic));
      await migration.start();
      await migration.toReadSwitch();
      await migration.run('dial', '100');
    }, 120_000);
    afterAll(async () => {
      await migration?.close();
      for (const one of bouncers) await one.stop();
    });

    /** Where a client of PgBouncer comes to. */
    const leadsTo = async (): Promise<string> => {
      const found = await withClient(bouncer.url('shop'), (client) =>
        client.query<{ name: string }>('SELECT current_database() AS name'),
      );
      return found.rows[0]?.name ?? '';
    };
    const change = (to: Side, more: Partial<SwitchOptions> = {}) =>
      switchAuthority(migration.migration, {
        to,
        phaseAfter: to === 'target' ? 'write-switch' : 'read-switch',
        actor: 'test',
        reason: 'in a test',
        ...more,
      });
    /** Whatever the test before has left: the source is the authority, and has everything. */
    const home = async (): Promise<void> => {
      const state = () => migration.migration.control.load('bank');
      await expect.poll(async () => (await state()).cutover, { timeout: 20_000 }).toBeNull();
      if ((await state()).phase === 'write-switch') await change('source');
      await equal();
      expect(await leadsTo()).toBe(names.source);
    };
    const under = async (
      args: readonly string[],
      work: () => Promise<void>,
    ): Promise<TrafficReport> => {
      const traffic = startTraffic(program, bouncer.url('shop'), { rate: 0, args });
      await sleep(500);
      await work();
      expect(traffic.ended(), 'pgbench runs still').toBe(false);
      const report = await traffic.stop();
      expect(report, report.output).toMatchObject({ exitCode: 0, failed: 0 });
      return report;
    };
    const equal = async (): Promise<void> => {
      const facts = async () => ({
        source: await bankAnswers(urlOf('source'), pooledBankFacts),
        target: await bankAnswers(urlOf('target'), pooledBankFacts),
      });
      await expect
        .poll(async () => ((all) => [all.source, all.target])(await facts()), { timeout: 30_000 })
        .toSatisfy(([source, target]) => JSON.stringify(source) === JSON.stringify(target));
    };
    const counted = async (side: Side): Promise<number> =>
      Number((await bankAnswers(urlOf(side), ['SELECT count(*) FROM pgbench_history']))[0]);

    beforeEach(home, 60_000);

    test('check finds nothing to say about it', async () => {
      const { verdict, data } = await migration.run('check');
      expect(verdict).toBe('yes');
      const findings = data['findings'] as { id: string; verdict: string }[];
      const own = findings.filter(({ id }) => id.startsWith('pgbouncer/'));
      expect(own.map(({ id }) => id)).toEqual([
        'pgbouncer/file',
        'pgbouncer/place',
        'pgbouncer/pooling',
        'pgbouncer/admin',
        'pgbouncer/same-store',
        'pgbouncer/same-store',
      ]);
      expect(own.every((one) => one.verdict === 'pass')).toBe(true);
    });

    test('check commands nothing for the database that a switch may hold', async () => {
      const one = await another({ settings: { logfile: 'log' } });
      const hook = pgbouncer({ admin: one.admin(), file: one.file, databases: databases() });
      await hook.check?.('source');
      expect(await one.log()).not.toContain("'shop' command issued");
    });

    test('a hold that has no time left commands nothing either', async () => {
      const one = await another({ settings: { logfile: 'log' } });
      const hook = pgbouncer({ admin: one.admin(), file: one.file, databases: databases() });
      await expect(hook.hold(0.001)).rejects.toThrow(/too slow to pause/);
      expect(await one.log()).not.toContain("'shop' command issued");
      // The words that are looked for.
      await hook.hold(2_000);
      await hook.release('source');
      await expect.poll(() => one.log()).toContain("'shop' command issued");
    });

    test('by the command line, there and back: no transaction fails, each store has its share', async () => {
      const before = await counted('source');
      await under([], async () => {
        await migration.advance(nobodyReads);
        expect(await leadsTo()).toBe(names.target);
        await sleep(500);
        await migration.run('rollback', '--yes', '--reason', 'in a test');
        expect(await leadsTo()).toBe(names.source);
      });
      await equal();
      expect(await counted('source')).toBeGreaterThan(before + 100);
    });

    test('again with a new connection for each transaction', async () => {
      await under(['-C'], async () => {
        for (const to of ['target', 'source', 'target', 'source'] as const) {
          await change(to);
          await sleep(200);
        }
      });
      await equal();
    });

    test.each([
      ['between hold and commit', 'seal', names.source],
      ['between commit and release', 'settle', names.target],
    ] as const)(
      'kill -9 of the coordinator %s: the worker lets it go on',
      async (_when, step, database) => {
        const report = await under([], async () => {
          const child = spawn(
            process.execPath,
            ['--import', 'tsx', dying, migration.folder, 'target', step],
            { stdio: ['ignore', 'ignore', 'inherit'] },
          );
          const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
          expect(signal).toBe('SIGKILL');
          await expect.poll(leadsTo, { timeout: 20_000 }).toBe(database);
          // Who was held is through, and the next ones come.
          await sleep(1_000);
        });
        // It was held: somebody waited, and it went on.
        const longest = Math.max(...report.transactions.map(({ ms }) => ms));
        expect(longest).toBeGreaterThan(step === 'seal' ? 300 : 50);
        const last = report.transactions.at(-1)?.endedAt ?? 0;
        const slow = report.transactions.find(({ ms }) => ms === longest)?.endedAt ?? 0;
        expect(last).toBeGreaterThan(slow);
        await equal();
      },
    );

    test('who is connected directly is refused by the guard until authority is back', async () => {
      const direct = new pg.Client({ connectionString: urlOf('source') });
      await direct.connect();
      try {
        await direct.query('UPDATE pgbench_branches SET bbalance = bbalance WHERE bid = 1');
        await change('target');
        await expect(
          direct.query('UPDATE pgbench_branches SET bbalance = bbalance WHERE bid = 1'),
        ).rejects.toThrow(/writes go to the other store/);
        await change('source');
        await direct.query('UPDATE pgbench_branches SET bbalance = bbalance WHERE bid = 1');
      } finally {
        await direct.end();
      }
    });

    test('a transaction that does not end undoes the switch, and the rest goes on', async () => {
      const open = new pg.Client({ connectionString: bouncer.url('shop') });
      await open.connect();
      try {
        await open.query('BEGIN');
        await open.query('SELECT count(*) FROM pgbench_branches');
        await expect(change('target', { ackTimeoutMs: 300, prediction: 'note' })).rejects.toThrow(
          /failed at step hold: .*Transactions through "shop" of PgBouncer .* did not end within 300 ms/,
        );
        expect(await leadsTo()).toBe(names.source);
        await open.query('UPDATE pgbench_branches SET bbalance = bbalance WHERE bid = 1');
        await open.query('COMMIT');
      } finally {
        await open.end();
      }
    });

    describe('is refused with nothing begun', () => {
      const refused = async (traffic: ReturnType<typeof pgbouncer>, words: RegExp) => {
        const { version } = await migration.migration.control.load('bank');
        const failing = switchAuthority(
          { ...migration.migration, traffic: [traffic] },
          { to: 'target', phaseAfter: 'write-switch', actor: 'test', reason: 'in a test' },
        );
        await expect(failing).rejects.toMatchObject({ code: 'CUTOVER_ABORTED' });
        await expect(failing).rejects.toThrow(words);
        expect((await migration.migration.control.load('bank')).version).toBe(version);
      };
      const hookOf = (one: PrivatePgBouncer, more: Partial<PgBouncerOptions> = {}) =>
        pgbouncer({ admin: one.admin(), file: one.file, databases: databases(), login, ...more });

      test('the admin console is down', async () => {
        await bouncer.kill();
        await refused(hookOf(bouncer), /does not answer.*pgbouncer\/no-answer/);
        const { code, json } = await cliJson(migration.folder, 'check');
        expect(code).toBe(3);
        expect(JSON.stringify(json.data)).toContain('pgbouncer/no-answer');
        await bouncer.start();
        await change('target');
        await change('source');
      });

      test('session pooling: PAUSE would never end', async () => {
        const one = await another({ settings: { pool_mode: 'session' } });
        await refused(hookOf(one), /pgbouncer\/session-pooling/);
      });

      test('a user who may only look', async () => {
        await refused(hookOf(bouncer, { admin: bouncer.admin('stats') }), /pgbouncer\/admin/);
      });

      test('somebody has paused it', async () => {
        const one = await another();
        await withClient(one.admin(), (client) => client.query('PAUSE shop'));
        await refused(hookOf(one), /pgbouncer\/paused/);
      });

      test('somebody has paused all of it', async () => {
        const one = await another();
        await withClient(one.admin(), (client) => client.query('PAUSE'));
        const hook = hookOf(one);
        expect(await hook.check?.('source')).toContainEqual(
          expect.objectContaining({ id: 'pgbouncer/all-paused', verdict: 'fail' }),
        );
        await refused(hook, /pgbouncer\/all-paused/);
        await expect(hook.release('source')).rejects.toThrow(/RESUME without a name/);
        await withClient(one.admin(), (client) => client.query('RESUME'));
        await hook.release('source');
      });

      test.each(['which the file can show already', 'which the trial shows'])(
        'the line for the target leads to another database, %s',
        async (how) => {
          // There from the first of these: a PgBouncer that has looked through the line keeps a connection.
          await withClient(urlOf('source'), (client) =>
            client.query('CREATE DATABASE strange_bank').catch(() => {}),
          );
          const strange = lineTo('target').replace(names.target, 'strange_bank');
          const shown = how.startsWith('which the file');
          const one = await another({
            databases: shown
              ? lines('source').replace(lineTo('target'), strange)
              : `shop = ${lineTo('source')}`,
          });
          const hook = hookOf(one, {
            databases: { shop: { source: lineTo('source'), target: strange } },
          });
          const dry = switchAuthority(
            { ...migration.migration, traffic: [hook] },
            {
              ...{ to: 'target', phaseAfter: 'write-switch', dryRun: true },
              ...{ actor: 'test', reason: 'in a test' },
            },
          );
          if (shown) await expect(dry).rejects.toThrow(/pgbouncer\/other-store/);
          else await dry;
          await refused(hook, /strange_bank.*leads to another database.*pgbouncer\/other-store/);
        },
      );

      test('the lines cannot be looked through', async () => {
        const one = await another();
        await refused(hookOf(one, { login: { user: 'nobody' } }), /pgbouncer\/no-look/);
      });

      test('it leads to another store', async () => {
        const one = await another({ databases: lines('target') });
        await refused(hookOf(one), /pgbouncer\/elsewhere/);
      });

      test('a database that it does not know', async () => {
        const one = await another({ databases: `other = ${lineTo('source')}` });
        await refused(hookOf(one), /pgbouncer\/database/);
      });

      test('a file that it does not read', async () => {
        const one = await another();
        const file = `${one.file}.other`;
        await refused(hookOf(one, { file }), /pgbouncer\/file/);
        // Nobody can look at a file that is handed over: it shows in the trial.
        await refused(hookOf(one, { file: async () => {} }), /does not take shop from the file/);
      });

      test('a line of its own that wins over the file', async () => {
        const one = await another({ own: { behind: `[databases]\nshop = ${lineTo('source')}` } });
        await refused(hookOf(one), /does not take shop from/);
      });
    });
  },
);
