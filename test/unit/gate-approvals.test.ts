import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import { demoProfile, type Gate, type GateProfile } from '../../src/gates/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { controllerSteps } from '../support/controller-steps.ts';
import { type MemoryMigration, memoryMigration, router } from '../support/memory-migration.ts';

const profile: GateProfile = { ...demoProfile, approvals: { backfill: 2 }, approvalMinutes: 60 };
const alice = { actor: 'alice@desk', reason: 'it is time' };
const bob = { actor: 'bob@desk', reason: 'looked at it' };
const carol = { actor: 'carol@desk', reason: 'and so did I' };

let migration: MemoryMigration;
let context: MigrationContext;
let controller: Controller;

beforeEach(async () => {
  migration = memoryMigration();
  context = await migration.open('operator');
  controller = createController(context, { profile });
  await controller.start(alice);
});
const steps = controllerSteps(() => ({ context, controller }));

async function approval(asked: Controller = controller, requester?: string) {
  const { gates } = await asked.plan('backfill', requester);
  return gates.find(({ gate }) => gate === 'approval');
}

describe('approvals', () => {
  test('so many other people as the profile demands open the gate', async () => {
    const refused = controller.advance(alice);
    await expect(refused).rejects.toMatchObject({
      code: 'GATE_FAILED',
      message: expect.stringContaining('Approved by 0 of 2'),
    });
    await controller.approve({ ...bob, to: 'backfill' });
    await expect(controller.advance(alice)).rejects.toMatchObject({ code: 'GATE_FAILED' });
    const { plan } = await controller.approve({ ...carol, to: 'backfill' });
    expect(plan.verdict).toBe('pass');
    expect((await controller.advance(alice)).state.phase).toBe('backfill');
    const [entry] = await controller.history(1);
    expect(JSON.stringify(entry?.detail)).toContain('carol@desk');
  });

  test('of one person count once, however the name is written', async () => {
    await controller.approve({ ...bob, to: 'backfill' });
    for (const actor of [
      ' Bob@Desk ',
      'bob @desk',
      'bob\u200b@desk',
      'b\u00adob@desk',
      'ｂob@desk',
    ])
      await controller.approve({ ...bob, actor, to: 'backfill' });
    expect(await approval()).toMatchObject({
      verdict: 'fail',
      message: expect.stringContaining('1 of 2'),
    });
  });

  test('need a name that can be seen', async () => {
    const nameless = controller.approve({ ...bob, actor: ' \u200b\u2060', to: 'backfill' });
    await expect(nameless).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('of the one who advances do not count', async () => {
    await controller.approve({ ...bob, to: 'backfill' });
    await controller.approve({ ...alice, actor: 'ALICE@desk', to: 'backfill' });
    expect(await approval()).toMatchObject({ verdict: 'pass' });
    expect(await approval(controller, alice.actor)).toMatchObject({
      verdict: 'fail',
      message: expect.stringContaining('is the one who wants to advance'),
    });
    await expect(controller.advance(alice)).rejects.toMatchObject({ code: 'GATE_FAILED' });
    await controller.advance(carol);
  });

  test('are voided by any change of the state', async () => {
    await controller.approve({ ...bob, to: 'backfill' });
    await controller.approve({ ...carol, to: 'backfill' });
    await controller.hold(alice);
    expect(await approval()).toMatchObject({
      verdict: 'fail',
      message: expect.stringContaining('0 of 2'),
    });
  });

  test('are voided by another comparator, other thresholds and other gates', async () => {
    await controller.approve({ ...bob, to: 'backfill' });
    await controller.approve({ ...carol, to: 'backfill' });
    const items = context.migration.collections.get('items');
    if (!items) throw new Error('no items');
    const collections = new Map([['items', { ...items, transformVersion: 2 }]]);
    const changed = { ...context, migration: { ...context.migration, collections } };
    const gate: Gate = {
      name: 'weather',
      question: 'Does the sun shine?',
      overridable: true,
      evaluate: async () => ({ verdict: 'pass', message: 'It does.', evidence: {} }),
    };
    const others = [
      createController(changed, { profile }),
      createController(context, { profile: { ...profile, queueWaitingMax: 1_000_000 } }),
      createController(context, { profile, gates: { backfill: [gate] } }),
    ];
    for (const other of others)
      expect(await approval(other)).toMatchObject({
        verdict: 'fail',
        message: expect.stringContaining('was given for another plan'),
      });
    expect(await approval()).toMatchObject({ verdict: 'pass' });
  });

  test('expire', async () => {
    await controller.approve({ ...bob, to: 'backfill' });
    await controller.approve({ ...carol, to: 'backfill' });
    const { clock } = systemRuntime;
    const later = { ...clock, now: () => clock.now() + 61 * 60_000 };
    const late = { ...context, runtime: { ...systemRuntime, clock: later } };
    expect(await approval(createController(late, { profile }))).toMatchObject({
      verdict: 'fail',
      message: expect.stringContaining('has expired'),
    });
  });

  test('of one step are none of another, and cannot be replaced by an override', async () => {
    await controller.approve({ ...bob, to: 'backfill' });
    await controller.approve({ ...carol, to: 'backfill' });
    await controller.advance(alice);
    await router(context, 'r', (await steps.load()).version);
    await controller.rollback({ ...alice, to: 'dual-write' });
    const overridden = controller.advance({ ...alice, overrides: { approval: 'no time' } });
    await expect(overridden).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(controller.approve({ ...bob, to: 'retired' })).rejects.toMatchObject({
      code: 'TRANSITION_REFUSED',
    });
  });

  test('need a name and a reason', async () => {
    for (const lacking of [{ actor: ' ' }, { reason: '' }])
      await expect(
        controller.approve({ ...bob, ...lacking, to: 'backfill' }),
      ).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('are not asked for where the profile demands none', async () => {
    const free = createController(context, { profile: demoProfile });
    expect(await approval(free)).toBeUndefined();
  });
});

describe('a gate of the user', () => {
  test.each([
    ['throws', () => Promise.reject(new Error('asleep'))],
    ['does not answer in time', () => new Promise<never>(() => {})],
    ['says neither pass, fail nor unknown', async () => ({ verdict: 'yes', message: 'sure' })],
    ['says nothing', async () => undefined],
    ['gives no message', async () => ({ verdict: 'pass' })],
  ])('that %s is unknown', async (_how, evaluate) => {
    const gate = { name: 'own', question: '?', overridable: true, evaluate } as unknown as Gate;
    const strict = createController(context, {
      profile: { ...demoProfile, answerMsMax: 50 },
      gates: { backfill: [gate] },
    });
    const { gates } = await strict.plan('backfill');
    expect(gates.at(-1)).toMatchObject({
      gate: 'own',
      verdict: 'unknown',
      message: expect.stringContaining('Not answered'),
    });
    await expect(strict.advance(alice)).rejects.toMatchObject({ code: 'GATE_FAILED' });
  });
});

describe('before the write switch', () => {
  test('the way back has to be drilled, lately and with success', async () => {
    const asking = createController(context, { profile: { ...demoProfile, drillDaysMax: 7 } });
    controller = createController(context, { profile: demoProfile });
    await steps.advanceTo('read-switch');
    const drilled = async (asked = asking) =>
      (await asked.plan('write-switch')).gates.find(({ gate }) => gate === 'rollback-drilled');
    expect(await drilled()).toMatchObject({
      verdict: 'fail',
      message: expect.stringContaining('never drilled'),
    });
    const note = (ok: boolean) =>
      context.control.note('shop', {
        ...alice,
        action: 'rollback-drill',
        detail: { ok, phase: 'read-switch', checks: [], estimateMs: 1, generation: 1 },
      });
    await note(false);
    expect(await drilled()).toMatchObject({ verdict: 'fail' });
    await note(true);
    expect(await drilled()).toMatchObject({ verdict: 'pass' });
    const { clock } = systemRuntime;
    const later = { ...clock, now: () => clock.now() + 8 * 86_400_000 };
    const late = { ...context, runtime: { ...systemRuntime, clock: later } };
    const then = createController(late, { profile: { ...demoProfile, drillDaysMax: 7 } });
    expect(await drilled(then)).toMatchObject({
      verdict: 'fail',
      message: expect.stringContaining('older than 7 days'),
    });
    expect(await drilled(controller)).toBeUndefined();
  });
});
