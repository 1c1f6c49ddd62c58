import { afterEach, describe, expect, test } from 'vitest';
import type { MigrationStore } from '../../src/store/index.ts';
import { checkpointAt, collect, openMysqlLog } from '../support/mysql-log.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

/** Labels of ENUM and SET as a person may choose them; those of a SET hold no commas. */
const AWKWARD = [
  "it's",
  "''",
  'back\\slash',
  'ends in \\',
  "\\'",
  '\\n',
  'line\nend',
  'carriage\rreturn',
  'tab\t',
  'sub\x1a',
  'nul\0byte',
  '"double"',
  '`tick`',
  ')',
  "x';'y",
  'ü',
  'ß€',
];
const SETS: Readonly<Record<string, readonly string[]>> = {
  utf8mb4: ['漢字', 'ę'],
  latin1: [],
  // The second byte of these is that of a backslash.
  sjis: ['表', 'ソ'],
};
const labelsOf = (charset: string): readonly string[] =>
  [...AWKWARD, ...(SETS[charset] ?? [])].filter(
    (label) => charset !== 'sjis' || !/[üß€]/.test(label),
  );
const hex = (text: string): string =>
  `CONVERT(X'${Buffer.from(text).toString('hex')}' USING utf8mb4)`;
const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

describe.skipIf(missingMariadb())('labels of ENUM and SET', () => {
  const databases = withMariadb(1);
  const stores = mysqlStoresOn(() => databases.url(0));
  afterEach(() => stores.closeAll());
  const run = (...statements: readonly string[]): Promise<unknown> =>
    databases.query(
      0,
      `BEGIN NOT ATOMIC SET sql_mode = 'STRICT_ALL_TABLES'; ${statements.join('; ')}; END`,
    );
  const put = (store: MigrationStore, id: string, record: Record<string, string>) =>
    store.records.write({
      collection: 't',
      key: [id],
      action: 'put',
      record,
      epoch: 1,
      journal: 'none',
      graceMs: 0,
      timeoutMs: 20_000,
    });

  test.for(
    Object.keys(SETS).flatMap((charset) =>
      ['NO_LOG', 'FULL'].map((metadata) => [charset, metadata] as const),
    ),
  )(
    'of %s go through catalog, read, scan and log as they are: binlog_row_metadata %s',
    async ([charset, metadata]) => {
      await databases.server.query(`SET GLOBAL binlog_row_metadata = '${metadata}'`);
      const labels = labelsOf(charset);
      const choices = [...labels, 'a,b'];
      const list = (all: readonly string[]): string => all.map(quoted).join(', ');
      await run(
        'DROP TABLE IF EXISTS t',
        `CREATE TABLE t (id int PRIMARY KEY, e enum(${list(choices)}) CHARACTER SET ${charset}, s set(${list(labels)}) CHARACTER SET ${charset})`,
      );
      const shape = { table: 't', key: ['id'] };
      const log = openMysqlLog(databases.url(0), [shape], `${charset}_${metadata.toLowerCase()}`);
      try {
        const start = await log.source.install('labels', 5_000);
        const store = await stores.open({ t: shape });
        const expected = new Map<string, readonly string[]>();
        for (const [index, e] of choices.entries()) {
          const s = [labels[index], labels[(index + 1) % labels.length]]
            .filter((label) => label !== undefined)
            .sort((a, b) => labels.indexOf(a) - labels.indexOf(b))
            .join(',');
          expected.set(String(index), [e, s]);
          // By us, and by the application.
          await put(store, String(index), { id: String(index), e, s });
          expected.set(String(100 + index), [e, s]);
          await run(`INSERT INTO t VALUES (${100 + index}, ${hex(e)}, ${hex(s)})`);
        }
        const rows = await store.records.scan('t', { after: null, until: null }, 1_000);
        const values = rows.map(({ key, record }) => [key[0], [record['e'], record['s']]]);
        expect(Object.fromEntries(values)).toEqual(Object.fromEntries(expected));
        for (const [id, [e, s]] of expected) {
          const [answer] = await store.records.read('t', [[id]]);
          expect(answer?.record).toEqual({ id, e, s });
          const [same] = await databases.query(
            0,
            `SELECT e = ${hex(e ?? '')} AND s = ${hex(s ?? '')} AS same FROM t WHERE id = ${id}`,
          );
          expect(same, e).toEqual({ same: '1' });
        }
        const stream = await log.source.open({
          stream: 'labels',
          from: checkpointAt(start),
          changesMax: 1_000,
          bytesMax: 1_000_000,
          whole: false,
        });
        const { changes } = await collect(log, stream);
        await stream.close();
        const told = changes.map(({ after }) => [after?.[0], after?.slice(1)]);
        expect(Object.fromEntries(told)).toEqual(Object.fromEntries(expected));
      } finally {
        await log.close();
      }
    },
  );

  test('that the catalog cannot spell stop the log rather than come as question marks, and are told before', async () => {
    const shape = { table: 'wide', key: ['id'] };
    await run("CREATE TABLE wide (id int PRIMARY KEY, e enum('plain','😀') CHARACTER SET utf8mb4)");
    const findings = async (): Promise<string | undefined> => {
      const store = await stores.open({ wide: shape }, { logged: ['wide'] });
      const found = await store.setup.inspect('authority');
      return found.find(({ id }) => id === 'mysql/log-labels')?.verdict;
    };
    const follow = async (migration: string, metadata: string): Promise<readonly unknown[]> => {
      await databases.server.query(`SET GLOBAL binlog_row_metadata = '${metadata}'`);
      await run('DELETE FROM wide');
      const log = openMysqlLog(databases.url(0), [shape], migration);
      const start = await log.source.install('labels', 5_000);
      await run("INSERT INTO wide VALUES (1, 'plain'), (2, '😀')");
      const from = checkpointAt(start);
      const limits = { changesMax: 1_000, bytesMax: 1_000_000, whole: false };
      const stream = await log.source.open({ stream: 'labels', from, ...limits });
      try {
        return (await collect(log, stream)).changes.map(({ after }) => after?.[1]);
      } finally {
        await stream.close();
        await log.close();
      }
    };
    await expect(follow('by_number', 'NO_LOG')).rejects.toMatchObject({
      code: 'LOG_UNSUPPORTED',
      message: expect.stringContaining('binlog_row_metadata = FULL'),
    });
    expect(await findings()).toBe('fail');
    expect(await follow('by_name', 'FULL')).toEqual(['plain', '😀']);
    expect(await findings()).toBe(undefined);
    const store = await stores.open({ wide: shape });
    const [answer] = await store.records.read('wide', [['2']]);
    expect(answer?.record).toEqual({ id: '2', e: '😀' });
  });
});
