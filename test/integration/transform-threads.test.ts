import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runBackfill } from '../../src/backfill/index.ts';
import {
  backfillOptionsOf,
  loadConfig,
  type OpenedMigration,
  openMigration,
} from '../../src/config/index.ts';
import { initialState, type MigrationState } from '../../src/migration/index.ts';
import { withDatabases } from '../support/databases.ts';
import { customersDdl, customersSeed } from '../support/postgres-fixture.ts';

const never = new AbortController().signal;
const state: MigrationState = { ...initialState('threads'), phase: 'backfill' };
const source = (path: string): string =>
  JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);

/** The migration of `postgres-fixture.ts` as a file of a user's. `more` is put into the transform. */
const config = (urls: readonly string[], more: string): string => `
import { defineMigration } from ${source('config/index.ts')};
import { memoryControl } from ${source('adapters/memory/index.ts')};
import { postgres } from ${source('adapters/postgres/index.ts')};
import { existsSync, writeFileSync } from 'node:fs';
import { isMainThread, threadId } from 'node:worker_threads';
export default defineMigration({
  name: 'threads',
  source: postgres({ url: ${JSON.stringify(urls[0])} }),
  target: postgres({ url: ${JSON.stringify(urls[1])} }),
  control: memoryControl(),
  backfill: { transformThreads: 2 },
  collections: {
    customers: {
      source: { table: 'customers', key: ['id'] },
      target: { table: 'customers', key: ['id'], children: { contacts: { table: 'contact_points', key: ['customer_id', 'kind'], parent: ['customer_id'] } } },
      forward(record) {
        ${more}
        if (record.name === 'unsplittable') throw new Error('the name has one part');
        const contacts = [];
        if (record.email !== null) contacts.push({ customer_id: record.id, kind: 'email', value: record.email });
        return { id: record.id, first_name: record.name.split(' ')[0], last_name: isMainThread ? 'main' : 'thread ' + threadId, balance: record.balance, changed: record.changed + '+00', contacts };
      },
      backward: (record) => record,
    },
  },
});
`;

describe('a backfill whose transforms run on other threads', () => {
  const databases = withDatabases(2, { scope: 'test' });
  let folder: string;
  let file: string;
  let opened: OpenedMigration | undefined;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'changeover-threads-'));
    file = join(folder, 'changeover.config.mts');
    await databases.query(0, customersDdl.source);
    await databases.query(1, customersDdl.target);
    await databases.query(0, customersSeed(3_000));
  });
  afterEach(async () => {
    await opened?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const open = async (more = ''): Promise<OpenedMigration> => {
    writeFileSync(file, config(databases.urls, more));
    const { definition } = await loadConfig(folder);
    opened = await openMigration(definition);
    await opened.stores.source.setup.install('authority', 1);
    await opened.stores.target.setup.install('follower', 1);
    return opened;
  };
  const backfill = (context: OpenedMigration, more = {}) =>
    runBackfill(
      context,
      'customers',
      {
        ...backfillOptionsOf(context.options, context),
        currentState: () => state,
        chunkRowsInitial: 200,
        chunkRowsMax: 300,
        ...more,
      },
      never,
    );
  const names = async (): Promise<unknown[]> =>
    (
      await databases.query<{ last_name: string }>(
        1,
        'SELECT DISTINCT last_name FROM customers ORDER BY 1',
      )
    ).map(({ last_name }) => last_name);

  test('brings every row, by the threads alone, and the refused ones to the dead letters', async () => {
    await databases.query(
      0,
      `UPDATE customers SET name = 'unsplittable' WHERE id = 2500;
       UPDATE customers SET balance = '-1' WHERE id IN (17, 1999)`,
    );
    const result = await backfill(await open());
    expect(result).toMatchObject({
      outcome: 'finished',
      rowsRead: 3_000,
      rowsInserted: 2_997,
      rowsDead: 3,
    });
    expect(await names()).toHaveLength(2);
    expect((await names()).every((name) => String(name).startsWith('thread'))).toBe(true);
    const letters = await opened?.stores.source.queue.deadLetters(10);
    expect(letters?.map(({ key }) => key[0]).sort()).toEqual(['17', '1999', '2500']);
    const [{ n } = { n: '' }] = await databases.query(
      1,
      'SELECT count(*) AS n FROM contact_points',
    );
    expect(n).toBe('1997');
  });

  test('a thread that dies is replaced, and its chunk is begun again', async () => {
    const marker = JSON.stringify(join(folder, 'died'));
    const context = await open(`
        if (!isMainThread && record.id === '1500' && !existsSync(${marker})) {
          writeFileSync(${marker}, '');
          process.exit(3);
        }`);
    expect(await backfill(context)).toMatchObject({ outcome: 'finished', rowsInserted: 3_000 });
  });

  test('a file that was edited since is not run', async () => {
    const context = await open();
    writeFileSync(file, config(databases.urls, 'if (record.id === "5") return null;'));
    await expect(backfill(context)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect(await databases.query(1, 'SELECT 1 FROM customers')).toEqual([]);
  });

  test('an abort ends it with no thread and no connection left', async () => {
    const context = await open();
    const controller = new AbortController();
    const result = await runBackfill(
      context,
      'customers',
      {
        ...backfillOptionsOf(context.options, context),
        currentState: () => state,
        chunkRowsInitial: 50,
        chunkRowsMax: 50,
        onProgress: () => controller.abort(),
      },
      controller.signal,
    );
    expect(result).toMatchObject({ outcome: 'stopped', reason: 'aborted' });
  });
});
