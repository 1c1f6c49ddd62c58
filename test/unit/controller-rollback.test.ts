import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { demoProfile } from '../../src/gates/index.ts';
import { controllerSteps } from '../support/controller-steps.ts';
import {
  by,
  drainBy,
  latch,
  type MemoryMigration,
  memoryMigration,
  pass,
  put,
  router,
} from '../support/memory-migration.ts';

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

const { load, guardsAsTheStateSays, unjournalled, advanceTo } = controllerSteps(() => ({
  context,
  controller,
}));

describe('rollback', () => {
  test.each([
    ['dual-write', 'off'],
    ['backfill', 'dual-write'],
    ['shadow-read', 'backfill'],
    ['read-switch', 'shadow-read'],
  ] as const)('from %s goes to %s by itself', async (from, to) => {
    await advanceTo(from);
    expect(await controller.rollback(by)).toMatchObject({ state: { phase: to }, pending: null });
    await guardsAsTheStateSays();
  });

  test('with the dial up brings reads back and stays', async () => {
    await advanceTo('read-switch');
    await controller.dial(25, ['staff'], by);
    const { state } = await controller.rollback(by);
    expect(state).toMatchObject({ phase: 'read-switch', dialBasisPoints: 0, segments: [] });
  });

  test('needs nothing but the control store', async () => {
    await advanceTo('read-switch');
    await controller.dial(100, undefined, by);
    migration.databases.source.stop();
    migration.databases.target.stop();
    expect(await controller.rollback({ ...by, to: 'dual-write' })).toMatchObject({
      state: { phase: 'dual-write', dialBasisPoints: 0 },
      pending: null,
    });
    const off = await controller.rollback({ ...by, to: 'off' });
    expect(off.state.phase).toBe('dual-write');
    expect(off.pending).toContain('wait');
    migration.databases.source.start();
    migration.databases.target.start();
    expect(await controller.rollback({ ...by, to: 'off' })).toMatchObject({
      state: { phase: 'off' },
      pending: null,
    });
    await unjournalled();
    await guardsAsTheStateSays();
  }, 20_000);

  test('to where we are already is done already', async () => {
    await advanceTo('backfill');
    const { version } = await load();
    expect((await controller.rollback({ ...by, to: 'backfill' })).state.version).toBe(version);
  });

  test('from the write switch moves authority back when the reverse direction is drained', async () => {
    await advanceTo('write-switch');
    await put(context, 'b', 2, 'target');
    const back = await controller.rollback(by);
    expect(back.state).toMatchObject({ phase: 'read-switch', epoch: 3, dialBasisPoints: 0 });
    expect(back.cutover?.outcome).toBe('committed');
    const [copied] = await context.stores.source.records.read('items', [['b']]);
    expect(copied?.record).toMatchObject({ name: 'epoch 2' });
    await guardsAsTheStateSays();
  });

  test('from the write switch straight to off leaves nothing on', async () => {
    await advanceTo('write-switch');
    expect((await controller.rollback({ ...by, to: 'off' })).state).toMatchObject({
      phase: 'off',
      epoch: 3,
      generation: 2,
    });
    await guardsAsTheStateSays();
    await unjournalled(3);
    expect(await controller.start({ ...by, truncateTarget: true })).toMatchObject({
      phase: 'dual-write',
      epoch: 3,
    });
  });

  test('from the write switch refuses while the reverse direction is not drained', async () => {
    await advanceTo('write-switch');
    await put(context, 'b', 2, 'target');
    const alone = createController(context, {
      cutover: { holdMs: 150, drainTimeoutMs: 50, waitingMax: 0 },
    });
    await expect(alone.rollback(by)).rejects.toMatchObject({ code: 'REVERSE_NOT_DRAINED' });
    expect(await load()).toMatchObject({ phase: 'write-switch', cutover: null });
  });

  test('undoes a write switch that somebody left half-way', async () => {
    await advanceTo('read-switch');
    await controller.dial(100, undefined, by);
    const [reached, wake] = [latch(), latch()];
    const sleeper = createController(context, {
      profile: demoProfile,
      drain: drainBy(context),
      onStep: async (step) => {
        if (step !== 'flip') return;
        reached.open();
        await wake.opened;
      },
    });
    const switching = sleeper.advance(by).catch((error: unknown) => error);
    await reached.opened;
    expect((await controller.status()).next).toBeNull();
    const back = await controller.rollback(by);
    expect(back).toMatchObject({
      state: { phase: 'read-switch', epoch: 1, cutover: null },
      pending: null,
    });
    wake.open();
    expect(await switching).toMatchObject({ code: 'CUTOVER_ABORTED' });
    await guardsAsTheStateSays();
  });
});

describe('the rest of the panel', () => {
  test('abort leaves both stores as they were found', async () => {
    await put(context, 'kept', 1);
    await advanceTo('read-switch');
    expect(await controller.abort(by)).toMatchObject({ phase: 'off', generation: 2 });
    for (const side of ['source', 'target'] as const)
      expect(await context.stores[side].setup.objects()).toEqual([]);
    const [kept] = await context.stores.source.records.read('items', [['kept']]);
    expect(kept?.record).not.toBeNull();
    expect(await controller.abort(by)).toMatchObject({ phase: 'off' });
    expect(await controller.start({ ...by, reconcile: true })).toMatchObject({
      phase: 'dual-write',
    });
  });

  test('nothing is removed while an instance may still journal', async () => {
    await controller.start(by);
    const { guard } = context.stores.source;
    await guard.change(await guard.read(), { role: 'idle', epoch: 1, attempt: null }, 500);
    const state = await pass(context, { type: 'rollback', to: 'off' });
    await router(context, 'busy', state.version - 1);
    const removing = controller.decommission(by);
    setTimeout(() => void router(context, 'busy', state.version), 100);
    await removing;
    await expect(controller.abort(by)).resolves.toMatchObject({ phase: 'off' });
  });

  test.each([[-1], [100.01], [0.001], [Number.NaN]])(
    'a dial of %d per cent is refused',
    async (percent) => {
      await expect(controller.dial(percent, undefined, by)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
    },
  );

  test.each([
    [0.29, 29],
    [1, 100],
    [33.33, 3_333],
    [100, 10_000],
  ])('a dial of %d per cent is %i basis points', async (percent, basisPoints) => {
    await advanceTo('read-switch');
    expect(await controller.dial(percent, undefined, by)).toMatchObject({
      dialBasisPoints: basisPoints,
    });
  });

  test('waiting for acknowledgements names those that are missing', async () => {
    const { version } = await controller.start(by);
    await router(context, 'quick', version);
    await router(context, 'slow', version - 1);
    await router(context, 'dead', version - 1, -1);
    const waiting = controller.waitForAcknowledgements(version, { timeoutMs: 40 });
    await expect(waiting).rejects.toMatchObject({
      code: 'FLEET_NOT_ACKNOWLEDGED',
      data: { instances: ['slow', 'dead'] },
    });
    await router(context, 'slow', version);
    await controller.waitForAcknowledgements(version, { timeoutMs: 40, expired: 'ignore' });
    await controller.attestGone('dead', by);
    await controller.waitForAcknowledgements(version, { timeoutMs: 40 });
    expect(await controller.history(1)).toMatchObject([
      { action: 'attest-gone', detail: { instance: 'dead' } },
    ]);
  });

  test('an instance that nobody knows cannot be attested gone', async () => {
    await expect(controller.attestGone('ghost', by)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });

  test('every change of state is told as an event', async () => {
    const versions: number[] = [];
    context.events.subscribe((event) => {
      if (event.type === 'state') versions.push(event.state.version);
    });
    await controller.start(by);
    await controller.hold(by);
    await controller.resume(by);
    await controller.rollback({ ...by, to: 'off' });
    expect(versions).toEqual([2, 3, 4, 5]);
  });

  test('the status answers with a store down', async () => {
    await advanceTo('read-switch');
    await router(context, 'r', (await load()).version);
    await put(context, 'a', 1);
    migration.databases.target.stop();
    const status = await controller.status();
    expect(status).toMatchObject({
      state: { phase: 'read-switch' },
      next: { to: 'write-switch', verdict: 'fail' },
      rollback: { ready: true, to: 'shadow-read', writesMs: 0 },
      sides: {
        source: { role: 'authority', queue: { waiting: 1 }, error: null },
        target: { guard: null },
      },
      backfill: [{ collection: 'items' }],
    });
    expect(status.sides.target.error).not.toBeNull();
    const routers = status.fleet.flatMap(({ instances }) =>
      instances.filter(({ kind }) => kind === 'router'),
    );
    expect(routers).toMatchObject([{ id: 'r', alive: true }]);
    migration.databases.target.start();
  });
});
