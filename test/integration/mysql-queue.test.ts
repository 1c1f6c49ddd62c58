import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { MigrationStore } from '../../src/store/index.ts';
import { mysqlStoresOn } from '../support/mysql-store.ts';
import { withMariadb } from '../support/private-mariadb.ts';

const databases = withMariadb(1);
const stores = mysqlStoresOn(() => databases.url(0));
let store: MigrationStore;
const uuid = 'aaaaaaaa-0000-4000-8000-000000000001';

beforeAll(async () => {
  await databases.query(0, 'CREATE TABLE t (id int PRIMARY KEY)');
  store = await stores.open({ t: { table: 't', key: ['id'] } }, { poolMax: 8 });
});
afterAll(() => stores.closeAll());
beforeEach(async () => {
  await store.setup.install('authority', 1);
  await databases.query(0, 'DELETE FROM changeover_shop_source.queue');
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
  await databases.query(0, 'CREATE TABLE u (a varchar(20), b uuid, PRIMARY KEY (a, b))');
  await databases.query(
    0,
    `ALTER TABLE u CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`,
  );
  await databases.query(0, `INSERT INTO u VALUES ('a"b\\\\ä', '${uuid}')`);
  const shapes = { t: { table: 't', key: ['id'] }, u: { table: 'u', key: ['a', 'b'] } };
  const other = await stores.open({ ...shapes, gone: { table: 'gone', key: ['id'] } });
  const entry = (collection: string, ...key: string[]) =>
    ({ collection, key, kind: 'change', graceMs: 0 }) as const;
  const spelled = [
    [entry('t', '05'), ['5']],
    [entry('u', 'A"B\\Ä', uuid.toUpperCase()), ['a"b\\ä', uuid]],
    [entry('u', 'B', uuid.toUpperCase()), ['B', uuid]],
    [entry('t', '007'), ['7']],
  ] as const;
  const ids = await other.queue.enqueue(spelled.map(([one]) => one));
  const all = new Map((await other.queue.entries?.(null, 10))?.map(({ id, key }) => [id, key]));
  expect(ids.map((id) => all.get(id))).toEqual(spelled.map(([, key]) => key));
  const given = [entry('t', '5'), entry('t', '5', '6'), entry('gone', '05'), entry('nobody', '05')];
  for (const one of given) {
    const [id] = await other.queue.enqueue([one]);
    const [last] = (await other.queue.entries?.((id ?? 0n) - 1n, 1)) ?? [];
    expect(last).toMatchObject({ id, collection: one.collection, key: one.key });
  }
});

test('claiming, completing and enqueueing at the same time lose and repeat nothing', async () => {
  const seen: bigint[] = [];
  const wanted: bigint[] = [];
  let open = true;
  const producer = async (): Promise<void> => {
    for (const round of range(30)) wanted.push(...(await enqueue([round, round + 100, 7])));
  };
  const worker = async (owner: string): Promise<void> => {
    for (;;) {
      const last = !open;
      const batch = await store.queue.claim(5, owner, 60_000);
      seen.push(...batch.map(({ id }) => id));
      await store.queue.complete(batch.map(({ id }) => id));
      if (batch.length === 0 && last) return;
    }
  };
  const workers = range(4).map((n) => worker(`w${n}`));
  await Promise.all([producer(), producer()]);
  open = false;
  await Promise.all(workers);
  expect([...seen].sort()).toEqual([...wanted].sort());
  expect((await store.queue.depth()).waiting).toBe(0);
});

test('a lease that has run out makes an entry free again', async () => {
  const [id] = await enqueue([1]);
  expect(await store.queue.claim(5, 'a', 60)).toHaveLength(1);
  expect(await store.queue.claim(5, 'b', 60)).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 120));
  expect(await store.queue.claim(5, 'b', 60)).toMatchObject([{ id, key: ['1'], attempts: 0 }]);
});

test('an entry that waits is claimed when its time has come, with its attempts counted', async () => {
  const [id = 0n] = await enqueue([1]);
  await store.queue.claim(5, 'a', 10_000);
  await store.queue.retryLater([id], 60, 'busy', true);
  expect(await store.queue.claim(5, 'a', 10_000)).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 120));
  expect(await store.queue.claim(5, 'a', 10_000)).toMatchObject([{ id, attempts: 1 }]);
});

test('a dead key parks its later changes until it is redriven', async () => {
  const [first = 0n, second = 0n, other = 0n] = await enqueue([1, 1, 2]);
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
  const reason = `x "quoted", 'quoted', \\ and NULL \u0000 😀`;
  await enqueue([1], { deadReason: reason });
  await enqueue([2], { deadReason: 'NULL' });
  expect((await store.queue.deadLetters(5)).map((dead) => dead.reason)).toEqual([reason, 'NULL']);
});

test('keys that are longer than an index takes are told apart', async () => {
  const long = (end: string): readonly string[] => [`${'ä'.repeat(2_000)}${end}`];
  const entry = { collection: 't', kind: 'change', graceMs: 0 } as const;
  const [first = 0n, second] = await store.queue.enqueue([
    { ...entry, key: long('a') },
    { ...entry, key: long('b') },
  ]);
  await store.queue.bury([first], 'dead');
  expect(await store.queue.standing?.('t', [long('a'), long('b'), long('c')])).toEqual([
    'dead',
    'waiting',
    'none',
  ]);
  expect(await store.queue.claim(5, 'a', 10_000)).toMatchObject([{ id: second, key: long('b') }]);
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
