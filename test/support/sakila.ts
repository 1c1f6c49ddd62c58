import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PrivateMariadb } from './private-mariadb.ts';

const at = (name: string): string =>
  fileURLToPath(new URL(`../../../shared/data/${name}`, import.meta.url));

/** SQL for the `mariadb` program that makes database `sakila`: as published where that is at hand, else a small stand-in with the same awkward tables. */
export function sakilaSql(): { readonly sql: string; readonly origin: 'published' | 'stand-in' } {
  const schema = at('sakila-mysql-schema.sql');
  const data = at('sakila-mysql-data.sql.xz');
  if (!existsSync(schema) || !existsSync(data)) return { sql: standIn, origin: 'stand-in' };
  const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const;
  const rows = execFileSync('xz', ['-dc', data], options);
  return { sql: `${readFileSync(schema, 'utf8')}\n${rows}`, origin: 'published' };
}

/** Runs SQL by the `mariadb` program, which knows DELIMITER and version comments. */
export function loadMariadb(
  server: Pick<PrivateMariadb, 'host' | 'port' | 'user' | 'password'>,
  sql: string,
): void {
  const { host, port, user, password } = server;
  execFileSync(
    'mariadb',
    ['-h', host, '-P', String(port), '-u', user, '--default-character-set=utf8mb4'],
    {
      input: sql,
      env: { ...process.env, MYSQL_PWD: password },
      stdio: ['pipe', 'ignore', 'pipe'],
    },
  );
}

const touched =
  'last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP';

/** Of our own making: the tables with cycles, triggers, cascades and awkward types. */
const standIn = `
DROP DATABASE IF EXISTS sakila; CREATE DATABASE sakila CHARACTER SET utf8mb4; USE sakila;
SET foreign_key_checks = 0;
CREATE TABLE country (country_id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, country VARCHAR(50) NOT NULL, ${touched});
CREATE TABLE city (city_id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, city VARCHAR(50) NOT NULL, country_id SMALLINT UNSIGNED NOT NULL, ${touched},
  FOREIGN KEY (country_id) REFERENCES country (country_id) ON UPDATE CASCADE);
CREATE TABLE address (address_id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, address VARCHAR(50) NOT NULL, address2 VARCHAR(50), district VARCHAR(20) NOT NULL,
  city_id SMALLINT UNSIGNED NOT NULL, postal_code VARCHAR(10), phone VARCHAR(20) NOT NULL, ${touched}, FOREIGN KEY (city_id) REFERENCES city (city_id));
CREATE TABLE category (category_id TINYINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(25) NOT NULL, ${touched});
CREATE TABLE actor (actor_id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, first_name VARCHAR(45) NOT NULL, last_name VARCHAR(45) NOT NULL, ${touched});
CREATE TABLE language (language_id TINYINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name CHAR(20) NOT NULL, ${touched});
CREATE TABLE film (film_id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, title VARCHAR(128) NOT NULL, description TEXT, release_year YEAR,
  language_id TINYINT UNSIGNED NOT NULL, original_language_id TINYINT UNSIGNED, rental_duration TINYINT UNSIGNED NOT NULL DEFAULT 3,
  rental_rate DECIMAL(4,2) NOT NULL DEFAULT 4.99, length SMALLINT UNSIGNED, replacement_cost DECIMAL(5,2) NOT NULL DEFAULT 19.99,
  rating ENUM('G','PG','PG-13','R','NC-17') DEFAULT 'G', special_features SET('Trailers','Commentaries','Deleted Scenes','Behind the Scenes'), ${touched},
  FOREIGN KEY (language_id) REFERENCES language (language_id) ON UPDATE CASCADE);
CREATE TABLE film_text (film_id SMALLINT NOT NULL PRIMARY KEY, title VARCHAR(255) NOT NULL, description TEXT);
CREATE TABLE film_actor (actor_id SMALLINT UNSIGNED, film_id SMALLINT UNSIGNED, ${touched}, PRIMARY KEY (actor_id, film_id));
CREATE TABLE film_category (film_id SMALLINT UNSIGNED, category_id TINYINT UNSIGNED, ${touched}, PRIMARY KEY (film_id, category_id));
CREATE TABLE inventory (inventory_id MEDIUMINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, film_id SMALLINT UNSIGNED NOT NULL, store_id TINYINT UNSIGNED NOT NULL, ${touched});
CREATE TABLE customer (customer_id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, store_id TINYINT UNSIGNED NOT NULL, first_name VARCHAR(45) NOT NULL, last_name VARCHAR(45) NOT NULL,
  email VARCHAR(50), address_id SMALLINT UNSIGNED NOT NULL, active BOOLEAN NOT NULL DEFAULT TRUE, create_date DATETIME NOT NULL,
  last_update TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);
CREATE TABLE store (store_id TINYINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, manager_staff_id TINYINT UNSIGNED NOT NULL UNIQUE, address_id SMALLINT UNSIGNED NOT NULL, ${touched},
  FOREIGN KEY (manager_staff_id) REFERENCES staff (staff_id));
CREATE TABLE staff (staff_id TINYINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, first_name VARCHAR(45) NOT NULL, last_name VARCHAR(45) NOT NULL, address_id SMALLINT UNSIGNED NOT NULL,
  picture BLOB, email VARCHAR(50), store_id TINYINT UNSIGNED NOT NULL, active BOOLEAN NOT NULL DEFAULT TRUE, username VARCHAR(16) NOT NULL,
  password VARCHAR(40) COLLATE utf8mb4_bin, ${touched}, FOREIGN KEY (store_id) REFERENCES store (store_id));
CREATE TABLE rental (rental_id INT PRIMARY KEY AUTO_INCREMENT, rental_date DATETIME NOT NULL, inventory_id MEDIUMINT UNSIGNED NOT NULL, customer_id SMALLINT UNSIGNED NOT NULL,
  return_date DATETIME, staff_id TINYINT UNSIGNED NOT NULL, ${touched}, UNIQUE (rental_date, inventory_id, customer_id), FOREIGN KEY (staff_id) REFERENCES staff (staff_id));
CREATE TABLE payment (payment_id SMALLINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, customer_id SMALLINT UNSIGNED NOT NULL, staff_id TINYINT UNSIGNED NOT NULL, rental_id INT,
  amount DECIMAL(5,2) NOT NULL, payment_date DATETIME NOT NULL, last_update TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  FOREIGN KEY (rental_id) REFERENCES rental (rental_id) ON DELETE SET NULL ON UPDATE CASCADE);
DELIMITER ;;
CREATE TRIGGER ins_film AFTER INSERT ON film FOR EACH ROW INSERT INTO film_text VALUES (new.film_id, new.title, new.description);;
CREATE TRIGGER upd_film AFTER UPDATE ON film FOR EACH ROW UPDATE film_text SET title = new.title, description = new.description WHERE film_id = old.film_id;;
CREATE TRIGGER del_film AFTER DELETE ON film FOR EACH ROW DELETE FROM film_text WHERE film_id = old.film_id;;
DELIMITER ;
INSERT INTO language (name) VALUES ('English'), ('Français'), ('日本語');
INSERT INTO film (title, description, release_year, language_id, length, rating, special_features)
  SELECT CONCAT('Film ', seq, ' Ä'), IF(seq % 5, CONCAT('A "tale" \\\\ of\\ttabs\\nand ', seq), NULL), 1950 + seq % 70, 1 + seq % 3, seq % 200, 1 + seq % 5, seq % 16 FROM seq_1_to_1000;
INSERT INTO country (country) VALUES ('Österreich'), ('日本');
INSERT INTO city (city, country_id) SELECT CONCAT('City ', seq), 1 + seq % 2 FROM seq_1_to_40;
INSERT INTO address (address, district, city_id, phone) SELECT CONCAT(seq, ' Main'), '', 1 + seq % 40, '' FROM seq_1_to_500;
INSERT INTO category (name) VALUES ('Action'), ('Drama');
INSERT INTO actor (first_name, last_name) SELECT 'A', CONCAT('B', seq) FROM seq_1_to_200;
INSERT INTO film_actor (actor_id, film_id) SELECT 1 + seq % 200, seq FROM seq_1_to_1000;
INSERT INTO film_category (film_id, category_id) SELECT seq, 1 + seq % 2 FROM seq_1_to_1000;
INSERT INTO inventory (film_id, store_id) SELECT 1 + seq % 1000, 1 + seq % 2 FROM seq_1_to_4000;
INSERT INTO customer (store_id, first_name, last_name, address_id, create_date) SELECT 1 + seq % 2, 'C', CONCAT('D', seq), seq, '2006-02-14 22:04:36' FROM seq_1_to_500;
INSERT INTO store VALUES (1, 1, 1, '2006-02-15 04:57:12'), (2, 2, 2, '2006-02-15 04:57:12');
INSERT INTO staff VALUES (1, 'Mike', 'Hillyer', 3, 0x89504e470d0a1a0a00ff, 'm@example.com', 1, 1, 'Mike', 'a', '2006-02-15 03:57:16'), (2, 'Jon', 'Stephens', 4, NULL, NULL, 2, 0, 'Jon', NULL, '2006-02-15 03:57:16');
INSERT INTO rental SELECT seq, '2005-05-24 22:53:30' + INTERVAL seq MINUTE, seq, 1 + seq % 500, IF(seq % 7, '2005-06-01 10:00:00', NULL), 1 + seq % 2, '2006-02-15 21:30:53' FROM seq_1_to_8000;
INSERT INTO payment SELECT seq, 1 + seq % 500, 1 + seq % 2, seq, (seq % 1000) / 100, '2005-05-25 11:30:37', '2006-02-15 22:12:30' FROM seq_1_to_8000;
SET foreign_key_checks = 1;
`;
