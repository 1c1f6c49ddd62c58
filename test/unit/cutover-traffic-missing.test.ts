import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import {
  type CutoverStep,
  expectedGuard,
  resumeCutover,
  type SwitchOptions,
  switchAuthority,
} from '../../src/cutover/index.ts';
import { authorityOf, type Side } from '../../src/migration/index.ts';
import type { TrafficHook } from '../../src/traffic/index.ts';
import {
  bring,
  by,
  drainBy,
  latch,
  type MemoryMigration,
  memoryMigration,
} from '../support/memory-migration.ts';
import { Gate } from '../support/traffic-gate.ts';

let migration: MemoryMigration;
let gate: Gate;
let coordinator: MigrationContext;
let worker: MigrationContext;

const withHook = (context: MigrationContext, hook = gate.hook()): MigrationContext => ({
  ...context,
  traffic: [hook],
});

beforeEach(async () => {
  migration = memoryMigration();
  gate = new Gate();
  coordinator = withHook(await migration.open('coordinator'));
  worker = withHook(await migration.open('worker'));
  await bring(coordinator, 'read-switch');
});

const to = (side: Side, more: Partial<SwitchOptions> = {}): SwitchOptions => ({
  to: side,
  phaseAfter: side === 'target' ? 'write-switch' : 'read-switch',
  ...by,
  drain: drainBy(worker),
  undoMs: 400,
  ...more,
});
const load = () => worker.control.load('shop');
const stopAt =
  (at: CutoverStep) =>
  (step: CutoverStep): void => {
    if (step === at) throw new Error('stopped');
  };
const guard = (side: Side) => worker.stores[side].guard.read();

/** Traffic flows to the authority, and no mark says that anything is to be done. */
async function settled(): Promise<void> {
  const state = await load();
  expect(state.cutover).toBeNull();
  for (const side of ['source', 'target'] as const)
    expect(await guard(side), side).toEqual(expectedGuard(state, side));
  expect(gate).toMatchObject({ held: false, leadsTo: authorityOf(state.phase) });
}

describe('the way back goes on without a hook', () => {
  const finding = { id: 'gate/jammed', verdict: 'fail', message: 'It is jammed.', fix: 'Oil.' };
  const back = async (own: Partial<TrafficHook>) => {
    await switchAuthority(coordinator, to('target'));
    const context = withHook(coordinator, gate.hook(own));
    const done = await createController(context, {
      cutover: { undoMs: 300, ackTimeoutMs: 200 },
      drain: drainBy(worker),
    }).rollback(by);
    expect(done.state).toMatchObject({ phase: 'read-switch', cutover: null });
    return done.cutover;
  };

  test.each([
    ['says that it could not hold', { check: async () => [finding] }, /It is jammed\. → Oil\./],
    ['fails to prepare', { prepare: () => Promise.reject(new Error('locked')) }, /locked/],
    ['does not hold', { hold: () => Promise.reject(new Error('no lever')) }, /no lever/],
    ['hangs', { hold: () => new Promise<void>(() => {}) }, /holding the gate failed/],
  ] as const)('that %s, and says so', async (_title, own, words) => {
    const cutover = await back(own as Partial<TrafficHook>);
    expect(cutover).toMatchObject({ outcome: 'committed', settled: true });
    expect(cutover?.notes.join()).toMatch(words);
    expect(cutover?.notes.join()).toMatch(/refused by the target/);
    const lines = await worker.control.history('shop', 100);
    expect(lines.find(({ action }) => action === 'traffic-not-held')?.reason).toMatch(words);
    await settled();
  });

  test('that does not let go, and says what is to be done by hand', async () => {
    const cutover = await back({ release: () => Promise.reject(new Error('stuck')) });
    expect(cutover).toMatchObject({ outcome: 'committed', settled: false });
    expect(cutover?.problem).toMatch(/stuck.*By hand: point .* to the source/);
    expect(await resumeCutover(worker)).toMatchObject({ outcome: 'settled' });
    await settled();
  });

  test('and a dry run warns of it', async () => {
    await switchAuthority(coordinator, to('target'));
    const context = withHook(coordinator, gate.hook({ check: async () => [finding] as never }));
    const { checks } = await createController(context).rehearse('source');
    expect(checks.find(({ check }) => check === 'traffic')).toMatchObject({ verdict: 'warn' });
  });
});

describe('a process without the hook', () => {
  const gone = async (at: CutoverStep, side: Side): Promise<void> => {
    const dead = latch();
    const stopped = new Promise<void>((resolve) => {
      void switchAuthority(
        coordinator,
        to(side, {
          leaseMs: 60_000,
          onStep: async (step) => {
            if (step !== at) return;
            resolve();
            // For ever: this process does nothing any more.
            await dead.opened;
          },
        }),
      ).catch(() => {});
    });
    await stopped;
  };

  for (const [step, side] of [
    ['seal', 'target'],
    ['settle', 'target'],
    ['settle', 'source'],
  ] as const)
    test(`before ${step}, on the way to the ${side}, and a process without the hook ends it: it says who can let traffic go, and that one does`, async () => {
      if (side === 'source') await switchAuthority(coordinator, to('target'));
      await gone(step, side);
      const { traffic: _without, ...bare } = worker;
      const ended = await resumeCutover(bare, { force: true });
      expect(ended.message).toMatch(/none in its configuration.*switch-writes --recover/);
      // As often as it looks.
      for (let look = 0; look < 2; look++)
        expect(await resumeCutover(bare)).toMatchObject({
          outcome: 'pending',
          message: expect.stringMatching(/none in its configuration/),
        });
      expect(gate.held).toBe(true);
      const state = await load();
      // Who does not come through the hook is let in.
      await migration.foreignPut(authorityOf(state.phase), 'stranger');
      await expect(switchAuthority(bare, to('target', { dryRun: true }))).rejects.toMatchObject({
        name: 'ChangeoverError',
      });
      expect(await resumeCutover(worker)).toMatchObject({ outcome: 'settled' });
      await settled();
    });

  test('a process without the hook that takes authority back passes on that traffic is held', async () => {
    await gone('settle', 'target');
    const { traffic: _without, ...bare } = worker;
    const back = await switchAuthority(bare, to('source'));
    expect(back).toMatchObject({ outcome: 'committed', settled: false });
    expect(back.problem).toMatch(/none in its configuration/);
    expect(gate.held).toBe(true);
    await resumeCutover(worker);
    await settled();
  });

  test('an operator lets traffic go where no mark says that it is held', async () => {
    await switchAuthority(coordinator, to('target', { onStep: stopAt('seal') })).catch(() => {});
    gate.held = true;
    expect(await resumeCutover(worker)).toMatchObject({ outcome: 'nothing' });
    const jammed = gate.hook({ release: () => Promise.reject(new Error('jammed')) });
    const failed = await resumeCutover(withHook(worker, jammed), { release: true });
    expect(failed).toMatchObject({
      outcome: 'pending',
      message: expect.stringContaining('jammed'),
    });
    const done = await resumeCutover(worker, { release: true });
    expect(done.message).toContain('traffic goes to the source');
    await settled();
  });
});
