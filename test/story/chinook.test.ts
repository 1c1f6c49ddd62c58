import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chinookSql, peopleSql, purchasesSql } from '../support/chinook.ts';
import { withClient, withDatabases } from '../support/databases.ts';
import { type CliAnswer, createUsersFolder, type UsersFolder } from '../support/users-folder.ts';

const targetSql = readFileSync(
  fileURLToPath(new URL('../../examples/chinook/target.sql', import.meta.url)),
  'utf8',
);

/** The user's application: people through the router, from a process that knows nothing but the package. */
const application = `
import { createRouter, loadConfig, openMigration } from 'changeover';
const { definition } = await loadConfig(process.cwd());
const migration = await openMigration(definition);
const router = await createRouter(migration);
const people = router.collection('people');
let stale = 0;
for (let index = 0; index < 60; index++) {
  const id = 1000 + (index % 12);
  const first_name = 'Zoë ' + process.env.ROUND + '/' + index;
  const person = { customer_id: id, first_name, last_name: 'Ångström', email: id + '@example.com', city: '東京', support_rep_id: null };
  const { token } = index % 11 === 10 ? await people.delete(id) : await people.put(person);
  const seen = await people.get(id, { token });
  if ((seen?.first_name ?? null) !== (index % 11 === 10 ? null : first_name)) stale++;
}
// Each record once: to read one again proves nothing more.
for (let id = 1; id <= 59; id++) await people.get(id);
const purchases = router.collection('purchases');
for (let id = 1; id <= 412; id++) await purchases.get(id);
await router.settle(5_000);
console.log(JSON.stringify({ stale, phase: router.state().phase }));
await router.close();
await migration.close();
`;

describe('a user migrates Chinook with nothing but the command line', () => {
  const databases = withDatabases(2);
  let folder: UsersFolder;
  let worker: ChildProcess | null = null;

  beforeAll(async () => {
    const { sql, origin } = chinookSql();
    if (origin === 'stand-in')
      console.warn('Chinook as published is not at hand: a generated stand-in is used.');
    await withClient(databases.url(0), (client) => client.query(sql));
    await withClient(databases.url(1), (client) => client.query(targetSql));
    folder = createUsersFolder({
      SOURCE_URL: databases.url(0),
      TARGET_URL: databases.url(1),
      CI: '1',
    });
  });
  afterAll(async () => {
    if (worker && worker.exitCode === null) {
      worker.kill('SIGTERM');
      await once(worker, 'close');
    }
    folder?.remove();
  });

  const ok = (answer: CliAnswer): string => {
    expect(answer, `${answer.stdout}\n${answer.stderr}`).toMatchObject({ status: 0 });
    return answer.stdout;
  };
  const json = (...args: readonly string[]): { verdict: string; data: Record<string, never> } =>
    JSON.parse(ok(folder.cli(...args, '--json')).trim());
  const phase = (): string =>
    (JSON.parse(folder.cli('status', '--json').stdout) as { data: { state: { phase: string } } })
      .data.state.phase;
  const live = async (round: string): Promise<void> => {
    writeFileSync(
      join(folder.path, 'application.mjs'),
      application.replaceAll('process.env.ROUND', JSON.stringify(round)),
    );
    expect(JSON.parse(await folder.program('application.mjs'))).toMatchObject({ stale: 0 });
  };
  const eventually = async (
    what: string,
    holds: () => Promise<boolean> | boolean,
  ): Promise<void> => {
    for (const until = Date.now() + 30_000; !(await holds()); await sleep(100)) {
      if (Date.now() > until)
        throw new Error(
          `never came true: ${what}; ${folder.cli('status').stdout}${folder.cli('dlq', 'list').stdout}`,
        );
    }
  };
  const equal = async (): Promise<boolean> => {
    for (const sql of [peopleSql, purchasesSql]) {
      const source = await databases.query(0, sql.source);
      const target = await databases.query(1, sql.target);
      if (JSON.stringify(source) !== JSON.stringify(target)) return false;
    }
    return true;
  };

  test('init writes a configuration that loads, and only its transforms are to be filled in', () => {
    const answer = folder.cli(
      'init',
      '--name',
      'chinook',
      '--collection',
      'people=customer:sales.person',
      '--collection',
      'purchases=invoice:sales.purchase',
    );
    ok(answer);
    const draft = readFileSync(join(folder.path, 'changeover.config.ts'), 'utf8');
    expect(draft).toContain('defineMigration');
    expect(draft).toContain('forward');
    const checked = folder.cli('check', '--json');
    expect([1], `${checked.stdout}${checked.stderr}`).toContain(checked.status);
  });

  test('with the transforms filled in, check passes in both directions', () => {
    folder.copy('examples/chinook');
    ok(folder.cli('check'));
  });

  test('start follows at once: writes through the router and foreign SQL reach the target', async () => {
    ok(folder.cli('start'));
    expect(phase()).toBe('dual-write');
    worker = folder.background('run');
    await live('dual-write');
    await withClient(databases.url(0), async (client) => {
      await client.query('BEGIN');
      await client.query(
        `INSERT INTO invoice SELECT 5000, 1001, '2026-02-03 04:05:06', 'a', 'Łódź', NULL, 'Polska', NULL, 1.98`,
      );
      await client.query('INSERT INTO invoice_line VALUES (90001, 5000, 1, 0.99, 2)');
      // Its person lies behind the backfill: it waits for it, and is no dead letter.
      await client.query(
        'INSERT INTO invoice SELECT 5001, 1, now(), NULL, NULL, NULL, NULL, NULL, 0',
      );
      await client.query('COMMIT');
    });
    await eventually(
      'the invoice is a purchase',
      async () =>
        (await databases.query(1, 'SELECT 1 FROM sales.purchase_item WHERE purchase_id = 5000'))
          .length === 1,
    );
  });

  test('backfill, verify and shadow reads bring it to the read switch', async () => {
    ok(folder.cli('advance'));
    await eventually('the backfill is complete', () => folder.cli('plan').status === 0);
    await withClient(databases.url(0), (client) =>
      client.query(
        'DELETE FROM invoice_line WHERE invoice_line_id = 90001; DELETE FROM invoice WHERE invoice_id = 5000; UPDATE invoice_line SET quantity = 7 WHERE invoice_id = 3',
      ),
    );
    ok(folder.cli('advance'));
    expect(phase()).toBe('shadow-read');
    await live('shadow-read');
    await eventually('both sides are equal', equal);
    ok(folder.cli('verify'));
    await eventually('the gates pass', () => folder.cli('plan').status === 0);
    ok(folder.cli('advance'));
    ok(folder.cli('dial', '25'));
    await live('dial 25');
    ok(folder.cli('rollback', '--reason', 'to see that it works'));
    expect(phase()).toBe('read-switch');
    ok(folder.cli('dial', '100'));
    await live('dial 100');
  });

  test('the write switch turns the direction round, and rollback turns it back', async () => {
    ok(folder.cli('verify'));
    await eventually('the gates pass', () => folder.cli('plan').status === 0);
    ok(folder.cli('switch-writes', '--yes'));
    expect(phase()).toBe('write-switch');
    await live('write-switch');
    await expect(
      withClient(databases.url(0), (client) =>
        client.query('UPDATE invoice SET total = 1 WHERE invoice_id = 1'),
      ),
    ).rejects.toThrow();
    await withClient(databases.url(1), (client) =>
      client.query('UPDATE sales.purchase_item SET quantity = 9 WHERE purchase_id = 4'),
    );
    await eventually('the source follows', equal);
    ok(folder.cli('rollback', '--reason', 'a rehearsal'));
    await live('back on the source');
    await eventually('both sides are equal', equal);
    ok(folder.cli('dial', '100'));
    ok(folder.cli('verify'));
    await eventually('the gates pass', () => folder.cli('plan').status === 0);
    ok(folder.cli('switch-writes', '--yes'));
    await live('write-switch again');
  });

  test('it is retired with equal stores, and decommission leaves nothing of ours behind', async () => {
    await eventually('both sides are equal', equal);
    await eventually('the gates pass', () => folder.cli('plan').status === 0);
    ok(folder.cli('advance', '--yes'));
    expect(phase()).toBe('retired');
    expect(json('history').verdict).toBe('done');
    worker?.kill('SIGTERM');
    ok(folder.cli('decommission', '--yes'));
    for (const side of [0, 1]) {
      const left = await databases.query(
        side,
        `SELECT nspname FROM pg_namespace WHERE nspname LIKE 'changeover%' UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'changeover%'`,
      );
      expect(left).toEqual([]);
    }
  });
});
