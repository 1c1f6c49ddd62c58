import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const published = fileURLToPath(
  new URL('../../../shared/data/chinook-postgres.sql.xz', import.meta.url),
);

/** SQL of the Chinook shop: as published where that is at hand, else a small stand-in with the same three tables. */
export function chinookSql(): { readonly sql: string; readonly origin: 'published' | 'stand-in' } {
  if (!existsSync(published)) return { sql: standIn(), origin: 'stand-in' };
  const whole = execFileSync('xz', ['-dc', published], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const sql = whole
    .split('\n')
    .filter((line) => !/^(DROP DATABASE|CREATE DATABASE|\\c )/.test(line))
    .join('\n');
  return { sql, origin: 'published' };
}

function standIn(): string {
  return `
    CREATE TABLE customer (customer_id int PRIMARY KEY, first_name varchar(40) NOT NULL, last_name varchar(20) NOT NULL, company varchar(80),
      address varchar(70), city varchar(40), state varchar(40), country varchar(40), postal_code varchar(10), phone varchar(24), fax varchar(24),
      email varchar(60) NOT NULL, support_rep_id int);
    CREATE TABLE invoice (invoice_id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customer, invoice_date timestamp NOT NULL,
      billing_address varchar(70), billing_city varchar(40), billing_state varchar(40), billing_country varchar(40), billing_postal_code varchar(10),
      total numeric(10,2) NOT NULL);
    CREATE TABLE track (track_id int PRIMARY KEY);
    CREATE TABLE invoice_line (invoice_line_id int PRIMARY KEY, invoice_id int NOT NULL REFERENCES invoice, track_id int NOT NULL,
      unit_price numeric(10,2) NOT NULL, quantity int NOT NULL);
    INSERT INTO track SELECT generate_series(1, 3503);
    INSERT INTO customer SELECT i, 'Łucja ' || i, 'Størm', NULL, i || ' Straße', 'Köln', NULL, 'Deutschland', '5' || i, NULL, NULL, 'c' || i || '@example.com', 3
      FROM generate_series(1, 59) i;
    INSERT INTO invoice SELECT i, i % 59 + 1, timestamp '2009-01-01' + i * interval '3 hours', 'x', 'y', NULL, 'z', NULL, 1.98 FROM generate_series(1, 412) i;
    INSERT INTO invoice_line SELECT i, i % 412 + 1, i % 3503 + 1, 0.99, 1 FROM generate_series(1, 2240) i;`;
}

/** The same facts from either model, ordered: what the test compares, by SQL of its own. */
export const peopleSql = {
  source: `SELECT customer_id AS id, first_name || ' ' || last_name AS name, company, address AS street, city, state AS region, country, postal_code,
      phone, fax, email, support_rep_id FROM customer ORDER BY 1`,
  target: `SELECT p.id, full_name AS name, company, street, city, region, country, postal_code,
      (SELECT value FROM sales.contact c WHERE c.person_id = p.id AND channel = 'phone') AS phone,
      (SELECT value FROM sales.contact c WHERE c.person_id = p.id AND channel = 'fax') AS fax,
      (SELECT value FROM sales.contact c WHERE c.person_id = p.id AND channel = 'email') AS email, support_rep_id
    FROM sales.person p LEFT JOIN sales.address a ON a.person_id = p.id AND kind = 'home' ORDER BY 1`,
} as const;

export const purchasesSql = {
  source: `SELECT i.invoice_id AS id, customer_id AS person, to_char(invoice_date, 'YYYY-MM-DD HH24:MI:SS') AS at, billing_city AS city, (total * 100)::int AS cents,
      (SELECT json_agg(json_build_array(invoice_line_id, track_id, (unit_price * 100)::int, quantity) ORDER BY invoice_line_id)
        FROM invoice_line l WHERE l.invoice_id = i.invoice_id)::text AS items FROM invoice i ORDER BY 1`,
  target: `SELECT p.id, person_id AS person, to_char(ordered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS at, bill_to ->> 'city' AS city, total_cents::int AS cents,
      (SELECT json_agg(json_build_array(id, track_id, unit_price_cents::int, quantity) ORDER BY id)
        FROM sales.purchase_item t WHERE t.purchase_id = p.id)::text AS items FROM sales.purchase p ORDER BY 1`,
} as const;
