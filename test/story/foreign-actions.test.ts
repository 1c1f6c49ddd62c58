import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createConnection } from 'mysql2/promise';
import { afterEach, describe, expect, test } from 'vitest';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { WholeMigration } from '../support/whole-migration.ts';

const from = (path: string): string =>
  JSON.stringify(fileURLToPath(new URL(`../../${path}`, import.meta.url)));

/** How the tables refer to each other on the other side. */
const targets = {
  'PostgreSQL with the same actions': 'same',
  'PostgreSQL without actions': 'none',
  'MariaDB with the same actions': 'mariadb',
} as const;
type Target = (typeof targets)[keyof typeof targets];

/** `tenant` stays where it is: it is not migrated. */
const migrated = ['region', 'customer', 'orders', 'line', 'note', 'staff'] as const;

const reference = (table: string, actions: string): string =>
  ` REFERENCES ${table} (id) ${actions}`;
const schema = (target: Target): string => {
  const refers = (columns: string, table: string, actions: string): string =>
    `, FOREIGN KEY (${columns})${reference(table, target === 'none' ? '' : actions)}`;
  const both = 'ON DELETE CASCADE ON UPDATE CASCADE';
  return `
    CREATE TABLE region (id int PRIMARY KEY, name varchar(40));
    CREATE TABLE customer (id int PRIMARY KEY, region int, tenant int, name varchar(40)${refers('region', 'region', both)});
    CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, total numeric(9,2)${refers('customer', 'customer', both)});
    CREATE TABLE line (order_id int, n int, what varchar(40), PRIMARY KEY (order_id, n)${refers('order_id', 'orders', both)});
    CREATE TABLE note (id int PRIMARY KEY, order_id int, body varchar(40)${refers('order_id', 'orders', 'ON DELETE SET NULL ON UPDATE SET NULL')});
    CREATE TABLE staff (id int PRIMARY KEY, boss int${refers('boss', 'staff', 'ON DELETE CASCADE')})`;
};

/** InnoDB makes them by itself. */
const indexes = `CREATE INDEX ON customer (region); CREATE INDEX ON orders (customer); CREATE INDEX ON note (order_id); CREATE INDEX ON staff (boss)`;

const REGIONS = 60;
const seed = `
  CREATE TABLE tenant (id int PRIMARY KEY);
  ${schema('same')};
  ALTER TABLE customer ADD FOREIGN KEY (tenant) REFERENCES tenant (id) ON DELETE CASCADE;
  INSERT INTO tenant SELECT seq FROM seq_1_to_40;
  INSERT INTO region SELECT seq, CONCAT('r', seq) FROM seq_1_to_${REGIONS};
  INSERT INTO customer SELECT seq, 1 + seq % ${REGIONS}, 1 + seq % 40, CONCAT('c', seq) FROM seq_1_to_3000;
  INSERT INTO orders SELECT seq, 1 + seq % 3000, seq / 100 FROM seq_1_to_9000;
  INSERT INTO line SELECT seq, 1, 'one' FROM seq_1_to_9000;
  INSERT INTO line SELECT seq, 2, 'two' FROM seq_1_to_9000 WHERE seq % 2 = 0;
  INSERT INTO note SELECT seq, seq, 'n' FROM seq_1_to_4000;
  INSERT INTO staff SELECT seq, NULLIF(seq DIV 3, 0) FROM seq_1_to_1000`;

describe.skipIf(missingMariadb())(
  'what foreign keys do inside InnoDB arrives, from before the copy to after the switch',
  { timeout: 300_000 },
  () => {
    const mariadb = withMariadb(2, { scope: 'test' });
    const postgres = withDatabases(1, { scope: 'test' });
    let migration: WholeMigration | null = null;
    let moving = false;
    let mover: Promise<void> | null = null;
    afterEach(async () => {
      moving = false;
      await mover;
      await migration?.close();
      migration = null;
    });

    const sql = async (index: number, text: string): Promise<void> => {
      const uri = mariadb.url(index);
      const client = await createConnection({ uri, multipleStatements: true });
      try {
        await client.query(text);
      } finally {
        await client.end();
      }
    };

    /** Statements of one writer that set actions off, and others between them. */
    const move = async (): Promise<void> => {
      const client = await createConnection({ uri: mariadb.url(0), multipleStatements: true });
      let random = 4711;
      const upTo = (max: number): number => {
        random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
        return 1 + (random % max);
      };
      for (let turn = 0; moving; turn += 1) {
        const fresh = 100_000 + turn * 10;
        const some = upTo(9_000);
        const statements = [
          `UPDATE region SET id = ${fresh} WHERE id = ${upTo(REGIONS)}`,
          `DELETE FROM customer WHERE id = ${upTo(3_000)}`,
          `UPDATE orders SET id = ${fresh} WHERE id = ${some}`,
          `DELETE FROM orders WHERE id BETWEEN ${some} AND ${some + 3}`,
          `INSERT IGNORE INTO region VALUES (${upTo(REGIONS)}, 'again'); INSERT IGNORE INTO customer VALUES (${upTo(3_000)}, ${upTo(REGIONS)}, NULL, 'again')`,
          `INSERT IGNORE INTO orders VALUES (${some}, ${upTo(3_000)}, 1); INSERT IGNORE INTO line VALUES (${some}, 1, 'again')`,
          `UPDATE customer SET id = ${fresh} WHERE id = ${upTo(3_000)}`,
          `BEGIN; INSERT INTO region VALUES (${fresh + 1}, 'short'); INSERT INTO customer VALUES (${fresh + 1}, ${fresh + 1}, NULL, 'short'); INSERT INTO orders VALUES (${fresh + 1}, ${fresh + 1}, 2); DELETE FROM region WHERE id = ${fresh + 1}; COMMIT`,
          `UPDATE customer SET name = CONCAT(name, '+') WHERE id = ${upTo(3_000)}`,
          turn % 40 === 7 ? `DELETE FROM region WHERE id = ${upTo(REGIONS)}` : '',
          turn % 40 === 27 ? `DELETE FROM tenant WHERE id = ${upTo(40)}` : '',
          `DELETE FROM staff WHERE id = ${300 + upTo(700)}`,
        ];
        const one = statements[turn % statements.length] ?? '';
        if (one !== '') await client.query(one);
        await sleep(20);
      }
      await client.end();
    };

    const list = (table: string): string => {
      const columns = {
        region: ['id', 'name'],
        customer: ['id', 'region', 'tenant', 'name'],
        orders: ['id', 'customer', 'total'],
        line: ['order_id', 'n', 'what'],
        note: ['id', 'order_id', 'body'],
        staff: ['id', 'boss'],
      }[table] as readonly string[];
      const texts = columns.map((column) => `COALESCE(CAST(${column} AS CHAR(40)), '~')`);
      return `SELECT concat_ws('|', ${texts.join(', ')}) AS t FROM ${table}`;
    };
    const rows = async (side: 'old' | 'new', target: Target, table: string): Promise<string[]> => {
      const text = list(table);
      const found =
        side === 'old' || target === 'mariadb'
          ? await mariadb.query(side === 'old' ? 0 : 1, text)
          : await postgres.query(0, text);
      return found.map((row) => String((row as { t: string }).t).replaceAll(' ', '')).sort();
    };
    const equal = async (target: Target): Promise<void> => {
      let differing = '';
      for (const until = Date.now() + 45_000; Date.now() < until; await sleep(250)) {
        differing = '';
        for (const table of migrated) {
          const [a, b] = [await rows('old', target, table), await rows('new', target, table)];
          const [here, there] = [new Set(a), new Set(b)];
          const only = [
            ...a.filter((one) => !there.has(one)).slice(0, 3),
            '/',
            ...b.filter((one) => !here.has(one)).slice(0, 3),
          ];
          if (a.length !== b.length || only.length > 1)
            differing += `${table}: ${a.length} and ${b.length} rows: ${only.join(' ')}\n`;
        }
        if (differing === '') return;
      }
      expect(`${differing}worker: ${migration?.problems.join('\n')}`).toBe('equal');
    };

    test.each(Object.entries(targets))('MariaDB to %s', async (_, target) => {
      await sql(0, seed);
      if (target === 'mariadb') await sql(1, schema(target));
      else await postgres.query(0, `${schema(target)}; ${indexes}`);
      const collections = migrated.map((table) => `${table}: { capture: 'log' }`).join(', ');
      const url = target === 'mariadb' ? mariadb.url(1) : postgres.url(0);
      const engine = target === 'mariadb' ? 'mysql' : 'postgres';
      migration = new WholeMigration(`
        import { defineMigration } from ${from('src/index.ts')};
        import { mysql } from ${from('src/adapters/mysql/index.ts')};
        import { postgres } from ${from('src/adapters/postgres/index.ts')};
        export default defineMigration({
          name: 'acts_${target}',
          source: mysql({ url: ${JSON.stringify(mariadb.url(0))} }),
          target: ${engine}({ url: ${JSON.stringify(url)} }),
          collections: { ${collections} },
          gates: { profile: 'demo' },
        });`);
      await migration.start();
      const begin = (): void => {
        moving = true;
        mover = move();
      };
      // PostgreSQL refuses what refers to rows that are not copied yet: nothing but that would happen before the copy.
      if (target === 'mariadb') begin();
      await migration.advance();
      if (target !== 'mariadb') begin();
      await sleep(3_000);
      moving = false;
      await mover;
      await equal(target);

      // Copied by now; each of these alone.
      await migration.advance();
      for (const text of [
        'DELETE FROM region WHERE id = (SELECT region FROM customer WHERE region IS NOT NULL GROUP BY region ORDER BY COUNT(*) DESC LIMIT 1)',
        'UPDATE region SET id = 77777 WHERE id = (SELECT region FROM customer WHERE region IS NOT NULL GROUP BY region ORDER BY COUNT(*) DESC LIMIT 1)',
        'DELETE FROM tenant',
        'DELETE FROM staff WHERE id IN (2, 3)',
        `INSERT INTO customer VALUES (500000, NULL, NULL, 'large'); INSERT INTO orders SELECT 500000 + seq, 500000, 1 FROM seq_1_to_5000; INSERT INTO note SELECT 500000 + seq, 500000 + seq, 'x' FROM seq_1_to_5000`,
        'UPDATE customer SET id = 600000 WHERE id = 500000',
        'DELETE FROM customer WHERE id = 600000',
      ]) {
        await sql(0, text);
        await equal(target);
      }
      await migration.run('verify');
      await migration.run('abort', '--yes', '--reason', 'in a test');
      const left = await mariadb.query(0, 'SELECT TRIGGER_NAME FROM information_schema.TRIGGERS');
      expect(left).toEqual([]);
    });
  },
);
