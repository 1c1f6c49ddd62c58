import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { memoryControl } from '../../src/adapters/memory/index.ts';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { type BackfillOptions, runBackfill } from '../../src/backfill/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import {
  type Collection,
  initialState,
  type MigrationState,
  type Shape,
} from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { TextSource } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const never = new AbortController().signal;
const state: MigrationState = { ...initialState('copy'), phase: 'backfill' };

describe.skipIf(missingMariadb())('a backfill from MariaDB to PostgreSQL', () => {
  const sources = withMariadb(1, { scope: 'test' });
  const targets = withDatabases(1, { scope: 'test' });
  let opened: OpenedMigration | undefined;

  const source = (sql: string): Promise<object[]> => sources.query(0, sql);
  const target = (sql: string): Promise<Record<string, unknown>[]> => targets.query(0, sql);
  /** Tables `t` on both sides. */
  const open = async (
    key: readonly string[],
    { url = sources.url(0), more = {} }: { url?: string; more?: Partial<Shape> } = {},
  ): Promise<OpenedMigration> => {
    const shape = { table: 't', key, ...more };
    opened = await openMigration(
      defineMigration({
        name: 'copy',
        source: mariadb({ url }),
        target: postgres({ url: targets.url(0) }),
        control: memoryControl(),
        collections: { t: { source: shape, target: shape } },
      }),
    );
    await opened.stores.source.setup.install('authority', 1);
    await opened.stores.target.setup.install('follower', 1);
    return opened;
  };
  const collection = (): Collection => opened?.migration.collections.get('t') as Collection;
  /** `path`: `text` as it comes, `records` with the short way closed. What was written by which call is counted. */
  const backfill = async (path: 'text' | 'records', options: Partial<BackfillOptions> = {}) => {
    const { stores, ...context } = opened as OpenedMigration;
    const calls = { copyText: 0, writeChunk: 0 };
    const { door } = stores.target;
    const follower = {
      ...stores.target,
      door: {
        ...door,
        copyText: (...given: Parameters<NonNullable<typeof door.copyText>>) => {
          calls.copyText += 1;
          return (door.copyText as NonNullable<typeof door.copyText>)(...given);
        },
        writeChunk: (...given: Parameters<typeof door.writeChunk>) => {
          calls.writeChunk += 1;
          return door.writeChunk(...given);
        },
      },
    };
    const one = { ...collection(), passesText: path === 'text' };
    const result = await runBackfill(
      {
        ...context,
        migration: { ...context.migration, collections: new Map([['t', one]]) },
        stores: { source: stores.source, target: follower },
      },
      't',
      { currentState: () => state, ...options },
      never,
    );
    return { ...result, ...calls };
  };
  /** The whole table, as the target prints it. */
  const rows = (): Promise<object[]> => target('SELECT t::text AS row FROM t ORDER BY t::text');

  beforeEach(() => {
    opened = undefined;
  });
  afterEach(async () => {
    // The server stays; what is ours lies beside the databases of the test.
    await sources.server.query('DROP DATABASE IF EXISTS changeover_copy_source');
    await opened?.close();
  });

  test('as text it brings what it brings as records, whatever the values', async () => {
    await source(`CREATE TABLE t (id bigint unsigned PRIMARY KEY, tiny tinyint, flag tinyint(1), small smallint(4) unsigned zerofill, price decimal(12,3),
      single float, twice double, day date, moment datetime(6), stamp timestamp(3) NULL, clock time(2), born year, word varchar(2000), old varchar(50) CHARACTER SET latin1,
      fixed char(5), body longtext, raw varbinary(300), mask bit(11), doc json, kind enum('a','b c')) CHARACTER SET utf8mb4`);
    await target(`CREATE TABLE t (id numeric(20) PRIMARY KEY, tiny smallint, flag boolean, small integer, price numeric(12,3),
      single real, twice double precision, day date, moment timestamp(6), stamp timestamptz(3), clock time(2), born integer, word varchar(2000), old text,
      fixed char(5), body text, raw bytea, mask bit(11), doc json, kind text)`);
    const odd = String.raw`CONCAT('tab\tline\nreturn\rback\\slash \\N \\. Łódź 😀 ', CHAR(1, 8, 11, 12, 26, 127 USING utf8mb4))`;
    await source(`INSERT INTO t VALUES
      (18446744073709551615, -128, 1, 7, -123456789.125, 1.1, 0.1, '2024-02-29', '2024-01-01 23:59:59.000001', '2024-06-01 12:00:00.500', '23:59:59.25', 2024,
        ${odd}, 'Größe €', 'ab', ${odd}, UNHEX('00ff095c0a0d'), b'10110', '{"a": "x\\\\ty"}', 'b c'),
      (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
      (2, 0, 0, 0, 0, 0, -0e0, '0001-01-01', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01', '00:00:00', 1901, '', '', '', '', '', b'0', '[]', 'a'),
      (3, 0, 0, 0, 0, 3.4e38, 1.7976931348623157e308, '2000-01-01', '2000-01-01', NULL, '01:02:03', 2155, '\\\\N', '\\\\', 'x ', REPEAT('ä\\\\', 200000), REPEAT('\\\\', 300), b'11111111111', '{}', 'a')`);
    await source(
      'INSERT INTO t SELECT 10 + seq, seq, seq % 2, seq, seq / 8, seq / 3, seq / 7, NULL, NULL, NULL, NULL, NULL, REPEAT(CHAR(9), seq), NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM seq_1_to_100',
    );
    const { mappings } = await open(['id']);
    // Not all of these columns may go as text; that the writer is right about all of them is the point.
    expect(mappings.get('t')?.passesText).toBe(false);
    await target('ALTER TABLE t ALTER born TYPE integer');
    const asText = await backfill('text', { chunkRowsInitial: 40, chunkRowsMax: 60 });
    expect(asText).toMatchObject({ outcome: 'finished', rowsInserted: 104, writeChunk: 0 });
    const first = await rows();
    await opened?.stores.target.setup.truncate('t');
    await opened?.control.close();
    opened = {
      ...(opened as OpenedMigration),
      control: await memoryControl().connect(systemRuntime),
    };
    const asRecords = await backfill('records', { chunkRowsInitial: 40, chunkRowsMax: 60 });
    expect(asRecords).toMatchObject({ outcome: 'finished', rowsInserted: 104, copyText: 0 });
    expect(first).toEqual(await rows());
  });

  test('goes as text by itself where the mapping leaves texts alone, and not where it does not', async () => {
    await source(
      'CREATE TABLE t (id int PRIMARY KEY, word varchar(20), flag tinyint(1), stamp timestamp(3) NULL, price decimal(9,2))',
    );
    await target(
      'CREATE TABLE t (id int PRIMARY KEY, word varchar(20), flag boolean, stamp timestamptz(3), price numeric(9,2))',
    );
    await source(
      "INSERT INTO t SELECT seq, CONCAT('w', seq), seq % 2, '2024-01-01 00:00:00', seq FROM seq_1_to_500",
    );
    await open(['id']);
    expect(collection().passesText).toBe(true);
    await opened?.close();
    await target('ALTER TABLE t ALTER price TYPE numeric(8,1)');
    await open(['id']);
    expect(collection().passesText).toBe(false);
  });

  test.each(['none', 'all'] as const)(
    'what only the conversion can tell goes the long way: each bad row is found, the others arrive (indexes down: %s)',
    async (deferIndexes) => {
      await source(
        'CREATE TABLE t (id int PRIMARY KEY, word varchar(20), day date, number int unsigned) CHARACTER SET utf8mb4',
      );
      await target('CREATE TABLE t (id int PRIMARY KEY, word varchar(10), day date, number int)');
      await source(
        "INSERT INTO t SELECT seq, CONCAT('w', seq), '2024-01-01', seq FROM seq_1_to_3000",
      );
      await source("UPDATE t SET word = CONCAT('a', CHAR(0 USING utf8mb4)) WHERE id = 700");
      await source("SET sql_mode=''; UPDATE t SET day = '0000-00-00' WHERE id = 1400");
      await source('UPDATE t SET number = 4000000000 WHERE id = 2100');
      await source("UPDATE t SET word = 'longer than ten' WHERE id = 2800");
      await open(['id']);
      expect(collection().passesText).toBe(true);
      const sizes = { chunkRowsInitial: 400, chunkRowsMax: 400 };
      const result = await backfill('text', { ...sizes, deferIndexes });
      expect(result).toMatchObject({ outcome: 'finished', rowsInserted: 2_996, rowsDead: 4 });
      expect(result.copyText).toBeGreaterThan(result.writeChunk);
      const letters = await opened?.stores.source.queue.deadLetters(10);
      expect(letters?.map(({ key }) => key[0]).sort()).toEqual(['1400', '2100', '2800', '700']);
    },
  );

  test('keys that the two sides order differently all arrive', async () => {
    await source('CREATE TABLE t (code varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY, n int)');
    await target('CREATE TABLE t (code varchar(20) PRIMARY KEY, n int)');
    await source(
      `INSERT INTO t SELECT CONCAT(IF(seq % 2, 'a', 'B'), LPAD(seq, 5, IF(seq % 3, 'é', 'Z'))), seq FROM seq_1_to_2000`,
    );
    await open(['code']);
    const result = await backfill('text', { chunkRowsInitial: 100, chunkRowsMax: 200 });
    expect(result).toMatchObject({ outcome: 'finished', rowsInserted: 2_000, writeChunk: 0 });
    expect(await target('SELECT count(*)::int AS n, sum(n)::int AS s FROM t')).toEqual([
      { n: 2_000, s: 2_001_000 },
    ]);
  });

  test('what is there, or was deleted, stays as it is', async () => {
    await source(
      'CREATE TABLE t (id int, code varchar(9), word varchar(20), PRIMARY KEY (id, code))',
    );
    await target(
      'CREATE TABLE t (id int, code varchar(9), word varchar(20), PRIMARY KEY (id, code))',
    );
    await source("INSERT INTO t SELECT seq, 'x\\ty', CONCAT('w', seq) FROM seq_1_to_1000");
    await open(['id', 'code']);
    const change = {
      collection: 't',
      origin: 'live',
      version: { epoch: 1, sequence: 9n },
    } as const;
    await opened?.stores.target.door.apply(
      [
        { ...change, key: ['500', 'x\ty'], value: { id: '500', code: 'x\ty', word: 'live' } },
        { ...change, key: ['501', 'x\ty'], value: null },
      ],
      { epoch: 1, timeoutMs: 10_000 },
    );
    const result = await backfill('text', { chunkRowsInitial: 100, chunkRowsMax: 200 });
    expect(result).toMatchObject({ rowsRead: 1_000, rowsInserted: 998, writeChunk: 0 });
    expect(await target('SELECT id, word FROM t WHERE id BETWEEN 500 AND 501')).toEqual([
      { id: 500, word: 'live' },
    ]);
  });

  test('rows of many megabytes, the key down meanwhile', async () => {
    await source('CREATE TABLE t (id int PRIMARY KEY, body longtext) CHARACTER SET utf8mb4');
    await target('CREATE TABLE t (id int PRIMARY KEY, body text)');
    for (const id of [1, 2, 3])
      await source(
        `INSERT INTO t VALUES (${id}, REPEAT('0123456789\\\\\\nabcde', ${id * 600_000}))`,
      );
    await open(['id']);
    expect(await backfill('text', { deferIndexes: 'all' })).toMatchObject({
      outcome: 'finished',
      rowsInserted: 3,
      writeChunk: 0,
    });
    const digest = (await source('SELECT id, MD5(body) AS digest FROM t ORDER BY id')) as object[];
    expect(await target('SELECT id::text, md5(body) AS digest FROM t ORDER BY id')).toEqual(digest);
  });

  test('a connection that breaks in the middle of a chunk is begun again, and nothing is left running on the server', async () => {
    await source('CREATE TABLE t (id int PRIMARY KEY, word varchar(200))');
    await target('CREATE TABLE t (id int PRIMARY KEY, word varchar(200))');
    await source("INSERT INTO t SELECT seq, REPEAT('w', 150) FROM seq_1_to_60000");
    const proxy = await startTcpProxy({ port: sources.server.port });
    try {
      await open(['id'], { url: proxy.url(sources.url(0)) });
      proxy.cutAfter(5_000_000, 'down');
      const result = await backfill('text', { chunkRowsInitial: 20_000 });
      expect(result).toMatchObject({ outcome: 'finished', rowsInserted: 60_000 });
      expect(proxy.bytes('down')).toBeGreaterThan(9_000_000);
      const running = await source(
        "SELECT info FROM information_schema.processlist WHERE command = 'Query' AND id <> connection_id() AND user <> 'system user'",
      );
      expect(running).toEqual([]);
      await opened?.close();
    } finally {
      await proxy.close();
    }
  });

  test('a reader that leaves early gives the connection up, a target that hangs holds the source back', async () => {
    await source('CREATE TABLE t (id int PRIMARY KEY, word varchar(200))');
    await target('CREATE TABLE t (id int PRIMARY KEY, word varchar(200))');
    await source("INSERT INTO t SELECT seq, REPEAT('w', 150) FROM seq_1_to_200000");
    const proxy = await startTcpProxy({ port: sources.server.port });
    try {
      await open(['id'], { url: proxy.url(sources.url(0)) });
      const range = { after: null, until: null };
      const reader = opened?.stores.source.text as TextSource;
      const found = await reader.read('t', range, null, 30_000);
      const iterator = found.text[Symbol.asyncIterator]();
      const { value } = (await iterator.next()) as { value: Buffer };
      expect(value.toString('utf8', 0, 5)).toBe('1\twww');
      await new Promise((resolve) => setTimeout(resolve, 500));
      // 31 MB in all; sockets hold some of it.
      expect(proxy.bytes('down')).toBeLessThan(16_000_000);
      await iterator.return?.(undefined);
      await opened?.close();
      expect(proxy.bytes('down')).toBeLessThan(20_000_000);
    } finally {
      await proxy.close();
    }
  });
});
