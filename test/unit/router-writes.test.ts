import { afterEach, describe, expect, test } from 'vitest';
import { ChangeoverError } from '../../src/errors/index.ts';
import { openRig, type Rig, until } from '../support/router-rig.ts';

let rig: Rig;
afterEach(() => rig.close());

const ada = { id: 1, name: 'Ada', city: 'Łódź' };
const unavailable = new ChangeoverError('STORE_UNAVAILABLE', 'The connection was reset.');
const waiting = async () => (await rig.context.stores.source.queue.depth()).waiting;

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

const cutover = (held: boolean) => ({
  attempt: 'a1',
  owner: 'operator',
  to: 'target' as const,
  phaseAfter: 'write-switch' as const,
  epoch: 2,
  writesHeld: held,
  status: 'running' as const,
});

describe('while a switch holds writes', () => {
  test('a write waits, and goes to the new authority when the hold ends', async () => {
    rig = await openRig();
    await rig.enter({ phase: 'read-switch' });
    await rig.enter({ cutover: cutover(true) });
    const write = rig.router.collection('customers').put(ada);
    await rig.context.runtime.clock.sleep(30);
    expect(await rig.stored('source', '1')).toBeNull();
    await rig.enter({ phase: 'write-switch', epoch: 2, cutover: null });
    expect((await write).record).toMatchObject({ name: 'Ada' });
    expect(await rig.stored('target', '1')).not.toBeNull();
    expect(rig.of('held')).toMatchObject([{ outcome: 'released' }]);
  });

  test('a write that waits too long is refused, and was not made', async () => {
    rig = await openRig({ router: { holdMs: 40 } });
    await rig.enter({ phase: 'read-switch', cutover: cutover(true) });
    const write = rig.router.collection('customers').put(ada);
    await expect(write).rejects.toMatchObject({ code: 'HOLD_EXPIRED', disposition: 'retry' });
    expect(await rig.stored('source', '1')).toBeNull();
    expect(rig.of('held')).toMatchObject([{ outcome: 'expired' }]);
  });

  test('more waiting writes than the limit are refused at once', async () => {
    rig = await openRig({ router: { holdMs: 60, heldMax: 2 } });
    await rig.enter({ phase: 'read-switch', cutover: cutover(true) });
    const customers = rig.router.collection('customers');
    const held = [customers.put(ada), customers.put(ada)].map((write) => write.catch(() => 'late'));
    const third = elapsed(() =>
      expect(customers.put(ada)).rejects.toMatchObject({ code: 'HOLD_EXPIRED' }),
    );
    expect(await third).toBeLessThan(30);
    expect(await Promise.all(held)).toEqual(['late', 'late']);
  });

  test('closing the router refuses the waiting writes instead of keeping the process busy', async () => {
    rig = await openRig({ router: { holdMs: 5_000 } });
    await rig.enter({ phase: 'read-switch', cutover: cutover(true) });
    const write = rig.router.collection('customers').put(ada);
    const refused = expect(write).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await elapsed(() => rig.router.close())).toBeLessThan(1_000);
    await refused;
  });

  test('reads are served', async () => {
    rig = await openRig();
    await rig.enter({ phase: 'read-switch' });
    await rig.router.collection('customers').put(ada);
    await rig.enter({ cutover: cutover(true) });
    expect(await rig.router.collection('customers').get(1)).toMatchObject({ name: 'Ada' });
  });
});

describe('a write routed by an old state', () => {
  test('is refused by the store and made again by the new state', async () => {
    rig = await openRig();
    const state = await rig.enter({ phase: 'read-switch' });
    await rig.guards({ ...state, phase: 'write-switch', epoch: 2 });
    const write = rig.router.collection('customers').put(ada);
    await rig.context.runtime.clock.sleep(20);
    rig.publish({ phase: 'write-switch', epoch: 2 });
    expect((await write).record).toMatchObject({ name: 'Ada' });
    expect(await rig.stored('target', '1')).not.toBeNull();
    expect(rig.of('write').map(({ outcome, phase }) => [outcome, phase])).toEqual([
      ['committed', 'write-switch'],
    ]);
  });

  test('is given up when no news comes', async () => {
    rig = await openRig({ router: { holdMs: 60 } });
    const state = await rig.enter({ phase: 'read-switch' });
    await rig.guards({ ...state, phase: 'write-switch', epoch: 2 });
    const write = rig.router.collection('customers').put(ada);
    await expect(write).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    expect(await rig.stored('target', '1')).toBeNull();
    expect(rig.of('write').map(({ outcome }) => outcome)).toEqual(['rejected']);
  });

  test('without a journal is refused once somebody follows', async () => {
    rig = await openRig();
    await rig.guards({ ...rig.router.state(), phase: 'dual-write' });
    const write = rig.router.collection('customers').put(ada);
    await rig.context.runtime.clock.sleep(20);
    expect(await rig.stored('source', '1')).toBeNull();
    rig.publish({ phase: 'dual-write' });
    await write;
    await rig.router.settle(500);
    expect(await rig.stored('target', '1')).not.toBeNull();
  });
});

describe.each(['serial', 'parallel', 'deferred'] as const)('a %s write', (write) => {
  test('succeeds while the follower is down, and its change waits in the queue', async () => {
    rig = await openRig({ collection: { write } });
    await rig.enter({ phase: 'dual-write' });
    rig.databases.target.stop();
    const receipt = await rig.router.collection('customers').put(ada);
    expect(receipt.token).not.toBe('');
    await rig.router.settle(500);
    expect(await waiting()).toBe(1);
    const [entry] = await rig.context.stores.source.queue.claim(10, 'test', 1_000);
    expect(entry).toMatchObject({ key: ['1'], kind: 'change' });
    rig.databases.target.start();
  });

  test('never waits for a hung follower longer than its budget, nor for the next ones', async () => {
    rig = await openRig({
      collection: { write, latencyBudgetMs: 40 },
      router: { followerTimeoutMs: 2_000, breaker: { failures: 2, openMs: 10_000 } },
    });
    await rig.enter({ phase: 'dual-write' });
    const free = rig.obstruct('target', 'door');
    const customers = rig.router.collection('customers');
    for (let at = 0; at < 6; at++)
      expect(await elapsed(() => customers.put({ ...ada, id: at }))).toBeLessThan(1_500);
    await rig.router.settle(4_000);
    if (write !== 'deferred') {
      expect(rig.of('breaker').map(({ state }) => state)).toContain('open');
      await customers.put({ ...ada, id: 9 });
      // Nothing was sent, so nothing was waited for.
      expect(rig.of('follower-write').at(-1)).toMatchObject({ outcome: 'queued', ms: 0 });
    }
    expect(await waiting()).toBeGreaterThanOrEqual(6);
    free();
  });

  test('that the authority refuses throws, writes nowhere and leaves nothing in the queue', async () => {
    rig = await openRig({ collection: { write } });
    await rig.enter({ phase: 'dual-write' });
    rig.obstruct('source', 'records/put-root', unavailable);
    await expect(rig.router.collection('customers').put(ada)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    rig.databases.source.hook = null;
    await rig.router.settle(500);
    expect(await rig.stored('source', '1')).toBeNull();
    expect(await rig.stored('target', '1')).toBeNull();
    expect(await waiting()).toBe(0);
    expect(rig.of('write')).toMatchObject([{ outcome: 'rejected' }]);
  });

  test('whose COMMIT got no answer is unknown to the caller, and the queue settles the follower', async () => {
    rig = await openRig({ collection: { write } });
    await rig.enter({ phase: 'dual-write' });
    rig.databases.source.hook = {
      request: async () => {},
      reply: async () => {},
      row: async () => {},
      async commit(_step, server) {
        server.commit();
        throw unavailable;
      },
    };
    await expect(rig.router.collection('customers').put(ada)).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
    });
    rig.databases.source.hook = null;
    expect(await rig.stored('source', '1')).not.toBeNull();
    expect(await waiting()).toBe(1);
    expect(rig.of('write')).toMatchObject([{ outcome: 'unknown' }]);
  });

  test('whose transform throws succeeds, and the change waits for the worker’s verdict', async () => {
    rig = await openRig({
      collection: {
        write,
        forward: () => {
          throw new Error('no mapping');
        },
      },
    });
    await rig.enter({ phase: 'dual-write' });
    await rig.router.collection('customers').put(ada);
    await rig.router.settle(500);
    expect(await waiting()).toBe(1);
    expect(await rig.stored('target', '1')).toBeNull();
    expect(rig.of('breaker')).toEqual([]);
  });

  test('that finds nothing to change gives no token and queues nothing', async () => {
    rig = await openRig({ collection: { write } });
    await rig.enter({ phase: 'dual-write' });
    const customers = rig.router.collection('customers');
    expect(await customers.update('7', { name: 'x' })).toMatchObject({ token: '', record: null });
    expect(await customers.delete('7')).toMatchObject({ token: '', record: null });
    expect(await waiting()).toBe(0);
  });
});

test('a parallel write whose record the authority completed sends the stored record, not the sent one', async () => {
  rig = await openRig({ collection: { write: 'parallel' } });
  await rig.enter({ phase: 'dual-write' });
  const customers = rig.router.collection('customers');
  await customers.put(ada);
  await customers.put({ id: 1, name: 'Ada Lovelace' });
  await rig.router.settle(500);
  expect(await rig.stored('target', '1')).toMatchObject({
    full_name: 'Ada Lovelace',
    addresses: [{ city: 'Łódź' }],
  });
  expect(await waiting()).toBe(0);
});

test('a parallel write of which the authority dropped a child row does not leave it on the follower', async () => {
  rig = await openRig({
    collection: {
      write: 'parallel',
      // What is sent has two addresses; the stored record, which has a city of its own, has one.
      forward: ({ id, name, city }) => ({
        id: id ?? null,
        full_name: name ?? null,
        addresses: (city === 'both' ? ['2', '1'] : ['1']).map((position) => ({
          customer_id: id as string,
          position,
          city: 'home',
        })),
      }),
    },
  });
  await rig.enter({ phase: 'dual-write' });
  const { records } = rig.context.stores.source;
  const write = records.write.bind(records);
  Object.assign(records, {
    write: async (wanted: Parameters<typeof write>[0]) => {
      // As a trigger in the authority would.
      const written = await write({ ...wanted, record: { ...wanted.record, city: 'one' } });
      return written;
    },
  });
  await rig.router.collection('customers').put({ id: 1, name: 'Ada', city: 'both' });
  await rig.router.settle(500);
  expect((await rig.stored('target', '1'))?.['addresses']).toHaveLength(1);
});

test('a breaker whose probe the authority refused lets the next write probe', async () => {
  rig = await openRig({
    collection: { write: 'parallel' },
    router: { breaker: { failures: 1, openMs: 20 } },
  });
  await rig.enter({ phase: 'dual-write' });
  const customers = rig.router.collection('customers');
  rig.databases.target.stop();
  await customers.put(ada);
  await rig.router.settle(500);
  rig.databases.target.start();
  await rig.context.runtime.clock.sleep(30);
  rig.obstruct('source', 'records/put-root', unavailable);
  await expect(customers.put(ada)).rejects.toThrow();
  rig.databases.source.hook = null;
  await until(async () => {
    await customers.put(ada);
    await rig.router.settle(500);
    return rig.of('breaker').at(-1)?.state === 'closed';
  });
  expect(await rig.stored('target', '1')).not.toBeNull();
});

test('concurrent writers of one key leave both stores equal, whatever the order of commits', async () => {
  for (const write of ['serial', 'parallel'] as const) {
    rig = await openRig({ collection: { write, latencyBudgetMs: 1_000 } });
    await rig.enter({ phase: 'dual-write' });
    const customers = rig.router.collection('customers');
    rig.obstruct('target', 'door', 3);
    await Promise.all(
      Array.from({ length: 40 }, (_, at) =>
        at % 7 === 6 ? customers.delete(at % 3) : customers.put({ id: at % 3, name: `v${at}` }),
      ),
    );
    await rig.router.settle(2_000);
    for (const id of ['0', '1', '2']) {
      const source = await rig.stored('source', id);
      const target = await rig.stored('target', id);
      expect(target?.['full_name'] ?? null, `${write} ${id}`).toBe(source?.['name'] ?? null);
    }
    await rig.close();
  }
  rig = await openRig();
});

describe('a fail-closed write', () => {
  const closed = { failureMode: 'fail-closed' } as const;

  test('stands on both stores when it resolves, and leaves no entry', async () => {
    rig = await openRig({ collection: closed });
    await rig.enter({ phase: 'dual-write' });
    await rig.router.collection('customers').put(ada);
    expect(await rig.stored('target', '1')).not.toBeNull();
    expect(await waiting()).toBe(0);
  });

  test.each([
    ['is down', unavailable],
    ['refuses it', new ChangeoverError('STORE_REJECTED', 'A check failed.')],
  ])('throws when the follower %s, and the authority is unchanged', async (_why, error) => {
    rig = await openRig({ collection: closed });
    await rig.enter({ phase: 'dual-write' });
    rig.obstruct('target', 'door', error);
    await expect(rig.router.collection('customers').put(ada)).rejects.toMatchObject({
      code: 'FOLLOWER_FAILED',
    });
    expect(await rig.stored('source', '1')).toBeNull();
    rig.databases.target.hook = null;
    expect(await rig.stored('target', '1')).toBeNull();
  });

  test('throws within its deadline when the follower hangs', async () => {
    rig = await openRig({ collection: closed, router: { followerTimeoutMs: 50 } });
    await rig.enter({ phase: 'dual-write' });
    const free = rig.obstruct('target', 'door');
    const ms = await elapsed(() =>
      expect(rig.router.collection('customers').put(ada)).rejects.toMatchObject({
        code: 'FOLLOWER_FAILED',
      }),
    );
    expect(ms).toBeLessThan(400);
    expect(await rig.stored('source', '1')).toBeNull();
    free();
  });

  test('is refused without a transaction while the follower is known not to answer', async () => {
    rig = await openRig({
      collection: closed,
      router: { followerTimeoutMs: 50, breaker: { failures: 2, openMs: 200 } },
    });
    await rig.enter({ phase: 'dual-write' });
    const customers = rig.router.collection('customers');
    const free = rig.obstruct('target', 'door');
    const failed = { code: 'FOLLOWER_FAILED' };
    for (let turn = 0; turn < 2; turn++)
      await expect(customers.put(ada)).rejects.toMatchObject(failed);
    await rig.router.settle(500);
    const before = await waiting();
    const ms = await elapsed(() => expect(customers.put(ada)).rejects.toMatchObject(failed));
    expect(ms).toBeLessThan(25);
    expect(await waiting()).toBe(before);
    free();
    await until(() =>
      customers.put(ada).then(
        () => true,
        () => false,
      ),
    );
    expect(await rig.stored('target', '1')).not.toBeNull();
  });

  test('keeps its intent when the authority’s COMMIT is unknown after the follower has it', async () => {
    rig = await openRig({ collection: closed });
    await rig.enter({ phase: 'dual-write' });
    rig.databases.source.hook = {
      request: async () => {},
      reply: async () => {},
      row: async () => {},
      async commit(step, server) {
        // The first commits are those of the intent; the write is the transaction that has met the follower.
        const target = await rig.stored('target', '1');
        if (target === null) return server.commit();
        server.rollback();
        throw new ChangeoverError('STORE_UNAVAILABLE', `Lost in transaction ${step.transaction}.`);
      },
    };
    await expect(rig.router.collection('customers').put(ada)).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
    });
    rig.databases.source.hook = null;
    await rig.router.settle(500);
    expect(await rig.stored('source', '1')).toBeNull();
    expect(await rig.stored('target', '1')).not.toBeNull();
    // Due at once: the worker re-reads the authority, where the record is absent, and repairs the follower.
    const [entry] = await rig.context.stores.source.queue.claim(10, 'test', 1_000);
    expect(entry).toMatchObject({ kind: 'intent', key: ['1'] });
  });

  test('is not made when a worker has taken its intent for lost', async () => {
    rig = await openRig({ collection: closed });
    await rig.enter({ phase: 'dual-write' });
    const { queue } = rig.context.stores.source;
    const free = rig.obstruct('source', 'records/lock-key');
    const write = rig.router.collection('customers').put(ada);
    const refused = expect(write).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    await until(async () => (await queue.depth()).waiting === 1);
    const ids = [1n, 2n, 3n];
    await queue.retryLater(ids, 0, 'test', false);
    expect(await queue.claim(10, 'healer', 1_000)).toHaveLength(1);
    free();
    await refused;
    expect(await rig.stored('source', '1')).toBeNull();
    expect(await rig.stored('target', '1')).toBeNull();
  });
});

test('a receipt’s record that cannot be translated does not make a committed write look refused', async () => {
  rig = await openRig({
    collection: {
      backward: () => {
        throw new Error('no way back');
      },
    },
  });
  await rig.enter({ phase: 'write-switch', epoch: 2 });
  const receipt = await rig.router.collection('customers').put(ada);
  expect(await rig.stored('target', '1')).not.toBeNull();
  expect(receipt.token).not.toBe('');
  expect(() => receipt.record).toThrow(/TRANSFORM_FAILED/);
  expect(rig.of('write')).toMatchObject([{ outcome: 'committed' }]);
});
