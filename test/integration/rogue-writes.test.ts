import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, cliJson } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { WholeMigration } from '../support/whole-migration.ts';

const path = (file: string): string => new URL(`../../src/${file}`, import.meta.url).pathname;

/** What both kinds of test databases can do. */
interface Databases {
  url(side: number): string;
  query(side: number, sql: string): Promise<readonly object[]>;
}

describe.each(['postgres', 'mariadb'] as const)('on %s', (engine) => {
  const mysql = engine === 'mariadb';
  const databases: Databases = mysql ? withMariadb(2) : withDatabases(2);
  const table = mysql ? /\.things$/ : /^public\.things$/;
  let shop: WholeMigration;

  beforeAll(async () => {
    const create = 'CREATE TABLE things (id int PRIMARY KEY, value varchar(99) NOT NULL)';
    for (const side of [0, 1]) await databases.query(side, create);
    for (let id = 1; id <= 50; id++)
      await databases.query(0, `INSERT INTO things VALUES (${id}, 'v')`);
    const url = (side: number): string => JSON.stringify(databases.url(side));
    const module = mysql ? 'adapters/mysql/index.ts' : 'adapters/postgres/index.ts';
    shop = new WholeMigration(`
      import { defineMigration } from '${path('index.ts')}';
      import { ${engine} } from '${path(module)}';
      export default defineMigration({
        name: 'rogues',
        source: ${engine}({ url: ${url(0)} }),
        target: ${engine}({ url: ${url(1)} }),
        gates: { profile: 'demo' },
        collections: { things: { source: 'things', target: 'things', capture: 'outbox' } },
      });`);
    await shop.start();
  }, 120_000);
  afterAll(async () => {
    await shop.stopWorker();
    await shop.run('abort', '--yes', '--reason', 'end of a test');
    await shop.close();
  });

  const gate = async (name: string) => {
    const { json } = await cliJson(shop.folder, 'plan');
    const gates = json.data['gates'] as { gate: string; verdict: string; message: string }[];
    return gates.find((one) => one.gate === name);
  };
  const eventually = async (look: () => Promise<boolean>): Promise<void> => {
    for (const until = Date.now() + 40_000; !(await look()); )
      if (Date.now() > until) throw new Error(`never\n${await shop.status()}`);
      else await new Promise((resolve) => setTimeout(resolve, 100));
  };

  describe('a foreign write to the follower', { timeout: 120_000 }, () => {
    test('the copy and live changes are none', async () => {
      await shop.advance();
      await shop.advance();
      await databases.query(0, "UPDATE things SET value = 'live' WHERE id <= 20");
      await databases.query(0, 'DELETE FROM things WHERE id = 30');
      await shop.run('verify');
      // On MariaDB the worker begins to note them once the copy is done.
      await eventually(async () => (await gate('rogue-writes'))?.verdict === 'pass');
      expect((await cliJson(shop.folder, 'rogues')).json).toMatchObject({ verdict: 'yes' });
      expect(await shop.status()).not.toMatch(/foreign writes/i);
    });

    test('raises an alarm, stands in the status, and shuts the gate', async () => {
      const alarms: unknown[] = [];
      const stop = shop.migration.events.subscribe((event) => {
        if (event.type === 'rogue-writes') alarms.push(event);
      });
      await databases.query(1, "UPDATE things SET value = 'by hand' WHERE id = 7");
      await eventually(async () => alarms.length > 0);
      stop();
      expect(alarms[0]).toMatchObject({
        side: 'target',
        notes: 1,
        added: 1,
        tables: [expect.stringMatching(table)],
      });
      expect(await gate('rogue-writes')).toMatchObject({
        verdict: 'fail',
        message: expect.stringMatching(/UPDATE on \S+\.things by (postgres|root@)/),
      });
      expect(await shop.status()).toMatch(
        /FOREIGN WRITES to the target: 1 noted; .* UPDATE on \S+\.things/,
      );
      const { code, json } = await cliJson(shop.folder, 'rogues');
      expect([code, json.verdict]).toEqual([1, 'no']);
      const { json: history } = await cliJson(shop.folder, 'history');
      expect(JSON.stringify(history.data)).toContain('"rogue-write"');
    });

    test('is over when a full comparison after it finds both stores equal', async () => {
      expect((await cliJson(shop.folder, 'verify')).json.verdict).toBe('no');
      expect(await gate('rogue-writes')).toMatchObject({ verdict: 'fail' });
      await shop.run('mismatch', 'repair', 'things', '--apply', '--reason', 'by hand');
      await shop.run('verify');
      expect(await gate('rogue-writes')).toMatchObject({
        verdict: 'pass',
        message: expect.stringContaining('full comparison'),
      });
      // One more, and it is shut again.
      await databases.query(1, mysql ? 'DELETE FROM things' : 'TRUNCATE things');
      await eventually(async () => (await gate('rogue-writes'))?.verdict === 'fail');
    });

    test('is acknowledged with a reason, which is kept', async () => {
      expect((await cli(shop.folder, 'rogues', 'acknowledge')).code).toBe(2);
      await shop.run(
        'rogues',
        'acknowledge',
        '--reason',
        'the loader of the staging team, stopped',
      );
      expect(await gate('rogue-writes')).toMatchObject({ verdict: 'pass' });
      const { stdout } = await cli(shop.folder, 'history');
      expect(stdout).toMatch(/rogue-acknowledged.*the loader of the staging team/);
    });

    test('after the switch the source refuses it, and the gate says that nothing came in', async () => {
      await shop.run('verify').catch(() => {});
      const state = await shop.migration.control.load('rogues');
      const flags = ['--yes', '--reason', 'a test'];
      const override = (names: readonly string[]) => names.flatMap((name) => ['--override', name]);
      for (let phase: string = state.phase; phase !== 'write-switch'; ) {
        if (phase === 'read-switch') await shop.run('dial', '100', '--reason', 'a test');
        const { json } = await cliJson(shop.folder, 'plan');
        const gates = json.data['gates'] as { gate: string; verdict: string }[];
        const closed = gates.filter(({ verdict }) => verdict !== 'pass').map(({ gate }) => gate);
        await shop.run(
          phase === 'read-switch' ? 'switch-writes' : 'advance',
          ...flags,
          ...override(closed),
        );
        phase = (await shop.migration.control.load('rogues')).phase;
      }
      await expect(databases.query(0, "UPDATE things SET value = 'late'")).rejects.toThrow(
        /writes go to the other store/,
      );
      expect(await gate('rogue-writes')).toMatchObject({ verdict: 'pass' });
      await databases.query(1, "INSERT INTO things VALUES (999, 'a write of its own right')");
      await eventually(
        async () => (await databases.query(0, 'SELECT 1 FROM things WHERE id = 999')).length === 1,
      );
      expect(await gate('rogue-writes')).toMatchObject({ verdict: 'pass' });
    });

    test('the command line rehearses and drills the way back, and tells both', async () => {
      await eventually(async () => /Rollback: READY ~/.test(await shop.status()));
      const rehearsed = await cli(shop.folder, 'rollback', '--dry-run');
      expect([rehearsed.code, rehearsed.stdout]).toEqual([
        0,
        expect.stringMatching(
          /How long writes would be held: about \d+ ms[\s\S]*yes: It would be begun/,
        ),
      ]);
      const drilled = await cli(shop.folder, 'rollback', '--drill', '--reason', 'every monday');
      expect([drilled.code, drilled.stdout]).toEqual([
        0,
        expect.stringMatching(/passed: the way back works\. A rollback from here would take about/),
      ]);
      expect(await shop.status()).toMatch(/drill: passed .* ago, in write-switch/);
      expect((await cli(shop.folder, 'history')).stdout).toMatch(
        /cutover-prediction +predicted \d+ ms, took \d+ ms/,
      );
      await shop.stopWorker();
      const drill = await cliJson(shop.folder, 'rollback', '--drill');
      expect([drill.code, drill.json.verdict]).toEqual([1, 'no']);
      expect(await shop.status()).toMatch(/Rollback: NOT READY\n.*No worker is running/);
      expect((await cli(shop.folder, 'rollback', '--dry-run')).code).toBe(1);
      // Never gated: it drains by itself.
      await shop.run('rollback', '--reason', 'and back');
      expect(await shop.status()).toMatch(/drill: FAILED/);
      await shop.startWorker();
      const forward = await cli(shop.folder, 'switch-writes', '--dry-run');
      expect(forward.stdout).toMatch(/seal +shuts the source to every writer/);
      expect(forward.stdout).toMatch(/dial-complete/);
      expect(forward.code).toBe(1);
    });
  });
});
