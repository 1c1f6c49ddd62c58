import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { WholeMigration } from '../support/whole-migration.ts';

/** What docs/guides/log-capture.md says of columns that are added while a worker runs. */

const from = (path: string): string =>
  JSON.stringify(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)));

type Engine = 'postgres' | 'mariadb';
interface Side {
  readonly store: string;
  run(statement: string): Promise<readonly object[]>;
}

const config = (source: Side, target: Side): string => `
import { defineMigration } from ${from('index.ts')};
import { mariadb } from ${from('adapters/mysql/index.ts')};
import { postgres } from ${from('adapters/postgres/index.ts')};
const shape = { table: 'orders', children: { lines: { table: 'order_lines', key: ['line'], parent: ['order_id'] } } };
export default defineMigration({
  name: 'grown', source: ${source.store}, target: ${target.store}, gates: { profile: 'demo' },
  collections: { items: { capture: 'log' }, orders: { capture: 'log', source: shape, target: shape } },
});`;

const TABLES = [
  'CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40))',
  'CREATE TABLE orders (id bigint PRIMARY KEY, name varchar(40))',
  'CREATE TABLE order_lines (line bigint PRIMARY KEY, order_id bigint NOT NULL, name varchar(40))',
];
const POSTGRES_IDENTITY = 'ALTER TABLE order_lines REPLICA IDENTITY FULL';

const PAIRS: readonly (readonly [Engine, Engine])[] = missingMariadb()
  ? [['postgres', 'postgres']]
  : [
      ['postgres', 'postgres'],
      ['mariadb', 'mariadb'],
      ['mariadb', 'postgres'],
    ];

describe.each(PAIRS)(
  'a column is added in %s, followed by %s',
  { timeout: 60_000 },
  (...engines) => {
    const postgres = withDatabases(2, { scope: 'test' });
    const mariadb = engines.includes('mariadb') ? withMariadb(2, { scope: 'test' }) : null;
    const alike = engines[0] === engines[1];
    let migration: WholeMigration | undefined;
    afterEach(async () => {
      await migration?.stopWorker();
      // Our objects in MariaDB are in no database of the test's.
      await migration?.run('abort', '--yes', '--reason', 'end of a test');
      await migration?.close();
      migration = undefined;
    });

    const side = (index: 0 | 1): Side =>
      engines[index] === 'postgres' || mariadb === null
        ? {
            store: `postgres({ url: ${JSON.stringify(postgres.url(index))} })`,
            run: (statement) => postgres.query(index, statement),
          }
        : {
            store: `mariadb({ url: ${JSON.stringify(mariadb.url(index))} })`,
            run: (statement) => mariadb.query(index, statement),
          };

    /** A worker that has written to every table already, so it remembers them. */
    async function begun(): Promise<{ source: Side; target: Side; whole: WholeMigration }> {
      const [source, target] = [side(0), side(1)];
      for (const [index, { run }] of [source, target].entries()) {
        for (const table of TABLES) await run(table);
        if (engines[index] === 'postgres') await run(POSTGRES_IDENTITY);
      }
      const whole = new WholeMigration(config(source, target));
      migration = whole;
      await whole.start();
      await source.run("INSERT INTO items VALUES (1, 'one')");
      await source.run("INSERT INTO orders VALUES (1, 'one')");
      await source.run("INSERT INTO order_lines VALUES (1, 1, 'one')");
      for (const table of ['items', 'orders', 'order_lines'])
        await shows(target, `SELECT name FROM ${table}`, [{ name: 'one' }]);
      return { source, target, whole };
    }

    const shows = (on: Side, query: string, rows: unknown): Promise<void> =>
      expect
        .poll(async () => JSON.stringify(await on.run(query)), { timeout: 20_000 })
        .toBe(JSON.stringify(rows));
    const stopped = (whole: WholeMigration, reason: RegExp): Promise<void> =>
      expect.poll(() => whole.problems.join('\n'), { timeout: 20_000 }).toMatch(reason);
    const add = async (on: Side): Promise<void> => {
      for (const table of ['items', 'orders', 'order_lines'])
        await on.run(`ALTER TABLE ${table} ADD COLUMN extra varchar(40)`);
    };
    const fill = async ({ run }: Side): Promise<void> => {
      await run("INSERT INTO items VALUES (2, 'two', 'a')");
      await run("UPDATE orders SET extra = 'b' WHERE id = 1");
      await run("INSERT INTO order_lines VALUES (2, 1, 'two', 'c')");
    };
    const filled = async (on: Side): Promise<void> => {
      await shows(on, 'SELECT extra FROM items WHERE id = 2', [{ extra: 'a' }]);
      await shows(on, 'SELECT extra FROM orders', [{ extra: 'b' }]);
      await shows(on, 'SELECT extra FROM order_lines WHERE line = 2', [{ extra: 'c' }]);
    };

    if (alike) {
      test('that the follower has already is followed by the running worker', async () => {
        const { source, target, whole } = await begun();
        await add(target);
        await add(source);
        await fill(source);
        await filled(target);
        expect(whole.problems).toEqual([]);
      });

      test('and later in the follower: the running worker waits for it, and goes on', async () => {
        const { source, target, whole } = await begun();
        await add(source);
        await fill(source);
        await stopped(whole, /SCHEMA_CHANGED.*"extra"/);
        const told = whole.problems.find((problem) => problem.includes('SCHEMA_CHANGED'));
        expect(told?.match(/nothing was skipped/gi)).toHaveLength(1);
        await add(target);
        await filled(target);
      });
    } else {
      test('stops, wherever it came first, until a process looks at the types', async () => {
        const { source, target, whole } = await begun();
        await add(target);
        await add(source);
        await fill(source);
        await stopped(
          whole,
          /SCHEMA_CHANGED.*new column \("extra" of "items"\).*start the worker again/,
        );
        expect(await target.run('SELECT id FROM items')).toHaveLength(1);
        await whole.reopen();
        await filled(target);
      });
    }
  },
);
