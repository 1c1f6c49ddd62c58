import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { MigrationStore } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';
import { storesOn } from '../support/postgres-store.ts';

const databases = withDatabases(1);
const stores = storesOn(() => databases.url(0));
let store: MigrationStore;
const uuid = 'aaaaaaaa-0000-4000-8000-000000000001';

beforeAll(async () => {
  await databases.query(0, 'CREATE TABLE t (id int PRIMARY KEY)');
  store = await stores.open({ t: { table: 't', key: ['id'] } }, { poolMax: 8 });
});
afterAll(() => stores.closeAll());
beforeEach(async () => {
  await store.setup.install('authority', 1);
  await databases.query(0, 'TRUNCATE changeover_shop_source.queue');
});

const enqueue = (ids: readonly number[], more: object = {}): Promise<readonly bigint[]> =>
  store.queue.enqueue(
    ids.map((id) => ({
      collection: 't',
      key: [String(id)],
      kind: 'change' as const,
      graceMs: 0,
      ...more,
    })),
  );
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, id) => id);

test('no entry is claimed twice, and none is left over', async () => {
  const ids = await enqueue(range(400));
  expect([...ids].sort((a, b) => Number(a - b))).toEqual(ids);
  const claims: bigint[] = [];
  const work = async (owner: string): Promise<void> => {
    for (;;) {
      const batch = await store.queue.claim(7, owner, 60_000);
      if (batch.length === 0) return;
      claims.push(...batch.map(({ id }) => id));
    }
  };
  await Promise.all(range(8).map((n) => work(`w${n}`)));
  // Entries that others had locked for a moment were skipped: one last look.
  await work('last');
  expect(claims).toHaveLength(400);
  expect(new Set(claims).size).toBe(400);
  await store.queue.complete(ids);
  await store.queue.complete(ids);
  expect(await store.queue.depth()).toEqual({ waiting: 0, dead: 0, oldestMs: 0 });
});

test('keys are queued as the table spells them, where it can', async () => {
  await databases.query(
    0,
    `CREATE TABLE u (a numeric, b uuid, PRIMARY KEY (a, b)); INSERT INTO u VALUES (1.0, '${uuid}'); INSERT INTO t VALUES (7)`,
  );
  const shapes = { t: { table: 't', key: ['id'] }, u: { table: 'u', key: ['a', 'b'] } };
  const other = await stores.open({ ...shapes, gone: { table: 'gone', key: ['id'] } });
  const entry = (collection: string, ...key: string[]) =>
    ({ collection, key, kind: 'change', graceMs: 0 }) as const;
  const spelled = [
    [entry('t', '05'), ['5']],
    [entry('u', '1.000', uuid.toUpperCase()), ['1.0', uuid]],
    [entry('t', '007'), ['7']],
    [entry('u', '2.000', uuid.toUpperCase()), ['2.000', uuid]],
  ] as const;
  const ids = await other.queue.enqueue(spelled.map(([one]) => one));
  const all = new Map((await other.queue.entries?.(null, 10))?.map(({ id, key }) => [id, key]));
  expect(ids.map((id) => all.get(id))).toEqual(spelled.map(([, key]) => key));
  const given = [entry('t', '5'), entry('t', 'five'), entry('gone', '05'), entry('nobody', '05')];
  for (const one of given) {
    const [id] = await other.queue.enqueue([one]);
    const [last] = (await other.queue.entries?.((id ?? 0n) - 1n, 1)) ?? [];
    expect(last).toMatchObject({ id, collection: one.collection, key: one.key });
  }
});

test('a lease that has run out makes an entry free again', async () => {
  const [id] = await enqueue([1]);
  expect(await store.queue.claim(5, 'a', 30)).toHaveLength(1);
  expect(await store.queue.claim(5, 'b', 30)).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 60));
  expect(await store.queue.claim(5, 'b', 30)).toMatchObject([{ id, key: ['1'], attempts: 0 }]);
});

test('an entry waits for its grace, and a retry for its delay', async () => {
  const [id] = await enqueue([1], { graceMs: 40 });
  expect(await store.queue.claim(5, 'a', 1_000)).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 70));
  expect(await store.queue.claim(5, 'a', 1_000)).toMatchObject([{ id }]);
  await store.queue.retryLater([id as bigint], 0, 'busy', false);
  await store.queue.retryLater([id as bigint], 0, 'refused', true);
  expect(await store.queue.claim(5, 'a', 1_000)).toMatchObject([{ id, attempts: 1 }]);
});

test('a dead key parks its later changes until it is redriven', async () => {
  const [first, second, other] = (await enqueue([1, 1, 2])) as [bigint, bigint, bigint];
  await store.queue.bury([first], 'no such column');
  expect(await store.queue.claim(5, 'a', 10_000)).toMatchObject([{ id: other }]);
  expect(await store.queue.depth()).toMatchObject({ waiting: 2, dead: 1 });
  expect(await store.queue.standing?.('t', [['1'], ['2'], ['3']])).toEqual([
    'dead',
    'waiting',
    'none',
  ]);
  expect(await store.queue.deadLetters(5)).toMatchObject([
    { id: first, reason: 'no such column', newerWriteExists: true },
  ]);
  expect(await store.queue.resolveDead('redrive', [first, second])).toBe(1);
  expect((await store.queue.claim(5, 'a', 10_000)).map(({ id }) => id).sort()).toEqual(
    [first, second].sort(),
  );
  await store.queue.bury([first, second], 'again');
  expect(await store.queue.resolveDead('discard', [first, second, other])).toBe(2);
});

test('an entry can be born dead, with any text in its reason', async () => {
  const reason = 'x "quoted", {braces} \\ and NULL';
  await enqueue([1], { deadReason: reason });
  await enqueue([2], { deadReason: 'NULL' });
  expect((await store.queue.deadLetters(5)).map((dead) => dead.reason)).toEqual([reason, 'NULL']);
});

test('where nothing is installed the queue is empty, and enqueueing is refused', async () => {
  await store.setup.uninstall();
  expect(await store.queue.depth()).toEqual({ waiting: 0, dead: 0, oldestMs: 0 });
  expect(await store.queue.claim(1, 'a', 1)).toEqual([]);
  expect(await store.queue.deadLetters(1)).toEqual([]);
  await store.queue.complete([1n]);
  await expect(enqueue([1])).rejects.toMatchObject({ code: 'STORE_REJECTED' });
  expect(await store.guard.read()).toEqual({ role: 'idle', epoch: 0, attempt: null });
});
