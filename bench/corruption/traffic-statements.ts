import type { TrafficStatement } from './traffic.ts';

const one = (idMax: number, ...sql: readonly string[]): TrafficStatement => ({ sql, idMax });

const specimenAgain = "specimen (id, name, updated_at) VALUES (:id, 'again :n', '2024-05-05')";

/** Specimens that nobody spoils come and go, others are changed. */
const specimenStatements = (engine: 'postgres' | 'mariadb'): readonly TrafficStatement[] => [
  one(149, "UPDATE specimen SET note = 'turn :n' WHERE id = :id"),
  one(
    3,
    'DELETE FROM specimen WHERE id = :id',
    // Two threads may take turns between the two statements.
    engine === 'mariadb'
      ? `REPLACE INTO ${specimenAgain}`
      : `INSERT INTO ${specimenAgain} ON CONFLICT (id) DO UPDATE SET name = excluded.name`,
  ),
];

/** For `pgbench`. Hot keys between 3 and the last one of each table. */
export function chinookStatements(part: 'shop' | 'everything'): readonly TrafficStatement[] {
  const common = [
    one(5, "UPDATE customer SET phone = '+:n' WHERE customer_id = :id"),
    one(40, 'UPDATE invoice SET total = :n / 100.0 WHERE invoice_id = :id'),
    one(223, 'UPDATE invoice_line SET quantity = :n WHERE invoice_line_id = :id'),
    one(
      40,
      'UPDATE invoice SET total = :n WHERE invoice_id = :id',
      'UPDATE invoice_line SET unit_price = :n / 100.0 WHERE invoice_id = :id AND invoice_line_id % 10 = 3',
    ),
    ...specimenStatements('postgres'),
  ];
  if (part === 'shop') return common;
  return [
    ...common,
    one(350, "UPDATE track SET composer = 'Nº :n', milliseconds = :n WHERE track_id = :id"),
    one(34, "UPDATE album SET title = 'Título :n' WHERE album_id = :id"),
    one(27, "UPDATE artist SET name = 'Señor :n' WHERE artist_id = :id"),
    one(
      999,
      "INSERT INTO playlist VALUES (100 + :id, 'list :n') ON CONFLICT (playlist_id) DO UPDATE SET name = excluded.name",
    ),
    one(999, 'DELETE FROM playlist WHERE playlist_id = 100 + :id AND playlist_id > 100'),
  ];
}

/** For `sysbench`. */
export const sakilaStatements: readonly TrafficStatement[] = [
  one(59, "UPDATE customer SET email = 'c:n@example.com' WHERE customer_id = :id"),
  one(99, "UPDATE film SET rental_rate = :n / 1000, title = 'FILM Nº :n' WHERE film_id = :id"),
  one(
    1604,
    "UPDATE rental SET return_date = '2005-06-01' + INTERVAL :n MINUTE WHERE rental_id = :id",
  ),
  one(1604, 'UPDATE payment SET amount = :n / 100 WHERE payment_id = :id'),
  one(60, "UPDATE address SET phone = ':n' WHERE address_id = :id"),
  one(19, "UPDATE actor SET last_name = 'ACTOR :n' WHERE actor_id = :id"),
  // Not its store: a change that refers to a parent that the follower has lost is refused there, and rightly becomes a dead letter.
  one(
    457,
    "UPDATE inventory SET last_update = '2020-01-01' + INTERVAL :n MINUTE WHERE inventory_id = :id",
  ),
  one(
    1603,
    'DELETE FROM payment WHERE payment_id = :id',
    'REPLACE INTO payment (payment_id, customer_id, staff_id, rental_id, amount, payment_date) VALUES (:id, 1 + :n % 500, 1, NULL, :n / 100, now())',
  ),
  ...specimenStatements('mariadb'),
];

/** Of the two million names, as SQL for both engines; the second form is that of generated rows. */
export const hotNames = "year % 10 = 0 AND (name LIKE '%na' OR name LIKE 'Name%a')";

/** A table beside the migrated ones: `sysbench` draws a number, and this says which name has it. */
export const numberHotNames = `CREATE TABLE hot_names (id int PRIMARY KEY, year smallint NOT NULL, sex char(1) NOT NULL, name varchar(40) NOT NULL)
    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  INSERT INTO hot_names SELECT row_number() OVER (ORDER BY year, sex, name) * 10 - 7, year, sex, name FROM names WHERE ${hotNames}`;

/** For `sysbench`. */
export const namesStatements = (hot: number): readonly TrafficStatement[] => [
  one(
    hot - 1,
    'UPDATE names JOIN hot_names USING (year, sex, name) SET n = :n, share = :n / 100000 WHERE hot_names.id = :id',
  ),
  one(
    hot - 1,
    "UPDATE names JOIN hot_names USING (year, sex, name) SET label = 'Nº :n' WHERE hot_names.id = :id",
  ),
  one(
    hot - 1,
    'DELETE names FROM names JOIN hot_names USING (year, sex, name) WHERE hot_names.id = :id',
    "REPLACE INTO names SELECT year, sex, name, :n, 'again', :n / 100000 FROM hot_names WHERE id = :id",
  ),
  ...specimenStatements('mariadb'),
];
