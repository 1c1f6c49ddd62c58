import { Readable } from 'node:stream';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { GuardState, MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1, { scope: 'test' });
const stores = mysqlStoresOn(() => databases.url(0));
const shapes = {
  plain: { table: 'plain', key: ['id'] },
  parted: {
    table: 'parted',
    key: ['id'],
    children: { parts: { table: 'parts', key: ['id'], parent: ['parted'] } },
  },
};
const authority: GuardState = { role: 'authority', epoch: 1, attempt: null };
const sealed: GuardState = { role: 'sealed', epoch: 2, attempt: 'a' };
const refused = { sqlState: 'CO001' };

let store: MigrationStore;
let foreign: Connection;
const others: Connection[] = [];
const createdConnection = async (): Promise<Connection> => {
  const connection = await createConnection(databases.url(0));
  others.push(connection);
  return connection;
};

const query = (sql: string): Promise<Record<string, string | null>[]> => databases.query(0, sql);
const triggers = async (): Promise<number> =>
  (await store.setup.objects()).filter(({ kind }) => kind === 'trigger').length;

beforeEach(async () => {
  await query('CREATE TABLE plain (id int AUTO_INCREMENT PRIMARY KEY, name text)');
  await query(
    `CREATE TABLE parted (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, name text)
      PARTITION BY RANGE (id) (PARTITION low VALUES LESS THAN (1000), PARTITION high VALUES LESS THAN MAXVALUE)`,
  );
  await query('CREATE TABLE parts (id int PRIMARY KEY, parted bigint unsigned)');
  store = await stores.open(shapes, { migration: 'guard' });
  await store.setup.install('authority', 1);
  foreign = await createConnection(databases.url(0));
});

afterEach(async () => {
  await Promise.all([foreign, ...others.splice(0)].map((one) => one.end()));
  await stores.closeAll();
  await query('DROP DATABASE IF EXISTS changeover_guard_source');
});

test('rows of every table, also by REPLACE, upsert and multi-table statements, are refused', async () => {
  await foreign.query("INSERT INTO plain VALUES (1, 'a')");
  await foreign.query("INSERT INTO parted VALUES (1, 'a')");
  await foreign.query('INSERT INTO parts VALUES (1, 1)');
  expect(await triggers()).toBe(0);
  expect(await store.guard.change(authority, sealed, 2_000)).toBe(true);
  expect(await triggers()).toBe(9);
  const statements = [
    "INSERT INTO plain (name) VALUES ('x')",
    "INSERT IGNORE INTO plain (name) VALUES ('x')",
    "INSERT INTO plain VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = 'x'",
    "REPLACE INTO plain VALUES (1, 'x')",
    "UPDATE plain SET name = 'y'",
    'DELETE FROM plain',
    "INSERT INTO parted (name) VALUES ('x')",
    "UPDATE parted PARTITION (low) SET name = 'x'",
    'INSERT INTO parts VALUES (2, 1)',
    "UPDATE parts, plain SET plain.name = 'x', parts.parted = 2",
    'DELETE parts, plain FROM parts JOIN plain USING (id)',
  ];
  for (const mode of ['', 'STRICT_ALL_TABLES']) {
    await foreign.query('SET sql_mode = ?', [mode]);
    for (const statement of statements)
      await expect(foreign.query(statement), statement).rejects.toMatchObject(refused);
  }
  expect(await query('SELECT id, name FROM plain')).toEqual([{ id: '1', name: 'a' }]);
  // Nothing to refuse: no row is touched.
  await foreign.query("UPDATE plain SET name = 'y' WHERE id = 5");
});

test('only a door of this store and of the epoch or later is let through', async () => {
  await store.guard.change(authority, sealed, 2_000);
  const insert = async (
    mark: string | null,
    owner = 'changeover_guard_source',
  ): Promise<unknown> => {
    // What each transaction of ours begins with.
    await foreign.query(
      'SET @changeover_mark = ?, @changeover_owner = ?, @changeover_admitted = NULL',
      [mark, owner],
    );
    return foreign.query("INSERT INTO plain (name) VALUES ('x')");
  };
  for (const mark of [
    null,
    '',
    'door:1',
    'app:2',
    'app:99',
    'door:',
    'door:2x',
    'xdoor:2',
    'DOOR:2',
  ])
    await expect(insert(mark), String(mark)).rejects.toMatchObject(refused);
  await expect(insert('door:2', 'changeover_other_source')).rejects.toMatchObject(refused);
  await insert('door:2');
  await insert('door:3');
  const follower: GuardState = { role: 'follower', epoch: 3, attempt: null };
  expect(await store.guard.change(sealed, follower, 2_000)).toBe(true);
  await expect(insert('door:2')).rejects.toMatchObject(refused);
  await insert('door:3');
});

test('a transaction of any isolation that began before the change and wrote nothing is refused', async () => {
  await foreign.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
  await foreign.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
  expect(await store.guard.change(authority, sealed, 2_000)).toBe(true);
  await expect(foreign.query("INSERT INTO plain (name) VALUES ('x')")).rejects.toMatchObject(
    refused,
  );
  await foreign.query('ROLLBACK');
});

test('the change waits for a foreign transaction that has written, and says so when it cannot', async () => {
  await foreign.query('BEGIN');
  await foreign.query("INSERT INTO parted (name) VALUES ('open')");
  await expect(store.guard.change(authority, sealed, 400)).rejects.toThrow(
    /STORE_CONFLICT.*still open/,
  );
  expect(await store.guard.read()).toEqual(authority);
  const changing = store.guard.change(authority, sealed, 10_000);
  await systemRuntime.clock.sleep(500);
  await foreign.query("INSERT INTO plain (name) VALUES ('still open')");
  await foreign.query('COMMIT');
  expect(await changing).toBe(true);
  expect(await query('SELECT name FROM plain')).toEqual([{ name: 'still open' }]);
});

test('a refused writer whose transaction stays open does not keep the guard from changing', async () => {
  await store.guard.change(authority, sealed, 2_000);
  await foreign.query('BEGIN');
  await expect(foreign.query("INSERT INTO plain (name) VALUES ('x')")).rejects.toMatchObject(
    refused,
  );
  const follower: GuardState = { role: 'follower', epoch: 3, attempt: null };
  expect(await store.guard.change(sealed, follower, 2_000)).toBe(true);
  await foreign.query('ROLLBACK');
});

test('becoming the authority again lets everybody in, and leaves no trigger', async () => {
  await store.guard.change(authority, sealed, 2_000);
  await store.setup.install('authority', 1);
  await expect(foreign.query("INSERT INTO plain (name) VALUES ('x')")).rejects.toThrow();
  expect(await store.guard.change(sealed, authority, 2_000)).toBe(true);
  expect(await triggers()).toBe(0);
  await foreign.query("INSERT INTO plain (name) VALUES ('x')");
  await foreign.query('TRUNCATE parted');
});

/** An authority that has taken the mark of an attempt: its triggers are there, and let everybody in. */
const armed: GuardState = { ...authority, attempt: 'a' };
const sealing: GuardState = { ...armed, role: 'sealed' };
const insert = (connection: Connection, name = 'x'): Promise<unknown> =>
  connection.query(`INSERT INTO plain (name) VALUES ('${name}')`);

describe('an authority with the mark of an attempt', () => {
  test('has triggers that let everybody in, and loses them with the mark', async () => {
    expect(await store.guard.change(authority, armed, 2_000)).toBe(true);
    expect(await triggers()).toBe(9);
    await insert(foreign);
    await foreign.query("INSERT INTO parted (name) VALUES ('a')");
    await foreign.query("UPDATE plain SET name = 'b'");
    await foreign.query('DELETE FROM parted');
    expect(await store.guard.change(armed, authority, 2_000)).toBe(true);
    expect(await triggers()).toBe(0);
    await insert(foreign);
  });

  test('takes own writes of its epoch', async () => {
    await store.guard.change(authority, armed, 2_000);
    const write = { collection: 'plain', key: ['1'], action: 'put', epoch: 1 } as const;
    const more = { journal: 'change', graceMs: 0, timeoutMs: 2_000 } as const;
    await store.records.write({ ...write, ...more, record: { id: '1', name: 'own' } });
    expect(await query('SELECT id, name FROM plain')).toEqual([{ id: '1', name: 'own' }]);
  });

  test('is sealed without DDL, and refuses every statement from then on', async () => {
    await store.guard.change(authority, armed, 2_000);
    const made = await query('SELECT TRIGGER_NAME, CREATED FROM information_schema.TRIGGERS');
    expect(await store.guard.change(armed, sealing, 2_000)).toBe(true);
    expect(await query('SELECT TRIGGER_NAME, CREATED FROM information_schema.TRIGGERS')).toEqual(
      made,
    );
    for (const statement of [
      "INSERT INTO plain (name) VALUES ('x'), ('y')",
      "REPLACE INTO parted VALUES (1, 'x')",
      'INSERT INTO parts SELECT seq, seq FROM seq_1_to_10',
    ])
      await expect(foreign.query(statement), statement).rejects.toMatchObject(refused);
    expect(await query('SELECT * FROM parts')).toEqual([]);
  });

  test('that has committed, and lets traffic go under a mark of its own, waits for no table', async () => {
    const [follower, led] = [
      { role: 'follower', epoch: 1, attempt: 'a' },
      { role: 'authority', epoch: 2, attempt: 'a' },
    ] as const;
    await store.guard.change(authority, follower, 2_000);
    await store.guard.change(follower, led, 2_000);
    const reader = await createdConnection();
    await reader.query('BEGIN');
    await reader.query('SELECT * FROM plain');
    await expect(insert(foreign)).rejects.toMatchObject(refused);
    expect(await store.guard.change(led, { ...led, attempt: 'a:held' }, 400)).toBe(true);
    await insert(foreign);
    await reader.query('COMMIT');
    expect(
      await store.guard.change({ ...led, attempt: 'a:held' }, { ...led, attempt: null }, 2_000),
    ).toBe(true);
    expect(await triggers()).toBe(0);
  });

  test('a new attempt replaces the triggers of an ended one', async () => {
    await store.guard.change(authority, armed, 2_000);
    await store.guard.change(armed, { ...armed, attempt: 'b' }, 2_000);
    const names = await query('SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS');
    expect(names).toHaveLength(9);
    for (const { name } of names) expect(name).toMatch(/_b$/);
  });

  test('the seal waits for a foreign transaction that has written, which may go on writing', async () => {
    await store.guard.change(authority, armed, 2_000);
    await foreign.query('BEGIN');
    await insert(foreign, 'open');
    await expect(store.guard.change(armed, sealing, 400)).rejects.toThrow(/STORE_CONFLICT/);
    expect(await store.guard.read()).toEqual(armed);
    const change = store.guard.change(armed, sealing, 10_000);
    await systemRuntime.clock.sleep(500);
    await insert(foreign, 'still open');
    await foreign.query("INSERT INTO parted (name) VALUES ('another table')");
    await foreign.query('COMMIT');
    expect(await change).toBe(true);
    expect(await query('SELECT name FROM plain ORDER BY id')).toEqual([
      { name: 'open' },
      { name: 'still open' },
    ]);
    await expect(insert(foreign)).rejects.toMatchObject(refused);
  });

  test.each(['REPEATABLE READ', 'READ COMMITTED', 'SERIALIZABLE'])(
    'a %s transaction with a snapshot of before the seal is refused',
    async (isolation) => {
      await store.guard.change(authority, armed, 2_000);
      await foreign.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${isolation}`);
      await foreign.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
      await foreign.query('SELECT * FROM changeover_guard_source.meta');
      expect(await store.guard.change(armed, sealing, 5_000)).toBe(true);
      await expect(insert(foreign)).rejects.toMatchObject(refused);
      await foreign.query('ROLLBACK');
    },
  );

  test('a transaction with a snapshot of before the mark writes until the seal', async () => {
    await foreign.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await foreign.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
    await store.guard.change(authority, armed, 2_000);
    await insert(foreign, 'old snapshot');
    await foreign.query('COMMIT');
    expect(await query('SELECT name FROM plain')).toEqual([{ name: 'old snapshot' }]);
  });

  test('LOAD DATA, and a session that has locked the table, are drained and refused alike', async () => {
    await store.guard.change(authority, armed, 2_000);
    await foreign.query('LOCK TABLES plain WRITE');
    await insert(foreign, 'locked');
    const change = store.guard.change(armed, sealing, 10_000);
    await systemRuntime.clock.sleep(200);
    await insert(foreign, 'locked').catch((error: unknown) => expect(error).toMatchObject(refused));
    await foreign.query('UNLOCK TABLES');
    expect(await change).toBe(true);
    const load = foreign.query({
      sql: "LOAD DATA LOCAL INFILE 'rows' INTO TABLE plain (name)",
      infileStreamFactory: () => Readable.from([Buffer.from('one\ntwo\n')]),
    });
    await expect(load).rejects.toMatchObject(refused);
  });

  test('a statement of many rows that has begun ends before the seal', async () => {
    await store.guard.change(authority, armed, 2_000);
    const many = foreign.query(
      'INSERT INTO plain (name) SELECT seq + SLEEP(0.005) FROM seq_1_to_100',
    );
    await systemRuntime.clock.sleep(150);
    expect(await store.guard.change(armed, sealing, 10_000)).toBe(true);
    await many;
    expect(await query('SELECT COUNT(*) AS n FROM plain')).toEqual([{ n: '100' }]);
  });

  test('a table that was exchanged meanwhile is guarded as well', async () => {
    await store.guard.change(authority, armed, 2_000);
    await foreign.query('CREATE TABLE plain_new LIKE plain');
    await foreign.query('RENAME TABLE plain TO plain_old, plain_new TO plain');
    await foreign.query('BEGIN');
    await insert(foreign, 'without a trigger');
    const change = store.guard.change(armed, sealing, 10_000);
    await systemRuntime.clock.sleep(400);
    await foreign.query('COMMIT');
    expect(await change).toBe(true);
    expect(await query('SELECT name FROM plain')).toEqual([{ name: 'without a trigger' }]);
    await expect(insert(foreign)).rejects.toMatchObject(refused);
  });

  test('a table that is never free fails the mark, before anything is held', async () => {
    await foreign.query('BEGIN');
    await foreign.query('SELECT * FROM plain');
    await expect(store.guard.change(authority, armed, 400)).rejects.toThrow(/STORE_CONFLICT/);
    await insert(await createdConnection());
    await foreign.query('COMMIT');
    const row = await store.guard.read();
    expect(await store.guard.change(row, armed, 2_000)).toBe(true);
    expect(await triggers()).toBe(9);
  });

  test('transactions that wait for each other and for the seal are not the ones to be given up', async () => {
    await foreign.query("INSERT INTO plain VALUES (1, 'a'), (2, 'b')");
    await store.guard.change(authority, armed, 2_000);
    const other = await createdConnection();
    await foreign.query('BEGIN');
    await foreign.query("UPDATE plain SET name = 'first' WHERE id = 1");
    await other.query('BEGIN');
    await other.query('SELECT * FROM plain WHERE id = 2 FOR UPDATE');
    const change = store.guard.change(armed, sealing, 10_000);
    await systemRuntime.clock.sleep(50);
    // `other` waits behind the seal for admission, `foreign` for the row of `other`, the seal for `foreign`.
    const second = other.query("UPDATE plain SET name = 'second' WHERE id = 2");
    second.catch(() => {});
    await systemRuntime.clock.sleep(20);
    const first = foreign.query("UPDATE plain SET name = 'first' WHERE id = 2");
    first.catch(() => {});
    await second;
    await other.query('COMMIT');
    await first;
    await foreign.query('COMMIT');
    expect(await change).toBe(true);
  });
});

test('a coordinator that slept drops no triggers but those that it knew', async () => {
  await store.guard.change(authority, armed, 2_000);
  await store.guard.change(armed, authority, 2_000);
  const again: GuardState = { ...authority, attempt: 'b' };
  await store.guard.change(authority, again, 2_000);
  // It wakes and repeats its last change; the row is another's.
  expect(await store.guard.change(armed, authority, 2_000)).toBe(false);
  expect(await triggers()).toBe(9);
  expect(await store.guard.change(again, { ...again, role: 'sealed' }, 2_000)).toBe(true);
  await expect(insert(foreign)).rejects.toMatchObject(refused);
});

test('a guard without preparation is sealed under table locks', async () => {
  expect(await store.guard.change(authority, sealed, 2_000)).toBe(true);
  await expect(insert(foreign)).rejects.toMatchObject(refused);
  const made = await triggers();
  // The same again, and the way back.
  expect(await store.guard.change(authority, sealed, 2_000)).toBe(true);
  expect(await triggers()).toBe(made);
  expect(await store.guard.change(sealed, authority, 2_000)).toBe(true);
  expect(await triggers()).toBe(0);
});

test('triggers that a crash has left are taken away by the next attempt', async () => {
  await store.guard.change(authority, sealed, 2_000);
  await query(
    `UPDATE changeover_guard_source.guard SET role = 'authority', epoch = 1, attempt = NULL`,
  );
  await expect(insert(foreign)).rejects.toThrow();
  const marked: GuardState = { ...authority, attempt: 'b' };
  expect(await store.guard.change(authority, marked, 2_000)).toBe(true);
  expect(await triggers()).toBe(9);
  await insert(foreign);
  expect(await store.guard.change(marked, authority, 2_000)).toBe(true);
  expect(await triggers()).toBe(0);
});

test('a table that is gone keeps nobody shut out', async () => {
  await store.guard.change(authority, armed, 2_000);
  await store.guard.change(armed, sealing, 2_000);
  await query('DROP TABLE parts');
  const successor = await stores.open(shapes, { migration: 'guard' });
  expect(await successor.guard.change(sealing, authority, 2_000)).toBe(true);
  await insert(foreign);
  expect(await triggers()).toBe(0);
});

test('triggers that could not be dropped in time cost something and do nothing else', async () => {
  await store.guard.change(authority, armed, 2_000);
  await foreign.query('BEGIN');
  await foreign.query('SELECT * FROM plain');
  expect(await store.guard.change(armed, authority, 300)).toBe(true);
  expect(await triggers()).toBe(3);
  await insert(foreign);
  await foreign.query('COMMIT');
  expect(await store.guard.change(authority, armed, 2_000)).toBe(true);
  expect(await store.guard.change(armed, authority, 2_000)).toBe(true);
  expect(await triggers()).toBe(0);
});

test('numbers are raised past the other side and past the rows, and never lowered', async () => {
  await foreign.query("INSERT INTO plain (id, name) VALUES (500, 'copied')");
  await foreign.query('ALTER TABLE parted AUTO_INCREMENT = 71');
  expect(await store.guard.sequenceValues()).toEqual(
    new Map([
      ['plain.id', 500n],
      ['parted.id', 70n],
    ]),
  );
  await store.guard.raiseSequences(
    new Map([
      ['parted.id', 60n],
      ['other.id', 9n],
    ]),
  );
  const next = async (table: string): Promise<unknown> => {
    await foreign.query(`INSERT INTO ${table} (name) VALUES ('n')`);
    const [rows] = await foreign.query({ sql: 'SELECT LAST_INSERT_ID()', rowsAsArray: true });
    return (rows as unknown[][])[0]?.[0];
  };
  expect(await next('plain')).toBe(501);
  expect(await next('parted')).toBe(71);
  await store.guard.raiseSequences(new Map([['parted.id', 9_007_199_254_740_993n]]));
  await foreign.query("INSERT INTO parted (name) VALUES ('n')");
  expect(await query('SELECT MAX(id) AS id FROM parted')).toEqual([{ id: '9007199254740994' }]);
});
