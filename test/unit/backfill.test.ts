import { afterEach, describe, expect, test, vi } from 'vitest';
import { type BackfillOptions, runBackfill } from '../../src/backfill/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import { createRouter } from '../../src/router/index.ts';
import type { Door, MigrationStore } from '../../src/store/index.ts';
import { itemsCollection, memoryFixture, seed } from '../support/engine-fixture.ts';

type Fixture = Awaited<ReturnType<typeof memoryFixture>>;
const open: Fixture[] = [];
afterEach(async () => {
  for (const fixture of open.splice(0)) await fixture.close();
});

async function fixtureWith(
  rows: number,
  ...given: Parameters<typeof memoryFixture>
): Promise<Fixture> {
  const fixture = await memoryFixture(...given);
  open.push(fixture);
  await seed(fixture.foreign.source.put, rows);
  return fixture;
}
const never = new AbortController().signal;
const run = (
  { context, state }: Pick<Fixture, 'context' | 'state'>,
  options: Partial<BackfillOptions> = {},
  signal: AbortSignal = never,
) => runBackfill(context, 'items', { currentState: state, ...options }, signal);

/** The context with some functions of the target's door replaced. */
function withDoor(
  fixture: Fixture,
  replace: (door: Door) => Partial<Door>,
): Pick<Fixture, 'context' | 'state'> & { readonly context: MigrationContext } {
  const { target } = fixture.context.stores;
  const door: Door = { ...target.door, ...replace(target.door) };
  const store: MigrationStore = { ...target, door };
  const stores = { ...fixture.context.stores, target: store };
  return { context: { ...fixture.context, stores }, state: fixture.state };
}
const small = { chunkRowsInitial: 50, chunkRowsMax: 50 } as const;

describe('a backfill', () => {
  test('copies every record and says so honestly', async () => {
    const fixture = await fixtureWith(1_234);
    const shown: number[] = [];
    const result = await run(fixture, {
      ...small,
      onProgress: ({ estimatedRatio }) => shown.push(estimatedRatio ?? 0),
    });
    expect(result).toMatchObject({ outcome: 'finished', rowsRead: 1_234, rowsInserted: 1_234 });
    expect(await fixture.all('target')).toEqual(await fixture.all('source'));
    expect(Math.max(...shown.slice(0, -1))).toBeLessThan(1);
    expect(shown.at(-1)).toBe(1);
    const checkpoint = await fixture.context.control.checkpoint('fixture', 'items');
    expect(checkpoint).toMatchObject({ rowsRead: 1_234, doneUntil: '["001234"]' });
    expect(checkpoint?.finishedAtMs).not.toBeNull();
  });

  test('says whether it converges: not while more changes come to wait than rows are copied', async () => {
    const fixture = await fixtureWith(1_500);
    const { queue } = fixture.context.stores.source;
    const seen = () => fixture.events.filter((event) => event.type === 'backfill');
    const known = (holds: (convergence: number) => boolean): boolean =>
      seen().some((event) => holds(event.convergencePerSecond ?? Number.NaN));
    const running = run(fixture, { ...small, rowsPerSecondMax: 300 });
    await vi.waitUntil(() => known((rate) => rate > 0), { timeout: 4_000 });
    const key = (index: number) => ({ collection: 'items', key: [`x${index}`] }) as const;
    const waiting = { kind: 'change', graceMs: 0 } as const;
    await queue.enqueue(
      Array.from({ length: 5_000 }, (_, index) => ({ ...key(index), ...waiting })),
    );
    await vi.waitUntil(() => known((rate) => rate < 0), { timeout: 4_000 });
    expect(await running).toMatchObject({ outcome: 'finished' });
    for (const { convergencePerSecond, estimatedRemainingMs, finished } of seen().slice(0, -1)) {
      expect(finished).toBe(false);
      const converges = convergencePerSecond !== null && convergencePerSecond > 0;
      expect(estimatedRemainingMs !== null).toBe(converges);
    }
    expect(seen().at(-1)).toMatchObject({ finished: true, estimatedRemainingMs: 0 });
    const saved = await fixture.context.control.checkpoint('fixture', 'items');
    expect(saved?.growth?.waiting).toBe(5_000);
  });

  test('an empty source is finished at once, and a finished one is not copied again', async () => {
    const fixture = await fixtureWith(0);
    expect(await run(fixture)).toMatchObject({ outcome: 'finished', rowsRead: 0 });
    await fixture.foreign.source.put(['1'], { id: '1', name: 'late' });
    expect(await run(fixture)).toMatchObject({ outcome: 'finished', rowsRead: 0 });
    expect((await fixture.all('target')).size).toBe(0);
  });

  test('a new generation begins anew', async () => {
    const fixture = await fixtureWith(10);
    await run(fixture);
    await fixture.setState({ generation: 2 });
    expect(await run(fixture)).toMatchObject({ rowsRead: 10, rowsInserted: 0 });
  });

  test('is refused in a phase in which nobody follows', async () => {
    const fixture = await fixtureWith(1);
    await fixture.setState({ phase: 'shadow-write' });
    await expect(run(fixture)).rejects.toMatchObject({ code: 'TRANSITION_REFUSED' });
  });

  test('keys written after it froze the last key are left to live writes', async () => {
    const fixture = await fixtureWith(100);
    let late = false;
    const context = withDoor(fixture, (door) => ({
      async beginChunk(...given) {
        if (!late) await fixture.foreign.source.put(['999999'], { id: '999999', name: 'late' });
        late = true;
        return door.beginChunk(...given);
      },
    }));
    expect(await run(context)).toMatchObject({ rowsRead: 100 });
    expect((await fixture.all('target')).has('["999999"]')).toBe(false);
  });

  test('live writes and deletes during the copying: both stores are equal in the end', async () => {
    const fixture = await fixtureWith(2_000);
    const router = await createRouter(fixture.context, { graceMs: 50 });
    const items = router.collection('items');
    let done = false;
    let writes = 0;
    const writer = async (offset: number): Promise<void> => {
      for (let turn = 0; !done; turn++) {
        const id = String(1 + ((turn * 37 + offset * 501) % 2_100)).padStart(6, '0');
        if (turn % 3 === 0) await items.delete([id]);
        else await items.put({ id, name: `live ${offset}.${turn}` });
        writes += 1;
        await fixture.context.runtime.clock.yield();
      }
    };
    const writers = [0, 1, 2, 3].map(writer);
    const slow = withDoor(fixture, (door) => ({
      async writeChunk(...given) {
        await fixture.context.runtime.clock.sleep(5);
        return door.writeChunk(...given);
      },
    }));
    const result = await run(slow, { ...small, concurrency: 3 });
    done = true;
    await Promise.all(writers);
    await router.settle(2_000);
    await drainUntilEmpty(fixture.context, fixture.state(), applierDefaults, 5_000, never);
    await router.close();
    expect(result.outcome).toBe('finished');
    expect(writes).toBeGreaterThan(30);
    expect(await fixture.all('target')).toEqual(await fixture.all('source'));
  });

  test('three rows of 100 000 whose transform throws become dead letters, all others arrive', async () => {
    const bad = new Set(['000007', '050000', '100000']);
    const collection = itemsCollection({
      identity: false,
      forward(record) {
        if (bad.has(record['id'] as string)) throw new Error('no postcode');
        return { id: record['id'] ?? null, label: record['name'] ?? null };
      },
    });
    const fixture = await fixtureWith(100_000, collection);
    const result = await run(fixture);
    expect(result).toMatchObject({ outcome: 'finished', rowsRead: 100_000, rowsDead: 3 });
    expect((await fixture.all('target')).size).toBe(99_997);
    const letters = await fixture.context.stores.source.queue.deadLetters(10);
    expect(new Set(letters.map(({ key }) => key[0]))).toEqual(bad);
    expect(letters[0]?.reason).toContain('no postcode');
  }, 60_000);

  test('rows that the target refuses become dead letters, found by halving', async () => {
    const bad = new Set(['name 13', 'name 400', 'name 401']);
    const fixture = await fixtureWith(1_000, itemsCollection(), {
      targetConstraints: {
        items: (row) => (bad.has((row as { name: string }).name) ? 'check "name"' : null),
      },
    });
    const result = await run(fixture, { chunkRowsInitial: 300, chunkRowsMax: 300 });
    expect(result).toMatchObject({ outcome: 'finished', rowsRead: 1_000, rowsDead: 3 });
    expect((await fixture.all('target')).size).toBe(997);
    expect((await fixture.context.stores.source.queue.depth()).dead).toBe(3);
  });

  test('a transform that changes the key is a dead letter, one that answers null leaves the row out', async () => {
    const collection = itemsCollection({
      identity: false,
      forward(record) {
        if (record['id'] === '000001') return { ...record, id: '77' };
        return record['id'] === '000002' ? null : record;
      },
    });
    const fixture = await fixtureWith(3, collection);
    expect(await run(fixture)).toMatchObject({ rowsRead: 3, rowsInserted: 1, rowsDead: 1 });
    expect([...(await fixture.all('target')).keys()]).toEqual(['["000003"]']);
  });

  test('stops when nearly every row is dead, and floods nobody with dead letters', async () => {
    const collection = itemsCollection({
      identity: false,
      forward: () => {
        throw new Error('a bug');
      },
    });
    const fixture = await fixtureWith(3_000, collection);
    expect(await run(fixture)).toMatchObject({ outcome: 'stopped', reason: 'dead-limit' });
    expect((await fixture.context.stores.source.queue.depth()).dead).toBeLessThan(200);
  });

  for (const [change, reason] of [
    [{ workHeld: true }, 'held'],
    [{ phase: 'dual-write' }, 'state-changed'],
    [{ epoch: 2 }, 'state-changed'],
    [{ generation: 2 }, 'state-changed'],
  ] as const) {
    test(`stops within a chunk when the state becomes ${JSON.stringify(change)}, and goes on from there`, async () => {
      const fixture = await fixtureWith(500);
      const before = fixture.state();
      let chunks = 0;
      const context = withDoor(fixture, (door) => ({
        async writeChunk(...given) {
          chunks += 1;
          if (chunks === 3) await fixture.setState(change);
          return door.writeChunk(...given);
        },
      }));
      const stopped = await run(context, small);
      expect(stopped).toMatchObject({ outcome: 'stopped', reason });
      expect(stopped.rowsRead).toBeLessThan(500);
      await fixture.setState(before);
      expect(await run(fixture, small)).toMatchObject({ outcome: 'finished' });
      expect(await fixture.all('target')).toEqual(await fixture.all('source'));
    });
  }

  test('an abort ends it with nothing under way', async () => {
    const fixture = await fixtureWith(500);
    const abort = new AbortController();
    let underWay = 0;
    const context = withDoor(fixture, (door) => ({
      async writeChunk(...given) {
        underWay += 1;
        abort.abort(new Error('enough'));
        await fixture.context.runtime.clock.sleep(20);
        const written = await door.writeChunk(...given);
        underWay -= 1;
        return written;
      },
    }));
    expect(await run(context, small, abort.signal)).toMatchObject({ reason: 'aborted' });
    expect(underWay).toBe(0);
  });

  test('a shut door stops it', async () => {
    const fixture = await fixtureWith(100);
    const { guard } = fixture.context.stores.target;
    const now = await guard.read();
    await guard.change(now, { ...now, role: 'sealed' }, 1_000);
    expect(await run(fixture)).toMatchObject({ outcome: 'stopped', reason: 'door-shut' });
  });

  test('contention, unknown outcomes and a target that is away for a while are outwaited', async () => {
    const fixture = await fixtureWith(600);
    let calls = 0;
    const context = withDoor(fixture, (door) => ({
      async writeChunk(...given) {
        calls += 1;
        if (calls > 9) return door.writeChunk(...given);
        if (calls % 4 === 1) throw new ChangeoverError('STORE_CONFLICT', 'A deadlock.');
        if (calls % 4 === 2) throw new ChangeoverError('STORE_UNAVAILABLE', 'Gone.');
        const written = await door.writeChunk(...given);
        if (calls % 4 === 3) throw new ChangeoverError('OUTCOME_UNKNOWN', 'No answer.');
        return written;
      },
    }));
    expect(await run(context, small)).toMatchObject({ outcome: 'finished', rowsRead: 600 });
    expect(await fixture.all('target')).toEqual(await fixture.all('source'));
  });

  test('a failure that does not pass is thrown after the limit, and the checkpoint stays', async () => {
    const fixture = await fixtureWith(200);
    let chunks = 0;
    const context = withDoor(fixture, (door) => ({
      async writeChunk(...given) {
        chunks += 1;
        if (chunks > 2) throw new ChangeoverError('STORE_UNAVAILABLE', 'Gone for good.');
        return door.writeChunk(...given);
      },
    }));
    await expect(
      run(context, { ...small, giveUpAfterMs: 300, concurrency: 1 }),
    ).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const checkpoint = await fixture.context.control.checkpoint('fixture', 'items');
    expect(checkpoint?.rowsRead).toBe(100);
    expect(await run(fixture, small)).toMatchObject({ rowsRead: 200, rowsInserted: 200 });
  });

  test('a refusal that is about no single row is thrown, nobody dies', async () => {
    const fixture = await fixtureWith(20);
    const context = withDoor(fixture, () => ({
      async beginChunk() {
        throw new ChangeoverError('STORE_REJECTED', 'permission denied for table chunk.');
      },
    }));
    await expect(run(context)).rejects.toMatchObject({ code: 'STORE_REJECTED' });
    expect((await fixture.context.stores.source.queue.depth()).dead).toBe(0);
  });

  test('a control store that is lost meanwhile delays only the end', async () => {
    const fixture = await fixtureWith(300);
    const { control } = fixture.context;
    let saves = 0;
    const context: MigrationContext = {
      ...fixture.context,
      control: {
        ...control,
        async saveCheckpoint(...given) {
          saves += 1;
          if (saves > 1 && saves < 6) throw new ChangeoverError('CONTROL_UNAVAILABLE', 'Gone.');
          return control.saveCheckpoint(...given);
        },
      },
    };
    const result = await run({ context, state: fixture.state }, small);
    expect(result).toMatchObject({ outcome: 'finished', rowsRead: 300 });
    const checkpoint = await control.checkpoint('fixture', 'items');
    expect(checkpoint?.finishedAtMs).not.toBeNull();
  });

  test('two workers at once: both end, and nothing is lost', async () => {
    const fixture = await fixtureWith(1_500);
    const slow = withDoor(fixture, (door) => ({
      async writeChunk(...given) {
        await fixture.context.runtime.clock.sleep(3);
        return door.writeChunk(...given);
      },
    }));
    const other = { ...slow, context: { ...slow.context, instance: 'worker-2' } };
    const results = await Promise.all([
      run(slow, { ...small, takeOverAfterMs: 200 }),
      run(other, { ...small, takeOverAfterMs: 200 }),
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual(['finished', 'finished']);
    expect(await fixture.all('target')).toEqual(await fixture.all('source'));
  });

  test('a wide chunk is cut at the byte limit', async () => {
    const fixture = await fixtureWith(0);
    const text = 'x'.repeat(10_000);
    for (let row = 0; row < 200; row++)
      await fixture.foreign.source.put([String(row)], { id: String(row), name: text });
    let most = 0;
    const context = withDoor(fixture, (door) => ({
      async writeChunk(ticket, records, doorContext) {
        most = Math.max(most, records.length);
        return door.writeChunk(ticket, records, doorContext);
      },
    }));
    expect(await run(context, { chunkBytesMax: 100_000 })).toMatchObject({ rowsInserted: 200 });
    expect(most).toBeLessThanOrEqual(64);
  });

  test('a throttle holds it with a reason and lets it go', async () => {
    const fixture = await fixtureWith(100);
    const { clock } = fixture.context.runtime;
    const begun = clock.monotonic();
    const busy = {
      name: 'live latency',
      ask: () =>
        clock.monotonic() - begun < 300 ? { reason: 'live latency 80 ms' } : { ok: true as const },
    };
    await run(fixture, { checks: [busy] });
    expect(clock.monotonic() - begun).toBeGreaterThanOrEqual(300);
    const said = fixture.events.flatMap((event) =>
      event.type === 'throttle' ? [event.reason] : [],
    );
    expect(said).toEqual(['live latency 80 ms', null]);
  });
});
