import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { expectedGuard } from '../../src/cutover/index.ts';
import { tendGap } from '../../src/rescue/index.ts';
import {
  bring,
  by,
  type MemoryMigration,
  memoryMigration,
  router,
} from '../support/memory-migration.ts';
import {
  apply,
  collect,
  gapOf,
  held,
  never,
  recordsOf,
  rescue,
  statuses,
  switchToTarget,
  work,
  write,
} from '../support/rescue-rig.ts';

let migration: MemoryMigration;
let context: MigrationContext;
let other: MigrationContext;

/** Before the switch both stores hold a and b; the target then takes writes that the source does not get. */
beforeEach(async () => {
  migration = memoryMigration();
  context = await migration.open('operator');
  other = await migration.open('successor');
  await bring(context, 'read-switch');
  await write(context, 'source', 'a', 'old a');
  await write(context, 'source', 'b', 'old b');
  await write(context, 'source', 'c', 'old c');
  await switchToTarget(context);
  await write(context, 'target', 'a', 'lost a');
  await write(context, 'target', 'b', null);
  await write(context, 'target', 'd', 'lost d');
});

const load = () => other.control.load('shop');
const guards = async () => ({
  source: await other.stores.source.guard.read(),
  target: await other.stores.target.guard.read(),
});
async function guardsAsExpected(): Promise<void> {
  const state = await load();
  expect(await guards()).toEqual({
    source: expectedGuard(state, 'source'),
    target: expectedGuard(state, 'target'),
  });
}

describe('a rescue', () => {
  test('goes back although the reverse direction is not drained, and leaves the target sealed', async () => {
    const done = await rescue(context);
    expect(done).toMatchObject({ outcome: 'committed', settled: true });
    expect(await load()).toMatchObject({
      phase: 'read-switch',
      epoch: 3,
      cutover: null,
      gap: { rescue: done.attempt, epoch: 2, stage: 'uncollected' },
    });
    expect(await guards()).toEqual({
      source: { role: 'authority', epoch: 3, attempt: null },
      target: { role: 'sealed', epoch: 3, attempt: null },
    });
    for (const pair of migration.guardHistory)
      expect([pair.source?.role, pair.target?.role]).not.toEqual(['authority', 'authority']);
    await write(context, 'source', 'e', 'new e');
    await expect(migration.foreignPut('target', 'x')).rejects.toThrow();
  });

  test('lets nothing into the target until the gap is collected', async () => {
    await rescue(context);
    await write(context, 'source', 'a', 'new a');
    await work(context);
    expect(await held(context, 'target', 'a')).toBe('lost a');
    await collect(other);
    expect(await held(context, 'target', 'a')).toBe('lost a');
    // What the sealed target refused is tried again after a few milliseconds.
    await expect
      .poll(async () => {
        await work(context);
        return held(context, 'target', 'a');
      })
      .toBe('new a');
  });

  test('is refused where the source is the authority, with a gap open, and to phases without a follower', async () => {
    await expect(createController(context).rescue({ ...by, to: 'off' })).rejects.toMatchObject({
      code: 'TRANSITION_REFUSED',
    });
    await rescue(context);
    await expect(rescue(context)).rejects.toMatchObject({ code: 'TRANSITION_REFUSED' });
  });

  test('waits for every running router, and not for one whose lease is over', async () => {
    await router(context, 'deaf', 0);
    await expect(rescue(context)).rejects.toMatchObject({ code: 'FLEET_NOT_ACKNOWLEDGED' });
    expect(await load()).toMatchObject({ phase: 'write-switch', epoch: 2, formatVersion: 1 });
    await guardsAsExpected();
    await router(context, 'deaf', 0, 1);
    await context.runtime.clock.sleep(5);
    expect(await rescue(context)).toMatchObject({ outcome: 'committed' });
  });

  test('from a target that does not answer says so, and goes on when it is told to', async () => {
    migration.databases.target.stop();
    await expect(rescue(context)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await load()).toMatchObject({ phase: 'write-switch', cutover: null });
    const done = await rescue(context, true);
    expect(done.outcome).toBe('committed');
    await write(context, 'source', 'e', 'new e');
    await expect(tendGap(other, never)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    migration.databases.target.start();
    // A process that slept all the while.
    await other.stores.target.records.write({
      collection: 'items',
      key: ['late'],
      action: 'put',
      record: { id: 'late', name: 'stale' },
      epoch: 2,
      journal: 'change',
      graceMs: 0,
      timeoutMs: 1_000,
    });
    await tendGap(other, never);
    expect(Object.keys(await statuses(other)).sort()).toEqual(['a', 'b', 'd', 'late']);
    await guardsAsExpected();
    await expect(
      other.stores.target.records.write({
        collection: 'items',
        key: ['later'],
        action: 'put',
        record: { id: 'later', name: 'stale' },
        epoch: 2,
        journal: 'change',
        graceMs: 0,
        timeoutMs: 1_000,
      }),
    ).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
  });
});

describe('a rescue whose target dies half-way', () => {
  const dying = (step: string) =>
    createController(context, {
      cutover: { undoMs: 300, lockTimeoutMs: 50 },
      onStep: (name) => {
        if (name === step) migration.databases.target.stop();
      },
    }).rescue(by);

  test.each(['arm', 'seal', 'flip'])('before %s, is finished without it', async (step) => {
    await expect(dying(step)).rejects.toMatchObject({ name: 'ChangeoverError' });
    expect(await load()).toMatchObject({ phase: 'write-switch', cutover: { status: 'aborting' } });
    await expect(rescue(other)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const done = await rescue(other, true);
    expect(done.outcome).toBe('committed');
    await write(other, 'source', 'a', 'new a');
    migration.databases.target.start();
    await tendGap(other, never);
    await guardsAsExpected();
    expect(await statuses(other)).toEqual({ a: 'open', b: 'open', d: 'open' });
    expect((await apply(other)).counts).toMatchObject({ put: 1, delete: 1, conflict: 1 });
  });
});

test('a record of the gap that the source has already is none', async () => {
  const entries = (await context.stores.target.queue.entries?.(null, 100)) ?? [];
  const [first] = entries;
  await context.stores.source.door.apply(
    [
      {
        collection: 'items',
        key: ['a'],
        version: { epoch: 2, sequence: first?.id ?? 0n },
        value: { id: 'a', name: 'lost a' },
        origin: 'retry',
      },
    ],
    { epoch: 2, timeoutMs: 1_000 },
  );
  await rescue(context);
  await write(context, 'source', 'a', 'new a');
  await collect(context);
  expect(Object.keys(await statuses(context)).sort()).toEqual(['b', 'd']);
});

describe('the gap', () => {
  test('holds what the queue of the target names, dead and claimed ones, with what both stores say', async () => {
    const [letter] = await context.stores.target.queue.claim(1, 'somebody', 60_000);
    await context.stores.target.queue.bury([letter?.id ?? 0n], 'refused');
    await rescue(context);
    await write(context, 'source', 'a', 'new a');
    const report = await collect(other);
    expect(report.outcome).toBe('collected');
    const records = await recordsOf(context);
    expect(records).toMatchObject([
      { key: '["a"]', target: { name: 'lost a' }, source: { name: 'new a' }, touched: true },
      { key: '["b"]', target: null, source: { name: 'old b' }, touched: false },
      { key: '["d"]', target: { name: 'lost d' }, source: null, status: 'open' },
    ]);
    await guardsAsExpected();
    expect(await context.stores.target.queue.depth()).toMatchObject({ waiting: 0, dead: 0 });
    expect((await collect(context)).outcome).toBe('before');
  });

  test('is applied where the source was not touched, and nowhere else', async () => {
    const { attempt } = await rescue(context);
    await write(context, 'source', 'a', 'new a');
    await collect(context);
    expect((await apply(context, 'preview')).counts).toMatchObject({
      put: 1,
      delete: 1,
      conflict: 1,
    });
    expect(await held(context, 'source', 'd')).toBeNull();
    const report = await apply(context);
    expect(report.counts).toMatchObject({ put: 1, delete: 1, conflict: 1, refused: 0, left: 0 });
    expect(await statuses(context)).toEqual({ a: 'conflict', b: 'applied', d: 'applied' });
    expect(await held(context, 'source', 'a')).toBe('new a');
    expect(await held(context, 'source', 'b')).toBeNull();
    expect(await held(context, 'source', 'd')).toBe('lost d');
    await work(context);
    expect(await held(context, 'target', 'a')).toBe('new a');
    expect(await held(context, 'target', 'd')).toBe('lost d');
    const resolved = await gapOf(context).resolve({
      ...by,
      take: 'target',
      which: { collection: 'items', key: ['a'] },
      signal: never,
    });
    expect(resolved).toMatchObject({ resolved: 1, leftCount: 0 });
    expect(resolved.state.gap).toBeUndefined();
    await work(context);
    for (const side of ['source', 'target'] as const)
      expect(await held(context, side, 'a')).toBe('lost a');
    expect((await load()).formatVersion).toBe(1);
    expect(await statuses(context, attempt)).toMatchObject({ a: 'taken-target' });
  });

  test('does not touch a record that the source wrote and the target has already got again', async () => {
    await rescue(context);
    await collect(context);
    await write(context, 'source', 'a', 'new a');
    await work(context);
    expect(await held(context, 'target', 'a')).toBe('new a');
    expect((await apply(context)).counts).toMatchObject({ conflict: 1 });
    expect(await held(context, 'source', 'a')).toBe('new a');
  });

  test('does not touch a record whose source was written there and back', async () => {
    await rescue(context);
    await collect(context);
    await write(context, 'source', 'a', 'other');
    await write(context, 'source', 'a', 'old a');
    await work(context);
    expect((await apply(context)).counts).toMatchObject({ conflict: 1 });
    expect(await held(context, 'source', 'a')).toBe('old a');
  });

  test('that is empty closes by itself', async () => {
    await context.stores.target.queue.complete(
      (await context.stores.target.queue.entries?.(null, 100))?.map(({ id }) => id) ?? [],
    );
    await rescue(context);
    await tendGap(other, never);
    expect((await load()).gap).toBeUndefined();
    await guardsAsExpected();
  });

  test('keeps the migration from going on', async () => {
    const controller = createController(context);
    await rescue(context);
    const guarded = migration.guardHistory.length;
    for (const step of [
      () => controller.advance(by),
      () => controller.dial(10, undefined, by),
      () => controller.drill(by),
      () => controller.rollback({ ...by, to: 'off' }),
    ])
      await expect(step()).rejects.toMatchObject({ code: 'TRANSITION_REFUSED' });
    expect((await controller.status()).next).toBeNull();
    expect(migration.guardHistory.length).toBe(guarded);
    expect((await load()).phase).toBe('read-switch');
  });

  test('whose queue is lost is found by comparing everything', async () => {
    await write(context, 'target', 'c', 'lost c');
    const entries = (await context.stores.target.queue.entries?.(null, 100)) ?? [];
    await context.stores.target.queue.complete(entries.map(({ id }) => id));
    await rescue(context);
    await write(context, 'source', 'a', 'new a');
    await collect(context, true);
    expect(await statuses(context)).toEqual({ a: 'open', b: 'open', c: 'open', d: 'open' });
    expect((await apply(context)).counts).toMatchObject({ put: 2, delete: 1, conflict: 1 });
    expect(await held(context, 'source', 'c')).toBe('lost c');
  });

  test('of a target that never comes back can be given up', async () => {
    migration.databases.target.stop();
    await rescue(context, true);
    await gapOf(context).giveUp({ ...by, reason: 'the disk is gone' });
    expect((await load()).gap).toBeUndefined();
    const [line] = await context.control.history('shop', 1);
    expect(line).toMatchObject({ action: 'gap-closed', detail: { givenUp: true } });
    migration.databases.target.start();
  });
});

test('a gap that a worker collects while somebody gives it up is not given up', async () => {
  await rescue(context);
  const load = other.control.load.bind(other.control);
  let looks = 0;
  const slow: MigrationContext = {
    ...other,
    control: new Proxy(other.control, {
      get(control, name) {
        const value: unknown = Reflect.get(control, name);
        if (name !== 'load') return typeof value === 'function' ? value.bind(control) : value;
        return async (migrationName: string) => {
          const state = await load(migrationName);
          if (++looks === 1) await tendGap(context, never);
          return state;
        };
      },
    }),
  };
  await expect(gapOf(slow).giveUp(by)).rejects.toMatchObject({ code: 'STATE_CHANGED' });
  expect((await load('shop')).gap?.stage).toBe('collected');
  expect(await statuses(context)).toEqual({ a: 'open', b: 'open', d: 'open' });
});

test('a record that was not weighed yet, and was written meanwhile, can be looked at and taken', async () => {
  await rescue(context);
  await collect(context);
  await write(context, 'source', 'a', 'new a');
  const which = { collection: 'items', key: ['a'] };
  const take = () => gapOf(context).resolve({ ...by, take: 'target', which, signal: never });
  expect(await take()).toMatchObject({ resolved: 0, leftCount: 1 });
  expect(await take()).toMatchObject({ resolved: 0, leftCount: 1 });
  expect(await gapOf(context).show('items', ['a'])).toMatchObject({ current: { name: 'new a' } });
  expect(await take()).toMatchObject({ resolved: 1 });
  expect(await held(context, 'source', 'a')).toBe('lost a');
});

describe('a decision', () => {
  beforeEach(async () => {
    await rescue(context);
    await write(context, 'source', 'a', 'new a');
    await collect(context);
    await apply(context);
  });
  const resolve = (take: 'source' | 'target' | 'close', which: 'all' | string = 'a') =>
    gapOf(context).resolve({
      ...by,
      take,
      which: which === 'all' ? 'all' : { collection: 'items', key: [which] },
      signal: never,
    });

  test('for the target overwrites only what somebody has looked at', async () => {
    await write(context, 'source', 'a', 'newer a');
    expect(await resolve('target')).toMatchObject({ resolved: 0, leftCount: 1 });
    expect(await held(context, 'source', 'a')).toBe('newer a');
    const shown = await gapOf(context).show('items', ['a']);
    expect(shown).toMatchObject({ current: { name: 'newer a' }, wanted: { name: 'lost a' } });
    expect(await resolve('target')).toMatchObject({ resolved: 1 });
    expect(await held(context, 'source', 'a')).toBe('lost a');
  });

  test('for the source lets its record stand in both stores', async () => {
    expect(await resolve('source')).toMatchObject({ resolved: 1, leftCount: 0 });
    await work(context);
    for (const side of ['source', 'target'] as const)
      expect(await held(context, side, 'a')).toBe('new a');
  });

  test('to close it writes nothing', async () => {
    expect(await resolve('close', 'all')).toMatchObject({ resolved: 1 });
    expect(await held(context, 'source', 'a')).toBe('new a');
  });

  test('about a record that is not there, or is decided, is refused', async () => {
    await expect(resolve('source', 'nobody')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(resolve('source', 'd')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

test('a record that nobody has touched, and that a person leaves to the source, goes away from the target', async () => {
  await rescue(context);
  await collect(context);
  expect(await held(context, 'target', 'd')).toBe('lost d');
  await gapOf(context).resolve({ ...by, take: 'source', which: 'all', signal: never });
  await work(context);
  expect(await held(context, 'target', 'd')).toBeNull();
  expect(await held(context, 'target', 'a')).toBe('old a');
  expect(await held(context, 'target', 'b')).toBe('old b');
});
