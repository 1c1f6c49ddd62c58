import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LogBatch, LogChange, LogCheckpoint } from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import { withDatabases } from '../support/databases.ts';
import { gist, type LogRig, logRig, rigMigration, rowOf, stream } from '../support/postgres-log.ts';

const databases = withDatabases(1, { scope: 'test' });
let rig: LogRig;

async function use(ddl: string, shapes: Readonly<Record<string, Shape>>): Promise<LogRig> {
  rig = await logRig(databases.url(0), ddl, shapes);
  return rig;
}
const ITEMS = 'CREATE TABLE items (id int PRIMARY KEY, name text)';
const items = { items: { table: 'items', key: ['id'] } };

beforeEach(() => {
  rig = undefined as unknown as LogRig;
});
afterEach(() => rig?.close());

const gists = (changes: readonly LogChange[]): readonly string[] => changes.map(gist);

describe('a large transaction', () => {
  const BIG = 'INSERT INTO items SELECT i, i::text FROM generate_series(1, 250) i';

  test('comes in parts that count what was handed out, and is read on in the middle of it', async () => {
    const { sql, install, open, toEnd } = await use(ITEMS, items);
    const from = await install();
    await sql(`INSERT INTO items VALUES (0, 'before')`);
    await sql(BIG);
    await sql(`INSERT INTO items VALUES (999, 'after')`);
    const reader = await open(from, { changesMax: 100 });
    const batches = await toEnd(reader);
    await reader.close();
    const sizes = batches.map(({ changes }) => changes.length);
    // The small one before it is not mixed with a part of it.
    expect(sizes.filter((size) => size > 0)).toEqual([1, 100, 100, 51]);
    expect(batches.map(({ checkpoint }) => checkpoint.skip).slice(0, 4)).toEqual([0, 100, 200, 0]);
    const parts = batches.slice(1, 3);
    const sequences = new Set(parts.flatMap(({ changes }) => changes.map((one) => one.sequence)));
    expect(sequences.size).toBe(1);
    for (const [at, part] of batches.slice(0, 4).entries()) {
      const rest = await rig.changes(part.checkpoint, { changesMax: 70 });
      const expected = batches.slice(at + 1).flatMap(({ changes }) => changes);
      expect(gists(rest)).toEqual(gists(expected));
    }
  });

  test('is kept whole when asked to be', async () => {
    const { sql, install, open, toEnd } = await use(ITEMS, items);
    const from = await install();
    await sql(BIG);
    const reader = await open(from, { changesMax: 10, bytesMax: 100, whole: true });
    const batches = await toEnd(reader);
    expect(batches[0]?.changes).toHaveLength(250);
    expect(batches[0]?.checkpoint.skip).toBe(0);
  });

  test('a checkpoint inside of a transaction that is not in the log is LOG_LOST', async () => {
    const { sql, install, changes } = await use(ITEMS, items);
    const from = await install();
    await sql(`INSERT INTO items VALUES (1, 'a'), (2, 'b')`);
    await expect(changes({ ...from, skip: 3 })).rejects.toMatchObject({ code: 'LOG_LOST' });
  });
});

test('what was delivered but not confirmed comes again, in the same order', async () => {
  const { sql, install, open, toEnd } = await use(ITEMS, items);
  const from = await install();
  for (let id = 1; id <= 20; id += 1) await sql(`INSERT INTO items VALUES (${id}, 'n${id}')`);
  const first = await open(from);
  const all = await toEnd(first);
  const seen = gists(all.flatMap(({ changes }) => changes));
  expect(seen).toHaveLength(20);
  // A second reader ends the first one.
  const second = await open(from, { changesMax: 7 });
  await expect(readUntilItFails(first)).resolves.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  const again = await toEnd(second);
  expect(gists(again.flatMap(({ changes }) => changes))).toEqual(seen);
  const middle = again[0]?.checkpoint as LogCheckpoint;
  second.confirm(middle);
  await second.close();
  expect(gists(await rig.changes(middle))).toEqual(seen.slice(again[0]?.changes.length));
  await expect(rig.changes(from)).rejects.toMatchObject({ code: 'LOG_LOST' });
});

async function readUntilItFails(reader: { next(ms: number): Promise<LogBatch> }): Promise<unknown> {
  for (let round = 0; round < 50; round += 1) {
    try {
      await reader.next(100);
    } catch (error) {
      return error;
    }
  }
  return null;
}

test('closed readers refuse, and closing twice is harmless', async () => {
  const { install, open } = await use(ITEMS, items);
  const reader = await open(await install());
  const waiting = expect(reader.next(10_000)).rejects.toMatchObject({ code: 'CLOSED' });
  await reader.close();
  await reader.close();
  await waiting;
  await expect(reader.next(0)).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a reader that rested has what came meanwhile, all of it, when it is asked again', async () => {
  const { sql, install, open, toEnd } = await use(ITEMS, items);
  const reader = await open(await install());
  for (const round of [1, 2, 3]) {
    reader.rest?.();
    for (const id of [1, 2, 3]) await sql(`INSERT INTO items VALUES (${10 * round + id}, 'n')`);
    // Sent, but nobody has read it; more than one answer of the socket.
    await sleep(100);
    expect((await reader.next(0)).changes).toHaveLength(3);
  }
  await sql(`INSERT INTO items VALUES (99, 'n')`);
  expect((await toEnd(reader)).flatMap(({ changes }) => changes)).toHaveLength(1);
  reader.rest?.();
  await reader.close();
  await expect(reader.next(0)).rejects.toMatchObject({ code: 'CLOSED' });
});

describe('large values that an update did not touch', () => {
  const TABLE = `CREATE TABLE items (id int PRIMARY KEY, name text, big text);
    ALTER TABLE items ALTER big SET STORAGE EXTERNAL`;
  const big = 'x'.repeat(5_000);

  test('are neither null nor absent', async () => {
    const { sql, install } = await use(TABLE, items);
    await sql(`INSERT INTO items VALUES (1, 'a', repeat('x', 5000))`);
    const from = await install();
    await sql(`UPDATE items SET name = 'b'`);
    await sql(`UPDATE items SET big = big || 'y'`);
    const [untouched, touched] = await rig.changes(from);
    expect(rowOf(untouched!, untouched!.after)).toEqual({ id: '1', name: 'b', big: '…' });
    expect(rowOf(touched!, touched!.after)).toEqual({ id: '1', name: 'b', big: `${big}y` });
  });

  test('are completed from the old row where the log has it', async () => {
    const { sql, install } = await use(TABLE, items);
    await sql(
      `ALTER TABLE items REPLICA IDENTITY FULL; INSERT INTO items VALUES (1, 'a', repeat('x', 5000))`,
    );
    const from = await install();
    await sql(`UPDATE items SET name = 'b'`);
    const [change] = await rig.changes(from);
    expect(rowOf(change!, change!.before)).toEqual({ id: '1', name: 'a', big });
    expect(rowOf(change!, change!.after)).toEqual({ id: '1', name: 'b', big });
  });

  test('are completed when they belong to the key', async () => {
    const { sql, install } = await use(
      `CREATE TABLE items (id text PRIMARY KEY, name text); ALTER TABLE items ALTER id SET STORAGE EXTERNAL`,
      items,
    );
    const id = 'k'.repeat(2_300);
    await sql(`INSERT INTO items VALUES ('${id}', 'a')`);
    const from = await install();
    await sql(`UPDATE items SET name = 'b'`);
    const [change] = await rig.changes(from);
    expect(rowOf(change!, change!.after)).toEqual({ id, name: 'b' });
  });
});

describe('partitions', () => {
  const TABLE = `CREATE TABLE items (id int, day date, name text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE items_a PARTITION OF items FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE items_b PARTITION OF items FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')`;
  const shapes = { items: { table: 'items', key: ['id', 'day'] } };

  test('come under the name of their root', async () => {
    const { sql, install } = await use(TABLE, shapes);
    const from = await install();
    await sql(`INSERT INTO items VALUES (1, '2024-05-05', 'a'), (2, '2025-05-05', 'b')`);
    await sql(`UPDATE items SET name = 'c' WHERE id = 1`);
    await sql('DELETE FROM items WHERE id = 2');
    await sql(
      `CREATE TABLE items_c PARTITION OF items FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`,
    );
    await sql(`INSERT INTO items VALUES (3, '2026-05-05', 'd')`);
    await sql('TRUNCATE items');
    const changes = await rig.changes(from);
    expect(gists(changes)).toEqual([
      'insert items 1,2024-05-05,a',
      'insert items 2,2025-05-05,b',
      'update items 1,2024-05-05,c',
      'delete items 2,2025-05-05,…',
      'insert items 3,2026-05-05,d',
      'truncate items',
    ]);
    // Whatever the server repeats when another partition is written to.
    expect(new Set(changes.map(({ table }) => table)).size).toBe(1);
  });

  test('a row that moves to another partition is deleted and inserted', async () => {
    const { sql, install } = await use(TABLE, shapes);
    await sql(`INSERT INTO items VALUES (1, '2024-05-05', 'a')`);
    const from = await install();
    await sql(`UPDATE items SET day = '2025-05-05'`);
    expect(gists(await rig.changes(from))).toEqual([
      'delete items 1,2024-05-05,…',
      'insert items 1,2025-05-05,a',
    ]);
  });
});

describe('a table that changes its form', () => {
  test('has a new object from there on, and the old one before', async () => {
    const { sql, install } = await use(ITEMS, items);
    const from = await install();
    await sql(`INSERT INTO items VALUES (1, 'a')`);
    await sql(`INSERT INTO items VALUES (2, 'b')`);
    await sql('ALTER TABLE items ADD COLUMN note numeric(10,2)');
    await sql(`INSERT INTO items VALUES (3, 'c', 1.5)`);
    await sql('ALTER TABLE items DROP COLUMN name');
    await sql('INSERT INTO items VALUES (4, 2)');
    await sql('ALTER TABLE items ALTER note TYPE text USING note::text');
    await sql(`INSERT INTO items VALUES (5, 'x')`);
    const changes = await rig.changes(from);
    expect(gists(changes)).toEqual([
      'insert items 1,a',
      'insert items 2,b',
      'insert items 3,c,1.50',
      'insert items 4,2.00',
      'insert items 5,x',
    ]);
    const [one, two, three, four, five] = changes.map(({ table }) => table);
    expect(two).toBe(one);
    expect(three?.columns.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'id integer',
      'name text',
      'note numeric(10,2)',
    ]);
    expect(new Set([one, three, four, five]).size).toBe(4);
    expect(five?.columns.at(-1)?.type).toBe('text');
  });

  test('another maintenance of the table leaves the object alone', async () => {
    const { sql, install } = await use(ITEMS, items);
    const from = await install();
    await sql(`INSERT INTO items VALUES (1, 'a')`);
    await sql('ANALYZE items');
    await sql('CREATE INDEX ON items (name)');
    await sql('VACUUM FULL items');
    await sql(`INSERT INTO items VALUES (2, 'b')`);
    const changes = await rig.changes(from);
    expect(gists(changes)).toEqual(['insert items 1,a', 'insert items 2,b']);
    expect(changes[1]?.table).toBe(changes[0]?.table);
  });

  test('a rename halts the reader before a row is lost', async () => {
    const { sql, install, open, toEnd } = await use(ITEMS, items);
    const from = await install();
    const reader = await open(from);
    await sql(`INSERT INTO items VALUES (1, 'a')`);
    await toEnd(reader);
    await sql('ALTER TABLE items RENAME TO things');
    await sql(`INSERT INTO things VALUES (2, 'b')`);
    expect(await readUntilItFails(reader)).toMatchObject({ code: 'SCHEMA_CHANGED' });
    await expect(rig.changes(from)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' });
    await sql('ALTER TABLE things RENAME TO items');
    await sql('DELETE FROM items');
    // The log still says what the table was called then.
    await expect(rig.changes(from)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' });
  });

  test('a table that is dropped and created again is LOG_LOST', async () => {
    const { sql, install } = await use(ITEMS, items);
    const from = await install();
    await sql(`DROP TABLE items`);
    await expect(rig.changes(from)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' });
    await sql(ITEMS);
    await expect(rig.changes(from)).rejects.toMatchObject({ code: 'LOG_LOST' });
  });
});

test('names and keys of any spelling', async () => {
  const { sql, install } = await use(
    `CREATE SCHEMA "Ä b"; CREATE TABLE "Ä b"."It""s, me" ("the ID" int PRIMARY KEY, "ü" text)`,
    { odd: { table: 'Ä b.It"s, me', key: ['the ID'] } },
  );
  const from = await install();
  await sql(`INSERT INTO "Ä b"."It""s, me" VALUES (1, '😀')`);
  const [change] = await rig.changes(from);
  expect(change?.table).toMatchObject({ schema: 'Ä b', name: 'It"s, me' });
  expect(rowOf(change!, change!.after)).toEqual({ 'the ID': '1', ü: '😀' });
});

test('TRUNCATE of several tables comes as one change for each, in one transaction', async () => {
  const { sql, install } = await use(
    `${ITEMS}; CREATE TABLE lines (id int PRIMARY KEY, item int REFERENCES items)`,
    { ...items, lines: { table: 'lines', key: ['id'] } },
  );
  const from = await install();
  await sql('TRUNCATE items CASCADE');
  const changes = await rig.changes(from);
  expect([...gists(changes)].sort()).toEqual(['truncate items', 'truncate lines']);
  expect(changes[0]?.sequence).toBe(changes[1]?.sequence);
});

test('transactions of the door are left out and counted, messages of others are nothing', async () => {
  const { sql, install, open, toEnd } = await use(ITEMS, items);
  const from = await install();
  const mark = (content: string): string =>
    `SELECT pg_logical_emit_message(true, 'changeover', '${content}')`;
  await sql(
    `BEGIN; ${mark(rigMigration)}; INSERT INTO items VALUES (1, 'door'), (2, 'door'); COMMIT`,
  );
  await sql(`BEGIN; ${mark('another')}; INSERT INTO items VALUES (3, 'foreign'); COMMIT`);
  await sql(`SELECT pg_logical_emit_message(false, 'changeover', '${rigMigration}')`);
  await sql(
    `BEGIN; SAVEPOINT s; ${mark(rigMigration)}; ROLLBACK TO s; INSERT INTO items VALUES (4, 'own'); COMMIT`,
  );
  await sql(`SELECT pg_logical_emit_message(true, 'changeover-challenge', 'another_schema token')`);
  const reader = await open(from, { changesMax: 1 });
  const batches = await toEnd(reader);
  expect(gists(batches.flatMap(({ changes }) => changes))).toEqual([
    'insert items 3,foreign',
    'insert items 4,own',
  ]);
  expect(batches.flatMap(({ challenges }) => challenges)).toHaveLength(1);
});

test('transactions that interleave come by their commits, subtransactions in their place', async () => {
  const { sql, install } = await use(ITEMS, items);
  const from = await install();
  const other = await logRigClient(rig.url);
  await sql(`BEGIN; INSERT INTO items VALUES (1, 'long')`);
  await other.query(`INSERT INTO items VALUES (2, 'short')`);
  await sql(
    `SAVEPOINT a; INSERT INTO items VALUES (3, 'undone'); ROLLBACK TO a; SAVEPOINT b; INSERT INTO items VALUES (4, 'kept'); RELEASE b; UPDATE items SET name = 'end' WHERE id = 1; COMMIT`,
  );
  await other.query(`BEGIN; INSERT INTO items VALUES (5, 'prepared'); PREPARE TRANSACTION 'p'`);
  await sql(`INSERT INTO items VALUES (6, 'between')`);
  await other.query(`COMMIT PREPARED 'p'`);
  await other.end();
  expect(gists(await rig.changes(from))).toEqual([
    'insert items 2,short',
    'insert items 1,long',
    'insert items 4,kept',
    'update items 1,end',
    'insert items 6,between',
    'insert items 5,prepared',
  ]);
});

async function logRigClient(url: string) {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url, application_name: 'changeover-test' });
  await client.connect();
  return client;
}

describe('installation', () => {
  test('is found again, listed, and removed with its reader', async () => {
    const { log, install, open, store } = await use(ITEMS, items);
    const from = await install();
    await rig.sql(`INSERT INTO items VALUES (1, 'a')`);
    expect(await install()).toEqual(from);
    expect(await log.installed()).toEqual([stream]);
    expect(await store.setup.objects()).toEqual(
      expect.arrayContaining([
        { kind: 'slot', name: stream },
        { kind: 'publication', name: stream },
      ]),
    );
    const reader = await open(from);
    await log.remove(stream);
    await log.remove(stream);
    expect(await log.installed()).toEqual([]);
    expect(await readUntilItFails(reader)).toBeTruthy();
    await expect(rig.changes(from)).rejects.toMatchObject({ code: 'LOG_LOST' });
    const again = await install();
    expect(again.identity).not.toBe(from.identity);
    await expect(rig.changes(from)).rejects.toMatchObject({ code: 'LOG_LOST' });
  });

  test('uninstalling the store takes streams along, and no other migration’s', async () => {
    const { install, store, sql } = await use(ITEMS, items);
    await install();
    await sql(
      `CREATE PUBLICATION changeover_${rigMigration}per_s_1; CREATE PUBLICATION changeover_${rigMigration}_t_1`,
    );
    await store.setup.uninstall();
    expect(await store.setup.objects()).toEqual([]);
    const { rows } = await sql('SELECT pubname FROM pg_publication ORDER BY 1');
    expect(rows.map(({ pubname }) => pubname)).toEqual([
      `changeover_${rigMigration}_t_1`,
      `changeover_${rigMigration}per_s_1`,
    ]);
  });

  test('waits for open transactions no longer than told, names the oldest, and leaves nothing', async () => {
    const { log, install, sql } = await use(ITEMS, items);
    const other = await logRigClient(rig.url);
    await other.query(`BEGIN; INSERT INTO items VALUES (1, 'a')`);
    await expect(log.install(stream, 300)).rejects.toThrow(
      /STORE_CONFLICT.*changeover-test.*idle in transaction/,
    );
    expect(await log.installed()).toEqual([]);
    const { rows } = await sql(
      `SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_create_logical%' AND pid <> pg_backend_pid() AND state = 'active'`,
    );
    expect(rows).toEqual([]);
    const installing = install();
    setTimeout(() => void other.query('COMMIT'), 100);
    const from = await installing;
    await sql(`INSERT INTO items VALUES (2, 'b')`);
    expect(gists(await rig.changes(from)).at(-1)).toBe('insert items 2,b');
    await other.end();
  });

  test('several processes at once make one stream', async () => {
    const { log } = await use(ITEMS, items);
    const starts = await Promise.all([1, 2, 3, 4].map(() => log.install(stream, 10_000)));
    expect(new Set(starts.map((start) => `${start.identity} ${start.position.text}`)).size).toBe(1);
  });

  test('a table without an identity is refused before the application notices', async () => {
    const { log, sql } = await use(
      'CREATE TABLE items (id int PRIMARY KEY, name text); ALTER TABLE items REPLICA IDENTITY NOTHING',
      items,
    );
    await expect(log.install(stream, 1_000)).rejects.toMatchObject({ code: 'LOG_UNSUPPORTED' });
    await sql(`INSERT INTO items VALUES (1, 'a'); UPDATE items SET name = 'b'`);
  });
});

describe('the stream is LOG_LOST', () => {
  test.each([
    ['when the slot was dropped', `SELECT pg_drop_replication_slot('${stream}')`],
    [
      'when the slot was dropped and created again',
      `SELECT pg_drop_replication_slot('${stream}'); INSERT INTO items VALUES (2, 'unseen');
       SELECT pg_create_logical_replication_slot('${stream}', 'pgoutput')`,
    ],
    [
      'when somebody moved the slot on',
      `INSERT INTO items VALUES (2, 'unseen'); SELECT pg_replication_slot_advance('${stream}', pg_current_wal_lsn())`,
    ],
    ['when the publication was dropped', `DROP PUBLICATION ${stream}`],
    [
      'when the publication was made anew',
      `DROP PUBLICATION ${stream}; CREATE PUBLICATION ${stream} FOR TABLE items WITH (publish_via_partition_root = true)`,
    ],
    ['when a table was taken out', `ALTER PUBLICATION ${stream} DROP TABLE items`],
    [
      'when a table was taken out for a while',
      `ALTER PUBLICATION ${stream} DROP TABLE items; ALTER PUBLICATION ${stream} ADD TABLE items`,
    ],
    [
      'when deletes are no longer published',
      `ALTER PUBLICATION ${stream} SET (publish = 'insert, update')`,
    ],
    ['when rows are filtered', `ALTER PUBLICATION ${stream} SET TABLE items WHERE (id > 5)`],
  ])('%s', async (_, statements) => {
    const { sql, install } = await use(ITEMS, items);
    const from = await install();
    await sql(`INSERT INTO items VALUES (1, 'a')`);
    expect(await rig.changes(from)).toHaveLength(1);
    for (const statement of statements.split(';')) await sql(statement);
    await expect(rig.changes(from)).rejects.toMatchObject({ code: 'LOG_LOST' });
  });

  test('while it is read, within seconds', async () => {
    const { sql, install, open } = await use(ITEMS, items);
    const from = await install();
    const reader = await open(from);
    await sql(`ALTER PUBLICATION ${stream} DROP TABLE items`);
    await sql(`INSERT INTO items VALUES (1, 'unseen')`);
    await sql(`ALTER PUBLICATION ${stream} ADD TABLE items`);
    const until = Date.now() + 15_000;
    let failure: unknown = null;
    while (failure === null && Date.now() < until) failure = await readUntilItFails(reader);
    expect(failure).toMatchObject({ code: 'LOG_LOST' });
  });
});
