import { readFileSync } from 'node:fs';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { chinookSql } from '../../test/support/chinook.ts';
import type { PrivateMariadb } from '../../test/support/mariadb-server.ts';
import { loadMariadb, sakilaSql } from '../../test/support/sakila.ts';
import { fillNames, namesDdl } from '../backfill/names.ts';
import type { CorruptionPair } from './round.ts';
import { specimenDdl, specimenSql } from './specimens.ts';
import type { SpoiledTable } from './spoil-follower.ts';
import { type ForeignTraffic, isHotKey, startPgbench, startSysbench } from './traffic.ts';
import {
  chinookStatements,
  hotNames,
  namesStatements,
  numberHotNames,
  sakilaStatements,
} from './traffic-statements.ts';

/** Runs SQL in a database, several statements too. */
export type RunSql = (sql: string) => Promise<unknown>;

const specimenCount = 1_500;

const hot = (table: SpoiledTable): SpoiledTable => ({
  ...table,
  hot: isHotKey(table.key.at(-1) ?? ''),
});

/** Parents before children; a stand-in has only some of them. */
const chinookKeys: Readonly<Record<string, readonly string[]>> = {
  artist: ['artist_id'],
  album: ['album_id'],
  genre: ['genre_id'],
  media_type: ['media_type_id'],
  employee: ['employee_id'],
  customer: ['customer_id'],
  track: ['track_id'],
  invoice: ['invoice_id'],
  invoice_line: ['invoice_line_id'],
  playlist: ['playlist_id'],
  playlist_track: ['playlist_id', 'track_id'],
};
const shopTables: ReadonlySet<string> = new Set(['customer', 'invoice', 'invoice_line']);

/** Chinook beside an empty copy of itself: customers, invoices and their lines, or everything where it is the published one. */
export async function chinookPair(
  urls: { readonly source: string; readonly target: string },
  run: { readonly source: RunSql; readonly target: RunSql },
  wanted: 'shop' | 'everything' = 'everything',
): Promise<CorruptionPair> {
  const { sql, origin } = chinookSql();
  const part = origin === 'published' ? wanted : 'shop';
  const tables = Object.entries(chinookKeys)
    .filter(([table]) => part === 'everything' || shopTables.has(table))
    .map(([collection, key]) => hot({ collection, key }));
  await run.source(sql);
  await run.target(sql);
  await run.target(`TRUNCATE ${tables.map(({ collection }) => collection).join(', ')} CASCADE`);
  for (const side of ['source', 'target'] as const) await run[side](specimenDdl.postgres);
  await run.source(specimenSql(specimenCount));
  return {
    source: postgres({ url: urls.source }),
    target: postgres({ url: urls.target }),
    targetUrl: urls.target,
    tables,
    traffic: () => startPgbench(urls.source, chinookStatements(part)),
  };
}

/** Parents before children. */
const sakilaKeys: Readonly<Record<string, readonly string[]>> = {
  country: ['country_id'],
  city: ['city_id'],
  address: ['address_id'],
  language: ['language_id'],
  category: ['category_id'],
  actor: ['actor_id'],
  film: ['film_id'],
  film_text: ['film_id'],
  film_actor: ['actor_id', 'film_id'],
  film_category: ['film_id', 'category_id'],
  store: ['store_id'],
  staff: ['staff_id'],
  customer: ['customer_id'],
  inventory: ['inventory_id'],
  rental: ['rental_id'],
  payment: ['payment_id'],
};

const sakilaTarget = new URL('../../examples/mysql-to-postgres/target.sql', import.meta.url);

/** Sakila from MariaDB to the tables of the example in PostgreSQL. */
export async function sakilaPair(
  server: PrivateMariadb,
  targetUrl: string,
  target: RunSql,
): Promise<CorruptionPair> {
  loadMariadb(server, sakilaSql().sql);
  await target(readFileSync(sakilaTarget, 'utf8'));
  await target(specimenDdl.postgres);
  await server.query(specimenDdl.mysql, [], 'sakila');
  await server.query(specimenSql(specimenCount), [], 'sakila');
  return {
    source: mariadb({ url: server.url('sakila') }),
    target: postgres({ url: targetUrl }),
    targetUrl,
    tables: Object.entries(sakilaKeys).map(([collection, key]) => hot({ collection, key })),
    traffic: () => startSysbench(placeOf(server, 'sakila'), sakilaStatements),
  };
}

const placeOf = (server: PrivateMariadb, database: string) => {
  const { host, port, user, password } = server;
  return { host, port, user, password, database };
};

/** Values that the published rows give without being invented: a text and a decimal beside the count. */
const derived = {
  columns: 'label varchar(60), share decimal(12,7)',
  values: "label = concat(name, ', ', sex, ', ', year), share = n / 100000",
} as const;

/** Names of children by year and sex, some two million rows, from MariaDB to PostgreSQL. */
export async function namesPair(
  server: PrivateMariadb,
  targetUrl: string,
  target: RunSql,
  from: { readonly folder: string; readonly rowsMax: number },
): Promise<CorruptionPair> {
  const run: RunSql = (sql) => server.query(sql, [], 'names');
  await server.createDatabase('names');
  await run(namesDdl.source);
  await fillNames(server, 'names', from.folder, from.rowsMax);
  await run(`ALTER TABLE names ADD (${derived.columns})`);
  await run(`UPDATE names SET ${derived.values}`);
  await run(numberHotNames);
  const [counted] = await server.query<{ n: string }>(
    'SELECT count(*) AS n FROM hot_names',
    [],
    'names',
  );
  await run(specimenDdl.mysql);
  await run(specimenSql(specimenCount));
  await target(namesDdl.target);
  for (const column of derived.columns.split(/, (?=share)/))
    await target(`ALTER TABLE names ADD ${column}`);
  await target(specimenDdl.postgres);
  const startTraffic = (): ForeignTraffic =>
    startSysbench(placeOf(server, 'names'), namesStatements(Number(counted?.n)));
  return {
    source: mariadb({ url: server.url('names') }),
    target: postgres({ url: targetUrl }),
    targetUrl,
    tables: [{ collection: 'names', key: ['year', 'sex', 'name'], hot: hotNames }],
    traffic: startTraffic,
  };
}
