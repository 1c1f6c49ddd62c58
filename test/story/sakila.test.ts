import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { loadMariadb, sakilaSql } from '../support/sakila.ts';
import { nobodyReads, WholeMigration } from '../support/whole-migration.ts';

const example = new URL('../../examples/mysql-to-postgres/', import.meta.url);
const from = (path: string): string =>
  JSON.stringify(fileURLToPath(new URL(`../../${path}`, import.meta.url)));

/** The example's own configuration, on this checkout and these addresses. */
const config = (source: string, target: string): string =>
  readFileSync(new URL('changeover.config.ts', example), 'utf8')
    .replace("'changeover'", from('src/index.ts'))
    .replace("'changeover/mysql'", from('src/adapters/mysql/index.ts'))
    .replace("'changeover/postgres'", from('src/adapters/postgres/index.ts'))
    .replace("process.env.SOURCE_URL ?? ''", JSON.stringify(source))
    .replace("process.env.TARGET_URL ?? ''", JSON.stringify(target));

/** Each row as one text, written by each server in its own way: what the test compares does not come from this library. */
const texts: Readonly<Record<string, readonly [mysql: string, postgres: string]>> = {
  film: [
    `SELECT CONCAT_WS('|', film_id, title, COALESCE(description, '~'), COALESCE(release_year, '~'), language_id, COALESCE(original_language_id, '~'),
      rental_duration, rental_rate, COALESCE(length, '~'), replacement_cost, COALESCE(rating, '~'), COALESCE(special_features, '~'), DATE_FORMAT(last_update, '%Y-%m-%d %H:%i:%s')) AS t FROM film`,
    `SELECT concat_ws('|', film_id, title, coalesce(description, '~'), coalesce(release_year::text, '~'), language_id, coalesce(original_language_id::text, '~'),
      rental_duration, rental_rate, coalesce(length::text, '~'), replacement_cost, coalesce(rating, '~'), coalesce(special_features, '~'), to_char(last_update AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')) AS t FROM film`,
  ],
  film_text: [
    `SELECT CONCAT_WS('|', film_id, title, COALESCE(description, '~')) AS t FROM film_text`,
    `SELECT concat_ws('|', film_id, title, coalesce(description, '~')) AS t FROM film_text`,
  ],
  staff: [
    `SELECT CONCAT_WS('|', staff_id, first_name, last_name, address_id, COALESCE(LOWER(HEX(picture)), '~'), COALESCE(email, '~'), store_id, active, username, COALESCE(password, '~'),
      DATE_FORMAT(last_update, '%Y-%m-%d %H:%i:%s')) AS t FROM staff`,
    `SELECT concat_ws('|', staff_id, first_name, last_name, address_id, coalesce(encode(picture, 'hex'), '~'), coalesce(email, '~'), store_id, active::int, username, coalesce(password, '~'),
      to_char(last_update AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')) AS t FROM staff`,
  ],
  store: [
    `SELECT CONCAT_WS('|', store_id, manager_staff_id, address_id) AS t FROM store`,
    `SELECT concat_ws('|', store_id, manager_staff_id, address_id) AS t FROM store`,
  ],
  rental: [
    `SELECT CONCAT_WS('|', rental_id, DATE_FORMAT(rental_date, '%Y-%m-%d %H:%i:%s'), inventory_id, customer_id, COALESCE(DATE_FORMAT(return_date, '%Y-%m-%d %H:%i:%s'), '~'), staff_id) AS t FROM rental`,
    `SELECT concat_ws('|', rental_id, to_char(rental_date, 'YYYY-MM-DD HH24:MI:SS'), inventory_id, customer_id, coalesce(to_char(return_date, 'YYYY-MM-DD HH24:MI:SS'), '~'), staff_id) AS t FROM rental`,
  ],
  payment: [
    `SELECT CONCAT_WS('|', payment_id, customer_id, staff_id, COALESCE(rental_id, '~'), amount, DATE_FORMAT(payment_date, '%Y-%m-%d %H:%i:%s')) AS t FROM payment`,
    `SELECT concat_ws('|', payment_id, customer_id, staff_id, coalesce(rental_id::text, '~'), amount, to_char(payment_date, 'YYYY-MM-DD HH24:MI:SS')) AS t FROM payment`,
  ],
};

/** Tables in which nothing but the key and plain texts is compared here; \`verify\` compares every column. */
const plain: Readonly<Record<string, string>> = {
  country: 'country_id, country',
  city: 'city_id, city, country_id',
  address:
    "address_id, address, coalesce(address2, '~'), district, city_id, coalesce(postal_code, '~'), phone",
  language: 'language_id, name',
  category: 'category_id, name',
  actor: 'actor_id, first_name, last_name',
  film_actor: 'actor_id, film_id',
  film_category: 'film_id, category_id',
  customer: "customer_id, store_id, first_name, last_name, coalesce(email, '~'), address_id",
  inventory: 'inventory_id, film_id, store_id',
};
for (const [table, columns] of Object.entries(plain)) {
  const text = `SELECT concat_ws('|', ${columns}) AS t FROM ${table}`;
  (texts as Record<string, readonly [string, string]>)[table] = [text, text];
}

describe.skipIf(missingMariadb())(
  'Sakila moves from MariaDB to PostgreSQL by its log, with cycles, triggers and cascades, there and back',
  { timeout: 300_000 },
  () => {
    const mariadb = withMariadb(1);
    const postgres = withDatabases(1);
    const { sql, origin } = sakilaSql();
    const tables = Object.keys(texts);
    let migration: WholeMigration;

    const old = (text: string): Promise<Record<string, string | null>[]> =>
      mariadb.server.query(text, [], 'sakila');
    /** Several statements, by the server's own program. */
    const oldDo = (text: string): void => loadMariadb(mariadb.server, `USE sakila; ${text}`);
    const young = (text: string) => postgres.query(0, text);

    beforeAll(async () => {
      if (origin === 'stand-in')
        console.warn('Sakila as published is not at hand: a generated stand-in is used.');
      loadMariadb(mariadb.server, sql);
      await young(readFileSync(new URL('target.sql', example), 'utf8'));
      // MariaDB leaves it out of the published schema: one column with geometry.
      oldDo(
        `ALTER TABLE address ADD COLUMN location GEOMETRY; UPDATE address SET location = POINT(address_id, -address_id / 3)`,
      );
      await young('ALTER TABLE address ADD COLUMN location bytea');
      migration = new WholeMigration(config(mariadb.server.url('sakila'), postgres.url(0)));
    });
    afterAll(() => migration?.close());

    const equal = async (): Promise<void> => {
      let differing = '';
      for (const until = Date.now() + 30_000; Date.now() < until; await sleep(250)) {
        differing = '';
        for (const table of tables) {
          const [mine = '', theirs = ''] = texts[table] ?? [];
          const a = (await old(mine)).map(({ t }) => String(t)).sort();
          const b = (await young(theirs)).map((row) => String((row as { t: string }).t)).sort();
          const at = a.findIndex((text, index) => text !== b[index]);
          if (a.length !== b.length || at >= 0)
            differing += `${table}: ${a.length} and ${b.length} rows, first at ${at}: ${a[at]} and ${b[at]}\n`;
        }
        if (differing === '') return;
      }
      expect(`${differing}worker: ${migration.problems.join('\n')}`).toBe('equal');
    };

    test('check names the cascades and triggers, and nothing fails', async () => {
      const check = await migration.run('check');
      const text = JSON.stringify(check.data);
      expect(text).toMatch(/payment.*SET NULL|SET NULL.*payment/);
    });

    test('copied, followed through triggers and cascades, and equal', async () => {
      await migration.start();
      oldDo(`
        INSERT INTO film (title, language_id, rating, special_features, release_year) VALUES ('Ünïcode 🎬', 1, 'NC-17', 'Trailers,Deleted Scenes', 2026);
        UPDATE film SET title = 'RENAMED', description = REPEAT('long ', 1000) WHERE film_id = 3;
        DELETE FROM rental WHERE rental_id BETWEEN 10 AND 20;
        UPDATE payment SET amount = amount + 1 WHERE payment_id % 100 = 0;
        UPDATE staff SET picture = 0x0001ff5c, password = 'Ab' WHERE staff_id = 2`);
      await migration.advance();
      oldDo(`DELETE FROM rental WHERE rental_id = 30; UPDATE rental SET rental_id = 900000 WHERE rental_id = 31;
        START TRANSACTION; UPDATE store SET manager_staff_id = 99 WHERE store_id = 1 AND FALSE; UPDATE staff SET email = NULL; COMMIT`);
      await migration.advance();
      // Everything is copied by now: what InnoDB does from here on can only come by the log.
      await equal();
      oldDo(`UPDATE rental SET rental_id = 900001 WHERE rental_id = 101; UPDATE rental SET rental_id = rental_id + 910000 WHERE rental_id BETWEEN 110 AND 120;
        START TRANSACTION; UPDATE rental SET rental_id = 900002 WHERE rental_id = 102; DELETE FROM rental WHERE rental_id IN (900001, 103); COMMIT;
        DELETE FROM rental WHERE rental_id BETWEEN 200 AND 260`);
      await equal();
      await migration.run('verify');
      await migration.advance(nobodyReads);
      await equal();
      const cascaded = await young(
        'SELECT count(*)::int AS n FROM payment WHERE rental_id IS NULL',
      );
      expect(Number((cascaded[0] as { n: number }).n)).toBeGreaterThan(10);
    });

    test('the write switch turns the direction, and MariaDB follows PostgreSQL', async () => {
      await migration.run('dial', '100');
      await young('ALTER TABLE store ADD FOREIGN KEY (manager_staff_id) REFERENCES staff');
      // They set columns to now, also in what comes back from PostgreSQL.
      oldDo(
        'DROP TRIGGER IF EXISTS customer_create_date; DROP TRIGGER IF EXISTS payment_date; DROP TRIGGER IF EXISTS rental_date',
      );
      await migration.advance(nobodyReads);
      await young(`
        INSERT INTO film (film_id, title, language_id, rental_duration, rental_rate, replacement_cost, rating, special_features, last_update)
          VALUES (5000, 'New in PostgreSQL', 1, 3, 1.99, 9.99, 'PG-13', 'Commentaries', '2026-02-03 04:05:06+00');
        INSERT INTO film_text VALUES (5000, 'New in PostgreSQL', NULL);
        UPDATE staff SET active = NOT active, picture = '\\xdeadbeef';
        DELETE FROM rental WHERE rental_id = 40;
        UPDATE payment SET amount = 9.5, payment_date = '2026-01-01 01:01:01' WHERE payment_id = 7`);
      await equal();
      await expect(old("UPDATE film SET title = 'stale' WHERE film_id = 1")).rejects.toThrow(
        /other store|changeover/i,
      );
    });

    test('and back, followed again, verified', async () => {
      await migration.run('rollback', '--yes', '--reason', 'in a test');
      oldDo(
        "UPDATE film SET title = 'on MariaDB again' WHERE film_id = 1; DELETE FROM payment WHERE payment_id = 5",
      );
      await equal();
      await migration.run('verify');
    });

    test('abort leaves nothing of ours in either store', async () => {
      await migration.run('abort', '--yes', '--reason', 'in a test');
      expect(
        await old(
          `SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'changeover%'`,
        ),
      ).toEqual([]);
      expect(
        await old(
          `SELECT trigger_name FROM information_schema.triggers WHERE trigger_name LIKE 'changeover%'`,
        ),
      ).toEqual([]);
      expect(
        await young(
          `SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'changeover_sakila%'`,
        ),
      ).toEqual([]);
    });
  },
);
