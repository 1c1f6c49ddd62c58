import { describe, expect, test } from 'vitest';
import { createMysqlCatalog } from '../../src/adapters/mysql/mysql-catalog.ts';
import { describeMysqlTables } from '../../src/adapters/mysql/mysql-describe.ts';
import { byLocks } from '../../src/adapters/mysql/mysql-log-reread.ts';
import { createMysqlPresence } from '../../src/adapters/mysql/mysql-presence.ts';
import { mysqlLayout } from '../../src/adapters/mysql/mysql-schema.ts';
import { openMysqlSession } from '../../src/adapters/mysql/mysql-session.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { mysqlRecords, write } from '../support/mysql-records-rig.ts';
import { missingMariadb } from '../support/requirements.ts';

describe.skipIf(missingMariadb())('records in MariaDB', () => {
  const { databases, stores, sessions, query, authority } = mysqlRecords();

  describe('own writes', () => {
    test('a unique value of another record is refused, and that record is left alone', async () => {
      await query('CREATE TABLE p (id int PRIMARY KEY, mail varchar(20) UNIQUE, v int NOT NULL)');
      const store = await authority({ p: { table: 'p', key: ['id'] } });
      await write(store, 'p', ['1'], { mail: 'a', v: '1' });
      const taken = write(store, 'p', ['2'], { mail: 'a', v: '2' });
      await expect(taken).rejects.toMatchObject({ code: 'STORE_REJECTED', data: { waits: true } });
      expect(await query('SELECT id, mail, v FROM p')).toEqual([{ id: '1', mail: 'a', v: '1' }]);
      await query('CREATE TABLE q (id int PRIMARY KEY, t text, UNIQUE KEY (t(3)))');
      const prefixed = await authority({ q: { table: 'q', key: ['id'] } });
      await write(prefixed, 'q', ['1'], { t: 'abcd' });
      await expect(write(prefixed, 'q', ['2'], { t: 'abce' })).rejects.toMatchObject({
        code: 'STORE_REJECTED',
      });
      expect(await query('SELECT id, t FROM q')).toEqual([{ id: '1', t: 'abcd' }]);
      // A partial put of a record that exists, with columns that have no default.
      const { record } = await write(store, 'p', ['1'], { mail: 'b' });
      expect(record).toEqual({ id: '1', mail: 'b', v: '1' });
      await expect(write(store, 'p', ['3'], { mail: 'c' })).rejects.toMatchObject({
        code: 'STORE_REJECTED',
      });
    });

    test('a key is one record under a folding collation, spelled as its row, and locked as one', async () => {
      await query(
        'CREATE TABLE f (k varchar(9) COLLATE utf8mb4_general_ci PRIMARY KEY, v int) DEFAULT CHARSET utf8mb4',
      );
      const store = await authority({ f: { table: 'f', key: ['k'] } });
      const first = await write(store, 'f', ['Ada'], { v: '1' });
      const second = await write(store, 'f', ['ÁDA '], { v: '2' });
      expect([first.key, second.key]).toEqual([['Ada'], ['Ada']]);
      expect(second.record).toEqual({ k: 'Ada', v: '2' });
      const entries = await store.queue.claim(10, 'worker', 1_000);
      expect(entries.map(({ key }) => key)).toEqual([['Ada'], ['Ada']]);
      const answers = await store.records.read('f', [['ada'], ['b'], ['Ada'], ['ADA']]);
      const row = { k: 'Ada', v: '2' };
      expect(answers.map(({ record }) => record)).toEqual([row, null, row, row]);
      // Two spellings wait for each other.
      let release = (): void => {};
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      const holding = write(store, 'f', ['new'], { v: '1' }, { beforeCommit: () => held });
      await systemRuntime.clock.sleep(100);
      const [busy] = await store.records.reread('f', [['NEW']], 1);
      expect(busy?.state).toBe('busy');
      release();
      await holding;
      const [free] = await store.records.reread('f', [['NEW']], 1);
      expect(free).toMatchObject({ state: 'read', key: ['new'], record: { k: 'new', v: '1' } });
      const gone = await write(store, 'f', ['NEW'], {}, { action: 'delete' });
      expect(gone.key).toEqual(['new']);
    });

    test('generated columns are not written, defaults and numbers are, and 0 stays 0', async () => {
      await query(`CREATE TABLE g (id int AUTO_INCREMENT PRIMARY KEY, a int NOT NULL DEFAULT 7,
        twice int AS (a * 2) VIRTUAL, thrice int AS (a * 3) STORED, changed datetime(3) DEFAULT '2000-01-01' ON UPDATE CURRENT_TIMESTAMP(3))`);
      const store = await authority({ g: { table: 'g', key: ['id'] } });
      const zero = await write(store, 'g', ['0'], {});
      expect(zero.record).toEqual({ id: '0', a: '7', changed: '2000-01-01 00:00:00.000' });
      const five = await write(store, 'g', ['05'], { a: '1', changed: null });
      expect([five.key, five.record]).toEqual([['5'], { id: '5', a: '1', changed: null }]);
      expect(await query('SELECT twice, thrice FROM g WHERE id = 5')).toEqual([
        { twice: '2', thrice: '3' },
      ]);
      const again = await write(store, 'g', ['5'], { a: '2' });
      expect(again.record?.['changed']).toMatch(/^20[2-9]/);
      await expect(write(store, 'g', ['6'], { twice: '9' })).rejects.toMatchObject({
        code: 'STORE_REJECTED',
      });
    });

    test('what the server would take for something else without a word is refused', async () => {
      await query(
        `CREATE TABLE w (id int PRIMARY KEY, e enum('a','b'), s set('a','b'), n tinyint, d date, b bit(8), t varchar(2), x varbinary(2))`,
      );
      const store = await authority({ w: { table: 'w', key: ['id'] } });
      const bad: readonly DataRecord[] = [
        { e: '2' },
        { e: 'c' },
        { s: '3' },
        { n: '300' },
        { n: 'x' },
        { d: '2024-02-30' },
        { d: 'soon' },
        { b: '7' },
        { t: 'abc' },
        { x: '\\x0' },
        { x: '\\x010203' },
      ];
      for (const record of bad) {
        await expect(
          write(store, 'w', ['1'], record),
          JSON.stringify(record),
        ).rejects.toMatchObject({ code: 'STORE_REJECTED' });
      }
      await expect(write(store, 'w', ['1'], { t: '\ud800' })).rejects.toMatchObject({
        code: 'VALUE_INVALID',
      });
      await expect(write(store, 'w', ['one'], {})).rejects.toMatchObject({
        code: 'STORE_REJECTED',
      });
      await expect(store.records.read('w', [['one']])).rejects.toMatchObject({
        code: 'STORE_REJECTED',
      });
      // What applications hand in.
      const { record } = await write(store, 'w', ['1'], {
        n: 'true',
        d: '2024-05-06T07:08:09.000Z',
        x: 'é',
      });
      expect(record).toMatchObject({ n: '1', d: '2024-05-06', x: '\\xc3a9' });
    });

    test('children go with their record, and a row of another record is not taken', async () => {
      await query('CREATE TABLE o (id int PRIMARY KEY)');
      await query(
        'CREATE TABLE c (id int AUTO_INCREMENT PRIMARY KEY, o int NOT NULL, v varchar(9) UNIQUE, n int NOT NULL)',
      );
      const children = { cs: { table: 'c', key: ['id'], parent: ['o'] } };
      const store = await authority({ o: { table: 'o', key: ['id'], children } });
      const row = (id: string, v: string): DataRecord => ({ id, v, n: '1' });
      await write(store, 'o', ['1'], { cs: [row('1', 'a'), row('2', 'b')] as never });
      // Two rows change their unique values round.
      const gone = await write(store, 'o', ['1'], {
        cs: [row('2', 'a'), { v: 'new', n: '2' }] as never,
      });
      expect(gone.record?.['cs']).toEqual([
        { id: '2', o: '1', v: 'a', n: '1' },
        { id: expect.any(String), o: '1', v: 'new', n: '2' },
      ]);
      const stolen = write(store, 'o', ['2'], { cs: [row('2', 'z')] as never });
      await expect(stolen).rejects.toMatchObject({ code: 'STORE_REJECTED' });
      expect(await query('SELECT COUNT(*) AS n FROM c WHERE o = 2')).toEqual([{ n: '0' }]);
      const nothing = await write(
        store,
        'o',
        ['3'],
        { cs: [row('9', 'y')] as never },
        { action: 'update' },
      );
      expect(nothing.record).toBeNull();
      expect(await query('SELECT COUNT(*) AS n FROM c WHERE id = 9')).toEqual([{ n: '0' }]);
    });

    test('numbers go on after the server was killed, those of re-reads too', async () => {
      await query('CREATE TABLE n (id int PRIMARY KEY, v int)');
      const store = await authority({ n: { table: 'n', key: ['id'] } });
      const written = await write(store, 'n', ['1'], { v: '1' });
      await store.queue.complete([written.journalId ?? 0n]);
      let last = 0n;
      for (let index = 0; index < 5; index += 1) {
        const [seen] = await store.records.reread('n', [['1']], 1);
        last = seen?.version.sequence ?? 0n;
      }
      await stores.closeAll();
      await databases.server.kill();
      await databases.server.start();
      const again = await stores.open({ n: { table: 'n', key: ['id'] } });
      const later = await write(again, 'n', ['1'], { v: '2' });
      expect(later.version?.sequence).toBeGreaterThan(last);
      expect(await query('SELECT kind FROM changeover_shop_source.queue')).toEqual([
        { kind: 'change' },
      ]);
    });
  });

  test('the canonical form is what is read back, whether it is certain or the server is asked', async () => {
    const values: Readonly<Record<string, readonly string[]>> = {
      'decimal(6,2)': ['1', '1.005', '-0', '-0.001', '007.1', '1e2', '9999.99', '.5'],
      'int unsigned': ['0', '007', 'true', '4294967295', '12.5'],
      double: ['1', '1.0', '1e5', '0.1', '-0', '1e21', '123456789012345678'],
      float: ['0.1', '16777217', '1e10', '3.4028235e+38', '1e-40'],
      'char(5)': ['a ', ' a', 'é'],
      'varchar(5) CHARACTER SET latin1': ['a ', 'é', '€'],
      'datetime(3)': [
        '2024-01-01',
        '2024-01-01 10:00:00',
        '2024-01-01T10:00:00.1239Z',
        '2024-01-01 10:00:00.5',
        '0000-00-00',
        '240101',
      ],
      timestamp: ['2024-01-01 10:00:00.4', '2024-01-01T10:00:00.000Z'],
      'time(1)': ['10:00', '100:00:00.55', '-1:2:3', '00:00:00'],
      date: ['2024-1-5', '2024-01-05 10:00:00', '20240105'],
      'bit(4)': ['1', '0101', 'true'],
      'binary(3)': ['\\x01', '\\x010203', 'ab'],
      "enum('A','b')": ['a', 'B'],
      "set('x','y')": ['y,x', 'x,x', ''],
      year: ['2024', '24', '0000'],
      uuid: ['AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee', 'aaaaaaaabbbbccccddddeeeeeeeeeeee'],
      json: ['{"b":1, "a":2}'],
    };
    const columns = Object.keys(values).map((type, index) => `c${index} ${type} NULL`);
    await query(
      `CREATE TABLE canon (id int PRIMARY KEY, ${columns.join(', ')}) DEFAULT CHARSET utf8mb4`,
    );
    const store = await stores.open({ canon: { table: 'canon', key: ['id'] } });
    const records: DataRecord[] = Object.values(values).flatMap((list, column) =>
      list.map((value, index) => ({ id: String(column * 100 + index), [`c${column}`]: value })),
    );
    const stored: (DataRecord | null)[] = [];
    for (const record of records) {
      const written = await write(store, 'canon', [String(record['id'])], record, {
        journal: 'none',
      });
      const fields = Object.keys(record);
      stored.push(
        Object.fromEntries(fields.map((field) => [field, written.record?.[field] ?? null])),
      );
    }
    expect(await store.records.canonicalise('canon', records)).toEqual(stored);
    await expect(store.records.canonicalise('canon', [{ c0: '10000' }])).rejects.toMatchObject({
      code: 'STORE_REJECTED',
    });
    await expect(store.records.canonicalise('canon', [{ nope: '1' }])).rejects.toMatchObject({
      code: 'STORE_REJECTED',
    });
  });

  test('without binlog places in snapshots, a re-read shows what its position holds, or is busy', async () => {
    await query('CREATE TABLE r (id int PRIMARY KEY, v int)');
    await query('CREATE TABLE rc (r int NOT NULL, n int NOT NULL, PRIMARY KEY (r, n))');
    const shapes = {
      r: {
        table: 'r',
        key: ['id'],
        children: { cs: { table: 'rc', key: ['r', 'n'], parent: ['r'] } },
      },
    };
    const store = await authority(shapes, ['r']);
    await query('INSERT INTO r VALUES (1, 1), (2, 1)');
    const session = openMysqlSession({ url: databases.url(0) }, systemRuntime);
    sessions.push(session);
    const layout = mysqlLayout('shop', 'source');
    const catalog = createMysqlCatalog(session, new Map(Object.entries(shapes)));
    const parts = {
      session,
      layout,
      catalog,
      presence: createMysqlPresence(session, layout),
      logged: new Set(['r']),
    };
    const collection = await catalog.collection('r');
    const reread = async () => {
      const answers = await byLocks(parts, collection, [['1'], ['2'], ['3']], 1, undefined);
      return answers.map(({ state, record }) => (state === 'busy' ? 'busy' : record));
    };
    const row = (id: string, v: string, ...ns: readonly string[]): DataRecord => ({
      id,
      v,
      cs: ns.map((n) => ({ r: id, n })),
    });
    expect(await reread()).toEqual([row('1', '1'), row('2', '1'), null]);
    const writer = await session.begin({ timeoutMs: 10_000 });
    const steps: readonly (readonly [string, readonly unknown[]])[] = [
      ['UPDATE r SET v = 2 WHERE id = 1', ['busy', row('2', '1'), null]],
      ['INSERT INTO rc VALUES (2, 7)', ['busy', 'busy', null]],
      ['INSERT INTO r VALUES (3, 3)', ['busy', 'busy', 'busy']],
    ];
    for (const [statement, expected] of steps) {
      await writer.query(statement);
      expect(await reread(), statement).toEqual(expected);
    }
    await writer.commit();
    expect(await reread()).toEqual([row('1', '2'), row('2', '1', '7'), row('3', '3')]);
    const remover = await session.begin({ timeoutMs: 10_000 });
    await remover.query('DELETE FROM r WHERE id = 3');
    expect(await reread()).toEqual([row('1', '2'), row('2', '1', '7'), 'busy']);
    await remover.commit();
    const before = (await store.log?.end())?.sequence ?? 0n;
    const [, , none] = await byLocks(parts, collection, [['1'], ['2'], ['3']], 1, undefined);
    expect(none).toMatchObject({ state: 'read', record: null });
    expect(none?.version.sequence).toBeGreaterThanOrEqual(before - 1n);
    await expect(byLocks(parts, collection, [['1']], 2, undefined)).rejects.toMatchObject({
      code: 'AUTHORITY_FENCED',
    });
  });

  test('a server says how many work, and answers a query of the operator without writing', async () => {
    const store = await stores.open({});
    const { pressure } = store;
    expect(await pressure?.activeConnections?.(2_000)).toBe(0);
    const busy = Promise.all([query('SELECT SLEEP(1)'), query('SELECT SLEEP(1)')]);
    await systemRuntime.clock.sleep(400);
    expect(await pressure?.activeConnections?.(2_000)).toBe(2);
    await busy;
    expect(await pressure?.measure?.('SELECT 1.5', 2_000)).toBe(1.5);
    await query('CREATE TABLE m (i int)');
    for (const bad of ["SELECT 'x'", 'SELECT 1, 2', 'SELECT NULL', 'INSERT INTO m VALUES (1)']) {
      await expect(pressure?.measure?.(bad, 2_000), bad).rejects.toMatchObject({
        code: 'STORE_REJECTED',
      });
    }
    expect(await query('SELECT * FROM m')).toEqual([]);
  });

  test('tables are described with their keys, references and types', async () => {
    await query('CREATE TABLE a (x int, y varchar(5), g int AS (x + 1), PRIMARY KEY (y, x))');
    await query(
      `CREATE TABLE b (id int PRIMARY KEY, ay varchar(5), ax int, j json, e enum('p','q''r','b\\\\s'), FOREIGN KEY (ay, ax) REFERENCES a (y, x))`,
    );
    await query('CREATE VIEW v AS SELECT * FROM a');
    const all = await describeMysqlTables({ url: databases.url(0) }, systemRuntime, {
      types: true,
    });
    const mine = all.filter(({ schema }) => schema === databases.name(0));
    expect(
      mine.map(({ name, visible, columns, primaryKey }) => ({
        name,
        visible,
        columns,
        primaryKey,
      })),
    ).toEqual([
      { name: 'a', visible: true, columns: ['x', 'y'], primaryKey: ['y', 'x'] },
      { name: 'b', visible: true, columns: ['id', 'ay', 'ax', 'j', 'e'], primaryKey: ['id'] },
    ]);
    expect(mine[1]?.foreignKeys).toEqual([
      { columns: ['ay', 'ax'], schema: databases.name(0), table: 'a', references: ['y', 'x'] },
    ]);
    expect(mine[1]?.types).toMatchObject({
      id: { kind: 'integer', bits: 32, nullable: false },
      j: { kind: 'json' },
      e: { kind: 'label', labels: ['p', "q'r", 'b\\s'] },
    });
  });
});
