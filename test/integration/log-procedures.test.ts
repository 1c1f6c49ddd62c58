import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { loadConfig, openMigration, workerOptionsOf } from '../../src/config/index.ts';
import { startWorker } from '../../src/worker/index.ts';
import { cli } from '../support/cli.ts';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { WholeMigration } from '../support/whole-migration.ts';

/** What docs/guides/log-capture.md tells an operator to do, done. */

const from = (path: string): string =>
  JSON.stringify(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)));

interface Side {
  readonly store: string;
  run(statement: string): Promise<readonly object[]>;
}

/** `more`: options of the collection. */
const config = (source: Side, target: Side, more = ''): string => `
import { defineMigration } from ${from('index.ts')};
import { mysql } from ${from('adapters/mysql/index.ts')};
import { postgres } from ${from('adapters/postgres/index.ts')};
export default defineMigration({
  name: 'procedures', source: ${source.store}, target: ${target.store}, gates: { profile: 'demo' },
  collections: { items: { capture: 'log', ${more} } },
});`;

const TABLE = 'CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40))';

const ENGINES = missingMariadb() ? (['postgres'] as const) : (['postgres', 'mariadb'] as const);

describe.each(ENGINES)('a log of %s', { timeout: 60_000 }, (engine) => {
  const postgres = withDatabases(2, { scope: 'test' });
  const mariadb = engine === 'mariadb' ? withMariadb(1, { scope: 'test' }) : null;
  let migration: WholeMigration | undefined;
  /** What was opened last is closed first. */
  let open: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of open.reverse()) await close();
    open = [];
    await migration?.stopWorker();
    // Our objects in the source are in no database of the test's.
    await migration?.run('abort', '--yes', '--reason', 'end of a test');
    await migration?.close();
    migration = undefined;
  });

  const target = (): Side => ({
    store: `postgres({ url: ${JSON.stringify(postgres.url(1))} })`,
    run: (statement) => postgres.query(1, statement),
  });
  const source = (): Side =>
    mariadb === null
      ? {
          store: `postgres({ url: ${JSON.stringify(postgres.url(0))} })`,
          run: (statement) => postgres.query(0, statement),
        }
      : {
          store: `mysql({ url: ${JSON.stringify(mariadb.url(0))} })`,
          run: (statement) => mariadb.query(0, statement),
        };

  async function begun(): Promise<{ source: Side; target: Side; whole: WholeMigration }> {
    const sides = { source: source(), target: target() };
    for (const side of Object.values(sides)) await side.run(TABLE);
    await sides.source.run("INSERT INTO items VALUES (1, 'one'), (2, 'two')");
    const whole = new WholeMigration(config(sides.source, sides.target));
    migration = whole;
    await whole.start();
    return { ...sides, whole };
  }

  const shows = (side: Side, query: string, rows: unknown): Promise<void> =>
    expect
      .poll(async () => JSON.stringify(await side.run(query)), { timeout: 20_000 })
      .toBe(JSON.stringify(rows));
  const stopped = (whole: WholeMigration, reason: RegExp): Promise<void> =>
    expect.poll(() => whole.status(), { timeout: 20_000 }).toMatch(reason);

  /** The configuration is another file then: this process has the old one in its memory. */
  async function restartedWith(whole: WholeMigration, text: string): Promise<void> {
    await whole.stopWorker();
    writeFileSync(join(whole.folder, 'changed.config.mts'), text);
    const { definition } = await loadConfig(join(whole.folder, 'changed.config.mts'));
    const opened = await openMigration(definition, { folder: whole.folder });
    open.push(() => opened.close());
    const worker = await startWorker(opened, workerOptionsOf(opened.options, opened, 'changed'));
    open.push(() => worker.close());
  }

  test('an added column that is left out is followed without a stop', async () => {
    const sides = await begun();
    await sides.whole.stopWorker();
    await restartedWith(
      sides.whole,
      config(sides.source, sides.target, "source: { table: 'items', columns: ['id', 'name'] }"),
    );
    await sides.source.run('ALTER TABLE items ADD COLUMN extra int');
    await sides.source.run("INSERT INTO items VALUES (3, 'three', 33)");
    await shows(sides.target, 'SELECT id FROM items WHERE id = 3', [{ id: '3' }]);
  });

  test('a renamed column stops the log; a transform and a higher transformVersion go on', async () => {
    const sides = await begun();
    await sides.source.run('UPDATE items SET name = name');
    await sides.source.run("UPDATE items SET name = 'one more' WHERE id = 1");
    await shows(sides.target, 'SELECT name FROM items WHERE id = 1', [{ name: 'one more' }]);
    await sides.source.run('ALTER TABLE items RENAME COLUMN name TO label');
    await sides.source.run("INSERT INTO items VALUES (3, 'three')");
    await stopped(sides.whole, /SCHEMA_CHANGED.*"name".*transformVersion \(now 1\)/);
    await restartedWith(
      sides.whole,
      config(
        sides.source,
        sides.target,
        `transformVersion: 2, forward: ({ label, ...row }) => ({ ...row, name: label }), backward: ({ name, ...row }) => ({ ...row, label: name })`,
      ),
    );
    await shows(sides.target, 'SELECT name FROM items WHERE id = 3', [{ name: 'three' }]);
  });

  test('TRUNCATE empties the follower, and what comes after it stays', async () => {
    const sides = await begun();
    await sides.whole.advance();
    await shows(sides.target, 'SELECT count(*)::int AS n FROM items', [{ n: 2 }]);
    await sides.source.run('TRUNCATE TABLE items');
    await sides.source.run("INSERT INTO items VALUES (9, 'nine')");
    await shows(sides.target, 'SELECT name FROM items', [{ name: 'nine' }]);
  });

  test('a lost log closes the gates and says so; abort and a new start repair it', async () => {
    const sides = await begun();
    await sides.whole.stopWorker();
    await sides.source.run("INSERT INTO items VALUES (3, 'never read')");
    // Files are told apart by the second in which they were begun.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await sides.source.run(
      engine === 'mariadb'
        ? 'RESET MASTER'
        : `SELECT pg_drop_replication_slot('changeover_procedures_s_1')`,
    );
    await sides.whole.startWorker();
    const { stdout } = await cli(sides.whole.folder, 'status');
    expect(stdout).toMatch(/log: LOST/);
    expect(stdout).toMatch(/to backfill: no/);
    expect(stdout).toMatch(/log-lag +A part of the log that was not applied is gone/);
    await expect.poll(() => sides.whole.problems.join(), { timeout: 20_000 }).toMatch(/LOG_LOST/);
    await sides.whole.stopWorker();
    await sides.whole.run('abort', '--yes', '--reason', 'the log is lost');
    await sides.whole.run('start', '--truncate-target', '--yes', '--reason', 'anew');
    await sides.whole.startWorker();
    await sides.whole.advance();
    await shows(sides.target, 'SELECT count(*)::int AS n FROM items', [{ n: 3 }]);
  });
});
