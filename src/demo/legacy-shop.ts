import pg from 'pg';
import { notes, type Region, regions } from './shop-people.ts';
import { legacyDdl, modernDdl } from './shop-schema.ts';

export interface LegacyShopOptions {
  /** Number of customers. Their ids are 1 … rows. */
  readonly rows: number;
  /** Same seed and same number of rows: same table, on every server. */
  readonly seed: number;
}

/** Creates the legacy table in an empty database and fills it, inside the server. 200 000 rows take a few seconds. */
export async function createLegacyShop(url: string, options: LegacyShopOptions): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(legacyDdl);
    await client.query(
      `CREATE TEMPORARY TABLE region (
         id int PRIMARY KEY, country text, currency text, decimals int, dialling text,
         given text[], family text[], streets text[], cities text[])`,
    );
    for (const [index, region] of regions.entries()) await insertRegion(client, index, region);
    await client.query(fillSql, [options.rows, options.seed, notes, regionOfHundred()]);
    await client.query('ANALYZE customers');
  });
}

/** Creates the empty tables of the modern model. */
export async function createModernShop(url: string): Promise<void> {
  await withClient(url, (client) => client.query(modernDdl));
}

async function withClient(
  url: string,
  work: (client: pg.Client) => Promise<unknown>,
): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'demo-setup' });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function insertRegion(client: pg.Client, index: number, region: Region): Promise<void> {
  const { country, currency, decimals, dialling, given, family, streets, cities } = region;
  await client.query('INSERT INTO region VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)', [
    index,
    country,
    currency,
    decimals,
    dialling,
    given,
    family,
    streets,
    cities,
  ]);
}

/** Region of each of a hundred customers, after the weights. */
function regionOfHundred(): readonly number[] {
  const table = regions.flatMap(({ weight }, index) => Array<number>(weight).fill(index));
  if (table.length !== 100) throw new Error(`the weights add up to ${table.length}, not 100`);
  return table;
}

/**
 * One statement for all rows. Chance is a hash of (id, seed + n), so a row does not depend on the order in which rows are
 * made. `pick(n, size)` in words: a number 0 … size - 1 for the n-th decision about this customer.
 */
const pick = (n: number, size: string | number): string =>
  `((hashint8extended(i, $2::bigint * 64 + ${n}) & 9223372036854775807) % ${size})::int`;
const any = (n: number, list: string): string => `${list}[1 + ${pick(n, `cardinality(${list})`)}]`;
const sometimes = (n: number, percent: number, value: string): string =>
  `CASE WHEN ${pick(n, 100)} < ${percent} THEN ${value} END`;

const fillSql = `
INSERT INTO customers
SELECT
  i,
  ${any(1, 'given')} || COALESCE(' ' || CASE WHEN cardinality(family) > 0 THEN ${any(2, 'family')} END, ''),
  ${sometimes(3, 88, `'kunde' || i || '@' || (ARRAY['example.org', 'example.net', 'bücher.example', 'пошта.example'])[1 + ${pick(4, 4)}]`)},
  ${sometimes(5, 60, `dialling || ' ' || (100 + ${pick(6, 900)}) || ' ' || lpad(${pick(7, 10_000_000)}::text, 7, '0')`)},
  ${sometimes(8, 45, `dialling || ' 15' || lpad(${pick(9, 100_000_000)}::text, 8, '0')`)},
  ${sometimes(10, 4, `dialling || ' ' || ${pick(11, 1_000_000)} || '-99'`)},
  CASE WHEN has_address THEN ${any(12, 'streets')} || ' ' || (1 + ${pick(13, 180)}) END,
  CASE WHEN has_address THEN lpad(${pick(14, 99_999)}::text, 5, '0') END,
  CASE WHEN has_address THEN ${any(15, 'cities')} END,
  CASE WHEN has_address THEN country END,
  CASE WHEN ships THEN ${any(16, 'streets')} || ' ' || (1 + ${pick(17, 180)}) END,
  CASE WHEN ships THEN lpad(${pick(18, 99_999)}::text, 5, '0') END,
  CASE WHEN ships THEN ${any(19, 'cities')} END,
  CASE WHEN ships THEN country END,
  ${sometimes(
    20,
    92,
    `CASE WHEN ${pick(21, 12)} = 0 THEN '-' ELSE '' END || (1 + ${pick(22, 90_000)})
       || CASE WHEN decimals = 2 THEN '.' || lpad(${pick(23, 100)}::text, 2, '0') ELSE '' END || ' ' || currency`,
  )},
  CASE WHEN ${pick(24, 100)} < 40 THEN 'J' ELSE 'N' END,
  ${sometimes(25, 70, `to_char(date '1931-01-01' + ${pick(26, 27_000)}, 'DD.MM.YYYY')`)},
  (ARRAY['', '', '', 'vip', 'wholesale', 'vip,wholesale', 'b2b', 'b2b,net30,vip'])[1 + ${pick(27, 8)}],
  ${sometimes(28, 35, any(29, '($3::text[])'))},
  born,
  born + ${pick(32, 40_000_000)} * interval '1 second' + ${pick(33, 1_000_000)} * interval '1 microsecond',
  CASE WHEN closed THEN 'Y' ELSE 'N' END,
  CASE WHEN closed THEN born + ${pick(34, 50_000_000)} * interval '1 second' END,
  0
FROM (
  SELECT i, region.*,
    ${pick(35, 100)} < 93 AS has_address,
    ${pick(36, 100)} < 28 AS ships,
    ${pick(37, 100)} < 7 AS closed,
    timestamp '2009-03-01' + ${pick(38, 460_000_000)} * interval '1 second'
      + ${pick(39, 1_000_000)} * interval '1 microsecond' AS born
  FROM generate_series(1::bigint, $1::bigint) AS i
  JOIN region ON region.id = ($4::int[])[1 + ${pick(40, 100)}]
) AS customer
ORDER BY i`;
