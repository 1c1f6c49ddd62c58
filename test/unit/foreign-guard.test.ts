import { beforeEach, describe, expect, test } from 'vitest';
import { MemoryControl, memoryControl } from '../../src/adapters/memory/index.ts';
import { findForeignGuard, type MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { resumeCutover, switchAuthority } from '../../src/cutover/index.ts';
import { demoProfile } from '../../src/gates/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { startWorker } from '../../src/worker/index.ts';
import { controllerSteps } from '../support/controller-steps.ts';
import { by, drainBy, type MemoryMigration, memoryMigration } from '../support/memory-migration.ts';

let migration: MemoryMigration;
let context: MigrationContext;
let controller: Controller;

beforeEach(async () => {
  migration = memoryMigration();
  context = await migration.open('operator');
  controller = createController(context, {
    profile: demoProfile,
    drain: drainBy(context),
    cutover: { holdMs: 400, ackTimeoutMs: 100, drainTimeoutMs: 100 },
  });
});
const { advanceTo } = controllerSteps(() => ({ context, controller }));

/** The same stores, seen by a process that was given another, empty control store. */
async function elsewhere(): Promise<MigrationContext> {
  const stores = (await migration.open('elsewhere')).stores;
  const empty = memoryControl({ control: new MemoryControl(), client: 'elsewhere' });
  return { ...context, stores, control: await empty.connect(systemRuntime) };
}
const mismatch = { code: 'CONTROL_MISMATCH', disposition: 'halt' };

test('a store that an undone change of authority could not reach again is no sign of another control store', async () => {
  await advanceTo('read-switch');
  const attempt = switchAuthority(context, {
    to: 'target',
    phaseAfter: 'write-switch',
    ...by,
    drain: drainBy(context),
    undoMs: 300,
    lockTimeoutMs: 50,
    onStep: (step) => {
      if (step !== 'commit') return;
      migration.databases.target.stop();
      throw new Error('dies');
    },
  });
  await expect(attempt).rejects.toMatchObject({ code: 'CUTOVER_ABORTED' });
  migration.databases.target.start();
  expect(await context.stores.target.guard.read()).toMatchObject({ role: 'authority', epoch: 2 });
  expect(await context.control.load('shop')).toMatchObject({ epoch: 1, cutover: null });
  expect(await findForeignGuard(context, { deadlineMs: 500 })).toBeNull();
  expect(await findForeignGuard(await elsewhere(), { deadlineMs: 500 })).not.toBeNull();
  const router = await createRouter(await migration.open('later'));
  await router.close();
  await resumeCutover(context);
  expect(await context.stores.target.guard.read()).toMatchObject({ role: 'follower', epoch: 1 });
});

describe('a second control store, while the first runs the migration', () => {
  test('finds out, says so, and refuses to plan, start, abort and decommission', async () => {
    await controller.start(by);
    const second = await elsewhere();
    const other = createController(second);
    const { foreign } = await other.status();
    expect(foreign).toMatchObject({
      side: 'source',
      authority: 'source',
      message: expect.stringContaining('has never started it'),
    });
    for (const act of [
      () => other.plan(),
      () => other.start({ ...by, truncateTarget: true }),
      () => other.start({ ...by, reconcile: true }),
      () => other.abort(by),
      () => other.decommission(by),
    ])
      await expect(act()).rejects.toMatchObject(mismatch);
    expect((await controller.status()).foreign).toBeNull();
    for (const side of ['source', 'target'] as const)
      expect(await context.stores[side].setup.objects()).not.toEqual([]);
  });

  test('finds out during a rehearsal, too, from the target alone', async () => {
    await controller.start({ ...by, shadow: true });
    await expect(createController(await elsewhere()).start(by)).rejects.toMatchObject(mismatch);
  });

  test('keeps routers and workers out once the authority has moved', async () => {
    await advanceTo('write-switch');
    const second = await elsewhere();
    expect(await findForeignGuard(second, { deadlineMs: 500 })).toMatchObject({
      authority: 'target',
      guard: { epoch: 2 },
    });
    await expect(createRouter(second)).rejects.toMatchObject(mismatch);
    await expect(startWorker(second)).rejects.toMatchObject(mismatch);
    const router = await createRouter(context);
    await router.close();
  });

  test('takes over on the word of a person, when the first is lost for good', async () => {
    await advanceTo('write-switch');
    const second = await elsewhere();
    const other = createController(second);
    await other.abort({ ...by, takeOver: true });
    expect(await second.stores.source.setup.objects()).toEqual([]);
    expect((await other.status()).foreign).toBeNull();
    expect(await other.start({ ...by, reconcile: true })).toMatchObject({ phase: 'dual-write' });
    await expect(other.abort({ ...by, takeOver: true })).rejects.toMatchObject({
      code: 'TRANSITION_REFUSED',
    });
  });
});

describe('what looks like a second control store and is none', () => {
  test('a start that died after it had changed the guards is started again, or aborted', async () => {
    migration.control.hook = {
      async request(_client, label) {
        if (label === 'control/commit') throw new Error('gone');
      },
      async reply() {},
    };
    await expect(controller.start(by)).rejects.toThrow('gone');
    migration.control.hook = null;
    // What the dying process could not put back.
    const { guard } = context.stores.source;
    await guard.change(await guard.read(), { role: 'authority', epoch: 1, attempt: null }, 500);
    expect((await controller.status()).foreign).toBeNull();
    expect(await controller.start(by)).toMatchObject({ phase: 'dual-write' });
  });

  test('a target that did not answer on the way back to off', async () => {
    await controller.start(by);
    const { guard } = context.stores.target;
    await controller.rollback({ ...by, to: 'off' });
    await guard.change(await guard.read(), { role: 'follower', epoch: 1, attempt: null }, 500);
    expect((await controller.status()).foreign).toBeNull();
    expect(await controller.abort(by)).toMatchObject({ phase: 'off' });
  });

  test('a change of authority that is under way', async () => {
    await advanceTo('read-switch');
    const looks: Promise<unknown>[] = [];
    const switching = createController(context, {
      profile: demoProfile,
      drain: drainBy(context),
      cutover: { holdMs: 400, ackTimeoutMs: 100, drainTimeoutMs: 100 },
      onStep: () => {
        looks.push(findForeignGuard(context, { deadlineMs: 500 }));
      },
    });
    await controller.dial(100, undefined, by);
    await switching.advance(by);
    expect(looks.length).toBeGreaterThan(8);
    expect(new Set(await Promise.all(looks))).toEqual(new Set([null]));
  });

  test('stores that are down say nothing', async () => {
    await controller.start(by);
    const second = await elsewhere();
    for (const side of ['source', 'target'] as const) {
      migration.databases[side].hook = {
        request: () => Promise.reject(new Error('down')),
        reply: async () => {},
        row: async () => {},
        commit: async () => {},
      };
    }
    expect(await findForeignGuard(second, { deadlineMs: 500 })).toBeNull();
  });
});
