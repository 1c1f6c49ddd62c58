import { defineMigration } from 'changeover';
import { mysql } from 'changeover/mysql';
import { postgres } from 'changeover/postgres';

/** Parents before children: in this order they are copied, and written. */
const tables = [
  'country',
  'city',
  'address',
  'language',
  'category',
  'actor',
  'film',
  'film_text',
  'film_actor',
  'film_category',
  'store',
  'staff',
  'customer',
  'inventory',
  'rental',
  'payment',
];

export default defineMigration({
  name: 'sakila',
  source: mysql({ url: process.env.SOURCE_URL ?? '' }),
  target: postgres({ url: process.env.TARGET_URL ?? '' }),
  // The application is not changed: MySQL's binary log tells what it wrote, and everybody else.
  collections: Object.fromEntries(tables.map((table) => [table, { capture: 'log' }])),
  gates: { profile: 'demo' },
});
