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

const { load, guardsAsTheStateSays, unjournalled, proof, verified, compared, advanceTo } =
  controllerSteps(() => ({
    context,
    controller,
  }));

describe('start', () => {
  test('installs both stores, leaves off, and refuses unjournalled writes from there on', async () => {
    await unjournalled();
    const state = await controller.start(by);
    expect(state).toMatchObject({ phase: 'dual-write', generation: 1, epoch: 1 });
    await guardsAsTheStateSays();
    await expect(unjournalled()).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    await put(context, 'a', 1);
  });

  test('with a rehearsal lets unjournalled writes in until dual-write', async () => {
    expect(await controller.start({ ...by, shadow: true })).toMatchObject({
      phase: 'shadow-write',
    });
    await unjournalled();
    await guardsAsTheStateSays();
    await controller.advance(by);
    await guardsAsTheStateSays();
    await expect(unjournalled()).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
  });

  test('that slept while another one went through leaves its guards alone', async () => {
    for (const moment of [
      'before it installs the source',
      'before it looks at the guard',
    ] as const) {
      const sleeper = await migration.open(`sleeper ${moment}`);
      const [asleep, woken] = [latch(), latch()];
      const sleep = async (): Promise<void> => {
        asleep.open();
        await woken.opened;
      };
      const { source } = sleeper.stores;
      const setup: typeof source.setup = {
        ...source.setup,
        async install(...given) {
          if (moment === 'before it installs the source') await sleep();
          await source.setup.install(...given);
          if (moment === 'before it looks at the guard') await sleep();
        },
      };
      const late = createController({
        ...sleeper,
        stores: { ...sleeper.stores, source: { ...source, setup } },
      }).start(by);
      const refused = expect(late).rejects.toMatchObject({ code: 'STATE_CHANGED' });
      await asleep.opened;
      await controller.start(by);
      woken.open();
      await refused;
      await guardsAsTheStateSays();
      await expect(unjournalled()).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
      await controller.abort(by);
    }
  });

  test('refuses a target that holds rows, unless they may be truncated or are to be reconciled', async () => {
    await migration.foreignPut('target', 'old');
    await expect(controller.start(by)).rejects.toMatchObject({
      code: 'LEFTOVERS_FOUND',
      message: expect.stringContaining('items 1'),
    });
    expect(await context.stores.source.setup.objects()).toEqual([]);
    await controller.start({ ...by, truncateTarget: true });
    expect(await context.stores.target.setup.countUpTo('items', 5)).toBe(0);

    const second = memoryMigration();
    const again = await second.open('operator');
    await second.foreignPut('target', 'old');
    await createController(again).start({ ...by, reconcile: true });
    expect(await again.stores.target.setup.countUpTo('items', 5)).toBe(1);
  });

  test('captures an outbox collection before the state says so', async () => {
    migration = memoryMigration('outbox');
    context = await migration.open('operator');
    await createController(context).start(by);
    await migration.foreignPut('source', 'x');
    expect(await context.stores.source.queue.depth()).toMatchObject({ waiting: 1 });
  });

  test('that loses the control store leaves unjournalled writes possible', async () => {
    migration.control.hook = {
      async request(_client, label) {
        if (label === 'control/commit') throw new Error('gone');
      },
      async reply() {},
    };
    await expect(controller.start(by)).rejects.toThrow('gone');
    await unjournalled();
    migration.control.hook = null;
    expect(await controller.start(by)).toMatchObject({ phase: 'dual-write' });
  });

  test('again waits for everybody who may still work for the generation before', async () => {
    await advanceTo('shadow-read');
    await router(context, 'paused', 2, -1);
    await controller.rollback({ ...by, to: 'off' });
    await expect(controller.start({ ...by, truncateTarget: true })).rejects.toMatchObject({
      code: 'FLEET_NOT_ACKNOWLEDGED',
      message: expect.stringContaining('paused'),
    });
    await controller.attestGone('paused', by);
    expect(await controller.start({ ...by, truncateTarget: true })).toMatchObject({
      generation: 2,
    });
    expect(await context.control.evidence.since('shop', 0)).toEqual([]);
    expect(await controller.plan('backfill')).toMatchObject({ verdict: 'pass' });
  });
});

describe('advance', () => {
  test('goes through all phases when the evidence is there, and retires', async () => {
    await advanceTo('retired');
    await guardsAsTheStateSays();
    expect(await load()).toMatchObject({ phase: 'retired', epoch: 2 });
    await expect(controller.advance(by)).rejects.toMatchObject({ code: 'TRANSITION_REFUSED' });
    await expect(controller.rollback(by)).rejects.toMatchObject({ code: 'TRANSITION_REFUSED' });
    const done = await controller.decommission(by);
    expect(done.phase).toBe('retired');
    for (const side of ['source', 'target'] as const)
      expect(await context.stores[side].setup.objects()).toEqual([]);
  });

  test('leaves dual-write only when every instance follows, the seeming dead included', async () => {
    await controller.start(by);
    await router(context, 'asleep', 1, -1);
    const refused = controller.advance(by);
    await expect(refused).rejects.toMatchObject({
      code: 'GATE_FAILED',
      message: expect.stringContaining('asleep'),
    });
    const overridden = controller.advance({ ...by, overrides: { 'fleet-follows': 'I am sure' } });
    await expect(overridden).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await router(context, 'asleep', 2);
    expect((await controller.advance(by)).state.phase).toBe('backfill');
  });

  test('counts the fleet from the version at which following began, not from the newest', async () => {
    await advanceTo('backfill');
    await router(context, 'r', (await load()).version);
    await controller.rollback({ ...by, to: 'dual-write' });
    expect(await controller.plan()).toMatchObject({ to: 'backfill', verdict: 'pass' });
  });

  test('refuses what is not proven, by the name of the gate', async () => {
    await advanceTo('backfill');
    const gates = async () =>
      Object.fromEntries(
        (await controller.plan()).gates.map(({ gate, verdict }) => [gate, verdict]),
      );
    expect(await gates()).toMatchObject({ 'backfill-complete': 'fail', 'dead-letters': 'pass' });
    await expect(controller.advance(by)).rejects.toMatchObject({ code: 'GATE_FAILED' });
    await proof();
    await controller.advance(by);

    await verified(2);
    expect(await gates()).toMatchObject({ 'verify-passed': 'fail', 'shadow-read-parity': 'pass' });
    await verified(0);
    expect(await controller.plan()).toMatchObject({ to: 'read-switch', verdict: 'pass' });
    await compared(0, 1);
    expect(await gates()).toMatchObject({ 'shadow-read-parity': 'unknown' });
    await compared(0, 50);
    expect(await gates()).toMatchObject({ 'shadow-read-parity': 'fail' });
  });

  test('no evidence is unknown and does not pass', async () => {
    await advanceTo('backfill');
    await controller.advance({ ...by, overrides: { 'backfill-complete': 'empty store' } });
    const plan = await controller.plan();
    const verdicts = Object.fromEntries(plan.gates.map(({ gate, verdict }) => [gate, verdict]));
    expect(verdicts).toMatchObject({ 'verify-passed': 'unknown', 'shadow-read-parity': 'unknown' });
    expect(plan.profile).toBe('demo profile');
  });

  test('a comparison from before a gap in following proves nothing', async () => {
    await advanceTo('shadow-read');
    await controller.rollback({ ...by, to: 'shadow-write' });
    await controller.advance(by);
    await controller.advance(by);
    await controller.advance(by);
    const plan = await controller.plan();
    expect(plan.gates.find(({ gate }) => gate === 'verify-passed')).toMatchObject({
      verdict: 'unknown',
    });
  });

  test('a store that hangs makes its gates unknown', async () => {
    await advanceTo('shadow-read');
    migration.databases.source.stop();
    const plan = await controller.plan();
    expect(plan.gates.find(({ gate }) => gate === 'dead-letters')).toMatchObject({
      verdict: 'unknown',
    });
    migration.databases.source.start();
  });

  test('an override is by name and with a reason, and stands in the audit with the evidence', async () => {
    await advanceTo('backfill');
    const withOverride = (overrides: Record<string, string>) =>
      controller.advance({ ...by, overrides });
    await expect(withOverride({ nonsense: 'x' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(withOverride({ 'backfill-complete': ' ' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
    await withOverride({ 'backfill-complete': 'copied by hand' });
    const [entry] = await controller.history();
    expect(entry).toMatchObject({
      action: 'advance',
      actor: 'test',
      detail: {
        overrides: { 'backfill-complete': 'copied by hand' },
        from: 'backfill',
        phase: 'shadow-read',
      },
    });
    const gates = entry?.detail['gates'] as readonly { readonly gate: string }[];
    expect(gates.map(({ gate }) => gate)).toContain('queue-lag');
  });

  test('is bound to the state version that was looked at', async () => {
    await controller.start(by);
    const { stateVersion } = await controller.plan();
    await controller.hold(by);
    const late = controller.advance({ ...by, expectedVersion: stateVersion });
    await expect(late).rejects.toMatchObject({ code: 'STATE_CHANGED' });
    await controller.resume(by);
  });

  test('a change of state while the gates are looked at is STATE_CHANGED', async () => {
    const slow = createController(context, {
      gates: {
        backfill: [
          {
            name: 'meddler',
            question: 'Who was that?',
            overridable: true,
            async evaluate() {
              await controller.hold(by);
              return { verdict: 'pass', message: 'Nobody.', evidence: {} };
            },
          },
        ],
      },
    });
    await controller.start(by);
    await expect(slow.advance(by)).rejects.toMatchObject({ code: 'STATE_CHANGED' });
    expect((await load()).phase).toBe('dual-write');
  });

  test('a gate of the user that throws is unknown', async () => {
    const strict = createController(context, {
      gates: {
        backfill: [
          {
            name: 'approval',
            question: 'Has the boss said yes?',
            overridable: true,
            evaluate: () => {
              throw new Error('asleep');
            },
          },
        ],
      },
    });
    await controller.start(by);
    await expect(strict.advance(by)).rejects.toMatchObject({
      message: expect.stringContaining('approval unknown'),
    });
  });

  test('skips no phase', async () => {
    await controller.start(by);
    await expect(controller.advance({ ...by, to: 'shadow-read' })).rejects.toMatchObject({
      code: 'TRANSITION_REFUSED',
    });
    await expect(controller.advance({ ...by, to: 'write-switch' })).rejects.toMatchObject({
      code: 'TRANSITION_REFUSED',
    });
  });
});
