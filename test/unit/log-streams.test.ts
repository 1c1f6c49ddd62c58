import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  applierDefaults,
  drainOnce,
  followLog,
  logApplierDefaults,
  moveIdleStreams,
} from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';
import { demoProfile } from '../../src/gates/index.ts';
import type { ChangeSource } from '../../src/log/index.ts';
import { authorityOf, otherSide, type Side } from '../../src/migration/index.ts';
import type { LogDoor } from '../../src/store/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { by, type MemoryMigration, memoryMigration, pass } from '../support/memory-migration.ts';
import { until } from '../support/router-rig.ts';

let migration: MemoryMigration;
let context: MigrationContext;
let controller: Controller;
let worker: Worker | null;

beforeEach(async () => {
  worker = null;
  migration = memoryMigration('log');
  context = await migration.open('operator');
  controller = createController(context, { profile: demoProfile });
});
afterEach(async () => {
  await worker?.close();
});

const log = (side: Side): ChangeSource => context.stores[side].log as ChangeSource;
const door = (side: Side): LogDoor => context.stores[side].door.log as LogDoor;
const streams = async (): Promise<readonly string[]> => [
  ...(await log('source').installed()),
  ...(await log('target').installed()),
];
const load = () => context.control.load('shop');

/** To `read-switch`, whatever the gates would say. */
async function upToTheSwitch(): Promise<void> {
  await controller.start({ ...by });
  await pass(context, { type: 'advance', to: 'backfill' }, { type: 'advance', to: 'shadow-read' });
  await pass(context, { type: 'advance', to: 'read-switch' });
}

async function working(): Promise<void> {
  worker = await startWorker(await migration.open('worker'), {
    log: { idleMs: 10, storeIdleMs: 20 },
    measureMs: 50,
    backfill: null,
  });
}

async function switching(fails: boolean): Promise<unknown> {
  const { phase } = await load();
  const to = otherSide[authorityOf(phase)];
  return switchAuthority(context, {
    ...by,
    to,
    phaseAfter: to === 'target' ? 'write-switch' : 'read-switch',
    onStep: async (step) => {
      if (fails && step === 'commit') throw new Error('the coordinator fails');
    },
  });
}

const write = async (id: string): Promise<unknown> => {
  const { phase, epoch } = await load();
  return context.stores[authorityOf(phase)].records.write({
    collection: 'items',
    key: [id],
    action: 'put',
    record: { id, name: `epoch ${epoch}` },
    epoch,
    journal: 'log',
    graceMs: 0,
    timeoutMs: 1_000,
  });
};

const following = async (id: string): Promise<boolean> => {
  const { phase, epoch } = await load();
  const [found] = await context.stores[otherSide[authorityOf(phase)]].records.read('items', [[id]]);
  return found?.record?.['name'] === `epoch ${epoch}`;
};

test('who has not heard of a switch does not call the log lost that the switch has tidied up', async () => {
  await upToTheSwitch();
  await working();
  const before = await load();
  await switching(false);
  await until(async () => !(await streams()).includes('changeover_shop_s_1'));
  await worker?.close();
  const follow = (state: typeof before) =>
    followLog(
      context,
      { enter: () => ({ state, leave: () => {} }) },
      logApplierDefaults,
      AbortSignal.timeout(5_000),
    );
  expect(await follow(before)).toBe('idle');
  await log('target').remove('changeover_shop_t_2');
  await expect(follow(await load())).rejects.toMatchObject({ code: 'LOG_LOST' });
});

describe('no stream is kept for nobody', () => {
  test('after the way back to off, also that of a switch that was undone', async () => {
    await upToTheSwitch();
    await working();
    await expect(switching(true)).rejects.toThrow('the coordinator fails');
    expect(await streams()).toEqual(['changeover_shop_s_1', 'changeover_shop_t_2']);
    await worker?.close();
    await controller.rollback({ ...by, to: 'off' });
    expect(await streams()).toEqual([]);
    expect(await door('source').checkpoint('changeover_shop_t_2')).toBeNull();
  });

  test('after a start that failed', async () => {
    const { guard } = context.stores.source;
    const change = guard.change.bind(guard);
    const refuse: typeof change = async (from, to, lockMs) => {
      if (to.role === 'authority') throw new Error('the source is busy');
      return change(from, to, lockMs);
    };
    Object.assign(guard, { change: refuse });
    await expect(controller.start({ ...by })).rejects.toThrow('the source is busy');
    expect(await streams()).toEqual([]);
    Object.assign(guard, { change });
    await controller.start({ ...by });
    expect(await streams()).toEqual(['changeover_shop_s_1']);
  });

  test('after the migration is retired', async () => {
    await upToTheSwitch();
    await working();
    await switching(false);
    await worker?.close();
    const names = Object.fromEntries(
      (await controller.plan()).gates.map(({ gate }) => [gate, 'a test']),
    );
    await controller.advance({ ...by, to: 'retired', overrides: names });
    expect(await streams()).toEqual([]);
  });
});

test('a start begins anew also where the stream of the earlier one was removed by hand', async () => {
  await controller.start({ ...by });
  await write('a');
  const stream = 'changeover_shop_s_1';
  const forget = door('target').forget;
  Object.assign(door('target'), { forget: () => Promise.reject(new Error('no answer')) });
  await controller.rollback({ ...by, to: 'off' });
  Object.assign(door('target'), { forget });
  await log('source').remove(stream);
  await controller.start({ ...by, truncateTarget: true });
  const begun = await log('source').install(stream, 1_000);
  expect(await door('target').checkpoint(stream)).toMatchObject({ position: begun.position });
});

describe('the stream of a switch that was undone', () => {
  test('is kept short as long as a worker runs, and a later switch uses it', async () => {
    await upToTheSwitch();
    await working();
    await expect(switching(true)).rejects.toThrow('the coordinator fails');
    const stream = 'changeover_shop_t_2';
    const before = await door('source').checkpoint(stream);
    for (const id of ['a', 'b', 'c']) await write(id);
    await until(() => following('c'));
    const end = await log('target').end();
    await until(async () => {
      const now = await door('source').checkpoint(stream);
      return now !== null && now.position.sequence >= end.sequence;
    });
    expect(before?.position.sequence).toBeLessThan(end.sequence);
    const confirmed = () => migration.databases.target.log.streams.get(stream)?.confirmed ?? 0n;
    await until(() => confirmed() >= end.sequence);
    await switching(false);
    await write('d');
    await until(() => following('d'));
  });

  test('is not moved past a change that is not of the door', async () => {
    await upToTheSwitch();
    await working();
    await expect(switching(true)).rejects.toThrow('the coordinator fails');
    await worker?.close();
    const late = await migration.open('late');
    const undone = await load();
    await working();
    await switching(false);
    await worker?.close();
    await write('x');

    const stream = 'changeover_shop_t_2';
    await moveIdleStreams(late, undone, new AbortController().signal);
    const { sequence } = (await door('source').checkpoint(stream))?.position ?? { sequence: 0n };
    expect(sequence).toBeLessThan((await log('target').end()).sequence);
    await working();
    await until(() => following('x'));
  });
});

test('what the queue read before its table was emptied does not stay on the follower', async () => {
  await controller.start({ ...by });
  const { source, target } = context.stores;
  await write('a');
  await source.queue.enqueue([{ collection: 'items', key: ['a'], kind: 'change', graceMs: 0 }]);
  const state = await load();
  const { door: entry } = target;
  const apply = entry.apply.bind(entry);
  const emptied: typeof apply = async (changes, at) => {
    Object.assign(entry, { apply });
    await migration.foreignTruncate('source');
    await working();
    await until(async () => {
      const [now, end] = [
        await door('target').checkpoint('changeover_shop_s_1'),
        await log('source').end(),
      ];
      return now !== null && now.position.sequence >= end.sequence;
    });
    await worker?.close();
    // The retry is older than the emptying, and the follower has never heard of its key: it came and went in one batch.
    return apply(changes, at);
  };
  Object.assign(entry, { apply: emptied });
  await drainOnce(context, state, applierDefaults);
  await until(async () => {
    await drainOnce(context, state, applierDefaults);
    return (await source.queue.depth()).waiting === 0;
  });
  const [found] = await target.records.read('items', [['a']]);
  expect(found?.record ?? null).toBeNull();
});
