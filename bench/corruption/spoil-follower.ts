import pg from 'pg';
import { decodeKey, encodeKey, type MismatchClass } from '../../src/record/index.ts';
import type { Random } from '../../src/runtime/index.ts';
import { type Column, corruptions, isMark } from './corruptions.ts';

/** A collection whose follower is a table of the same name in PostgreSQL. */
export interface SpoiledTable {
  readonly collection: string;
  readonly key: readonly string[];
  /** Rows that may be spoiled, as SQL; default: all. */
  readonly where?: string;
  /** Rows that traffic writes meanwhile, as SQL: between the others, and spoiled only now and then. Default: none. */
  readonly hot?: string;
  /** Only for what no other table can hold. */
  readonly last?: boolean;
}

/** What was done to one record, and what it has to be called. */
export interface Damage {
  readonly collection: string;
  /** Encoded. */
  readonly key: string;
  readonly how: string;
  readonly class: MismatchClass;
  /** null: the whole row. */
  readonly field: string | null;
  /** The row as it was left: text of all columns; null: it is gone. */
  readonly image: string | null;
  /** Traffic may write it anew. */
  readonly hot: boolean;
}

type Row = Readonly<Record<string, string | null>>;

/** Rows that are looked at for one way of damage; few values are NULL, or carry an emoji. */
const CANDIDATES = 200;
const KINDS = ['missing', 'extra', 'stale', ...Object.keys(corruptions)] as const;

/** One damage of so many is done to a row that traffic writes. */
const HOT_EVERY = 20;
/** What no table but the last can hold comes every third time only: it would all go there. */
const LAST_EVERY = 3;

/** A connection for damage: no trigger of anybody runs, and no foreign key is asked. Needs a superuser. */
async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('SET session_replication_role = replica');
  return client;
}

/** Does `count` damages to the follower behind the door's back, each to another record, every class in turn as far as the tables have values for it. */
export async function spoilFollower(
  url: string,
  tables: readonly SpoiledTable[],
  count: number,
  random: Random,
): Promise<readonly Damage[]> {
  const client = await connect(url);
  try {
    const done: Damage[] = [];
    const taken = new Set<string>();
    const columns = new Map<string, readonly Column[]>();
    const rare = new Set<string>();
    for (const { collection } of tables)
      columns.set(collection, await columnsOf(client, collection));
    for (let round = 0, idle = 0; done.length < count && idle < KINDS.length * 3; round++) {
      const how = KINDS[round % KINDS.length] as string;
      if (rare.has(how) && Math.floor(round / KINDS.length) % LAST_EVERY !== 0) continue;
      const hot = done.length % HOT_EVERY === HOT_EVERY - 1 && idle < KINDS.length;
      const order = inTurn(tables, random);
      const damage = await damageOne(client, order, columns, { how, hot }, taken, random);
      idle = damage === null ? idle + 1 : 0;
      if (damage === null) continue;
      done.push(damage);
      if (!hot && order.find((one) => one.collection === damage.collection)?.last) rare.add(how);
    }
    return done;
  } finally {
    await client.end();
  }
}

/** Another table first each time, else one would take everything. */
function inTurn(tables: readonly SpoiledTable[], random: Random): readonly SpoiledTable[] {
  const real = tables.filter(({ last }) => !last);
  const turn = Math.floor(random.next() * real.length);
  return [...real.slice(turn), ...real.slice(0, turn), ...tables.filter(({ last }) => last)];
}

/** Which damages are not as they were left: somebody has written the row since. */
export async function overwrittenOf(
  url: string,
  tables: readonly SpoiledTable[],
  damages: readonly Damage[],
): Promise<readonly Damage[]> {
  const client = await connect(url);
  try {
    const found: Damage[] = [];
    for (const damage of damages) {
      const table = tables.find(({ collection }) => collection === damage.collection);
      if (table && (await imageOf(client, table, decodeKey(damage.key))) !== damage.image)
        found.push(damage);
    }
    return found;
  } finally {
    await client.end();
  }
}

async function imageOf(
  client: pg.Client,
  { collection, key }: SpoiledTable,
  values: readonly string[],
): Promise<string | null> {
  const where = key.map((name, index) => `${name} = $${index + 1}`).join(' AND ');
  const { rows } = await client.query<{ image: string }>(
    `SELECT (${collection}.*)::text AS image FROM ${collection} WHERE ${where}`,
    [...values],
  );
  return rows[0]?.image ?? null;
}

/** What is to be done, and whether to a row that traffic writes. */
interface Wish {
  readonly how: string;
  readonly hot: boolean;
}

async function damageOne(
  client: pg.Client,
  tables: readonly SpoiledTable[],
  columns: ReadonlyMap<string, readonly Column[]>,
  { how, hot }: Wish,
  taken: Set<string>,
  random: Random,
): Promise<Damage | null> {
  for (const table of tables) {
    const own = columns.get(table.collection) ?? [];
    for (const row of await someRows(client, table, own, hot, random)) {
      if (taken.has(`${table.collection} ${keyOf(table, row)}`)) continue;
      const done = await spoilRow(client, table, own, row, how, random);
      if (done === null) continue;
      taken.add(`${table.collection} ${keyOf(table, row)}`);
      taken.add(`${table.collection} ${done.key}`);
      return { ...done, hot: hot && how !== 'extra' };
    }
  }
  return null;
}

/** What was done to a row. */
type Done = Omit<Damage, 'hot'>;

const keyOf = ({ key }: SpoiledTable, row: Row): string =>
  encodeKey(key.map((column) => String(row[column])));

async function columnsOf(client: pg.Client, table: string): Promise<readonly Column[]> {
  const { rows } = await client.query<Column & { readonly room: number | null }>(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, NOT attnotnull AS nullable,
       CASE WHEN atttypid = 'varchar'::regtype AND atttypmod > 0 THEN atttypmod - 4 END AS room
     FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  );
  return rows;
}

/** Some rows from a random place on, as text. */
async function someRows(
  client: pg.Client,
  table: SpoiledTable,
  columns: readonly Column[],
  hot: boolean,
  random: Random,
): Promise<readonly Row[]> {
  if (hot && table.hot === undefined) return [];
  const texts = columns.map(({ name }) => `${pg.escapeIdentifier(name)}::text`).join(', ');
  const cold = table.hot === undefined ? '' : ` AND NOT (${table.hot})`;
  const where = `(${table.where ?? 'true'})${hot ? ` AND ${table.hot}` : cold}`;
  const share = await client.query<{ readonly n: string }>(
    `SELECT reltuples::bigint AS n FROM pg_class WHERE oid = $1::regclass`,
    [table.collection],
  );
  // A large table is not sorted for a handful of rows.
  const large = Number(share.rows[0]?.n) > 100_000;
  const from = large
    ? `${table.collection} TABLESAMPLE SYSTEM (${hot ? 2 : 0.2})`
    : table.collection;
  await client.query('SELECT setseed($1)', [random.next()]);
  const { rows } = await client.query<Row>(
    `SELECT ${texts} FROM ${from} WHERE ${where} ORDER BY random() LIMIT ${CANDIDATES}`,
  );
  return rows;
}

async function spoilRow(
  client: pg.Client,
  table: SpoiledTable,
  columns: readonly Column[],
  row: Row,
  how: string,
  random: Random,
): Promise<Done | null> {
  const { collection } = table;
  const own = { collection, key: keyOf(table, row), how };
  const values = columns.filter(({ name }) => !table.key.includes(name));
  if (how === 'missing') {
    const gone = await change(client, `DELETE FROM ${collection}`, [], table, row);
    return gone === null ? null : { ...own, class: 'missing', field: null, image: null };
  }
  if (how === 'extra') return insertExtra(client, table, columns, row);
  if (how === 'stale') {
    const mark = values.find(isMark);
    const other = values.find(
      (column) =>
        !isMark(column) && corruptions['random']?.spoil(row[column.name] ?? null, column, random),
    );
    if (!mark || !other || !row[mark.name]) return null;
    const old = corruptions['random']?.spoil(row[other.name] ?? null, other, random) ?? null;
    // Days and odd seconds: no zone is so far away.
    const sql = `UPDATE ${collection} SET ${mark.name} = ${mark.name} - interval '3 days 4:17:23', ${set(other)}`;
    const image = await change(client, sql, [old], table, row);
    return image === null ? null : { ...own, class: 'stale', field: other.name, image };
  }
  const corruption = corruptions[how];
  const start = Math.floor(random.next() * values.length);
  for (const column of [...values.slice(start), ...values.slice(0, start)]) {
    const made = corruption?.spoil(row[column.name] ?? null, column, random);
    if (corruption === undefined || made === undefined) continue;
    const sql = `UPDATE ${collection} SET ${set(column)}`;
    const image = await change(client, sql, [made], table, row);
    if (image !== null) return { ...own, class: corruption.class, field: column.name, image };
  }
  return null;
}

const set = ({ name, type }: Column): string => `${pg.escapeIdentifier(name)} = $1::text::${type}`;

/** The row as it is left, or as it was; null: traffic has taken it away. */
async function change(
  client: pg.Client,
  sql: string,
  values: readonly (string | null)[],
  { collection, key }: SpoiledTable,
  row: Row,
): Promise<string | null> {
  const where = key.map((name, index) => `${name} = $${values.length + index + 1}`);
  const given = [...values, ...key.map((name) => row[name] ?? null)];
  const { rows } = await client.query<{ image: string }>(
    `${sql} WHERE ${where.join(' AND ')} RETURNING (${collection}.*)::text AS image`,
    given,
  );
  return rows[0]?.image ?? null;
}

/** The row once more, under a key that nobody has: the last part of its key is a number, or a text that grows. */
async function insertExtra(
  client: pg.Client,
  table: SpoiledTable,
  columns: readonly Column[],
  row: Row,
): Promise<Done | null> {
  const last = columns.find(({ name }) => name === table.key.at(-1));
  if (!last) return null;
  const value = String(row[last.name]);
  const beyond: Readonly<Record<string, number>> = {
    smallint: 20_000,
    integer: 1_000_000,
    bigint: 1_000_000,
  };
  const step = beyond[last.type];
  const fresh = step
    ? String((Number(value) % 10_000) + step)
    : `${value}x`.slice(0, last.room ?? undefined);
  const made = { ...row, [last.name]: fresh };
  const names = columns.map(({ name }) => pg.escapeIdentifier(name)).join(', ');
  const places = columns.map(({ type }, index) => `$${index + 1}::text::${type}`).join(', ');
  const { rowCount } = await client.query(
    `INSERT INTO ${table.collection} (${names}) VALUES (${places}) ON CONFLICT DO NOTHING`,
    columns.map(({ name }) => made[name] ?? null),
  );
  if (rowCount !== 1) return null;
  const key = encodeKey(table.key.map((column) => String(made[column])));
  const image = await imageOf(client, table, decodeKey(key));
  const { collection } = table;
  return { collection, key, how: 'extra', class: 'extra', field: null, image };
}
