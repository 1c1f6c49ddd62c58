import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { expectedGuard } from '../../src/cutover/index.ts';
import { demoProfile } from '../../src/gates/index.ts';
import type { MigrationState, Phase } from '../../src/migration/index.ts';
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

const load = (): Promise<MigrationState> => context.control.load('shop');
const guardsAsTheStateSays = async (): Promise<void> => {
  const state = await load();
  for (const side of ['source', 'target'] as const)
    expect(await context.stores[side].guard.read(), side).toEqual(expectedGuard(state, side));
};
const unjournalled = (epoch = 1) =>
  context.stores.source.records.write({
    collection: 'items',
    key: ['u'],
    action: 'put',
    record: { id: 'u', name: 'u' },
    epoch,
    journal: 'none',
    graceMs: 0,
    timeoutMs: 500,
  });

/** What backfill, verify and shadow reads leave behind when all is well. */
async function proof(): Promise<void> {
  const state = await load();
  const now = context.runtime.clock.now();
  await context.control.saveCheckpoint('shop', {
    collection: 'items',
    generation: state.generation,
    frozenLast: null,
    doneUntil: null,
    nextChunk: 1,
    rowsRead: 0,
    rowsInserted: 0,
    rowsDead: 0,
    estimatedRows: 0,
    startedAtMs: now,
    finishedAtMs: now,
  });
  await verified(0);
  await compared(400, 0);
}
const verified = async (open: number) =>
  context.control.note('shop', {
    ...by,
    action: 'verify',
    detail: { generation: (await load()).generation, collections: ['items'], finished: true, open },
  });
const compared = (matched: number, confirmed: number) =>
  context.control.evidence.add('shop', [
    {
      collection: 'items',
      detector: 'shadow-read',
      minute: Math.floor(context.runtime.clock.now() / 60_000),
      compared: matched + confirmed,
      matched,
      suspect: 0,
      confirmed,
      shed: 0,
      timedOut: 0,
      failed: 0,
    },
  ]);
/** Through the controller, gates and all. */
async function advanceTo(goal: Phase): Promise<void> {
  if ((await load()).phase === 'off') await controller.start(by);
  while ((await load()).phase !== goal) {
    const { phase } = await load();
    if (phase === 'backfill') await proof();
    if (phase === 'read-switch') await controller.dial(100, undefined, by);
    await controller.advance(by);
  }
}

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

  test('refuses the guard of an attempt that another control store knows', async () => {
    const { guard, setup } = context.stores.source;
    await setup.install('authority', 7);
    await expect(controller.start(by)).rejects.toMatchObject({ code: 'LEFTOVERS_FOUND' });
    expect(await guard.read()).toMatchObject({ epoch: 7 });
    expect((await load()).phase).toBe('off');
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
    expect(status.fleet[0]?.instances[0]).toMatchObject({ id: 'r', alive: true });
    migration.databases.target.start();
  });
});
