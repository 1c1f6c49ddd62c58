import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import {
  type CutoverStep,
  cutoverSteps,
  expectedGuard,
  inspectTraffic,
  resumeCutover,
  type SwitchOptions,
  switchAuthority,
} from '../../src/cutover/index.ts';
import { messageOf } from '../../src/errors/index.ts';
import { authorityOf, type Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { TrafficHook } from '../../src/traffic/index.ts';
import {
  bring,
  by,
  drainBy,
  latch,
  type MemoryMigration,
  memoryMigration,
  put,
} from '../support/memory-migration.ts';
import { rescue } from '../support/rescue-rig.ts';
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
const guard = (side: Side) => worker.stores[side].guard.read();

/** Traffic flows to the authority, and no mark says that anything is to be done. */
async function settled(): Promise<void> {
  const state = await load();
  expect(state.cutover).toBeNull();
  for (const side of ['source', 'target'] as const)
    expect(await guard(side), side).toEqual(expectedGuard(state, side));
  expect(gate).toMatchObject({ held: false, leadsTo: authorityOf(state.phase) });
}

describe('a change of authority with a hook', () => {
  test('holds once writes are held, and releases to a store that takes foreign writes, there and back', async () => {
    const seen: string[] = [];
    const hook = gate.hook({
      hold: async () => {
        expect((await load()).cutover).toMatchObject({ writesHeld: true });
        gate.held = true;
      },
      release: async (side) => {
        // Whoever comes through the hook is a stranger to the guard.
        await migration.foreignPut(side, `stranger ${seen.length}`);
        seen.push(side);
        gate.leadsTo = side;
        gate.held = false;
      },
    });
    for (const side of ['target', 'source', 'target'] as const) {
      const done = await switchAuthority(
        withHook(coordinator, hook),
        to(side, {
          onStep: (step) => {
            const from = cutoverSteps.indexOf(step) > cutoverSteps.indexOf('hold');
            expect(gate.held, step).toBe(from);
          },
        }),
      );
      expect(done).toMatchObject({ settled: true, problem: null });
      await settled();
    }
    expect(seen).toEqual(['target', 'source', 'target']);
  });

  test('a hook that cannot hold undoes it', async () => {
    const hook = gate.hook({ hold: () => Promise.reject(new Error('no such lever')) });
    await expect(switchAuthority(withHook(coordinator, hook), to('target'))).rejects.toMatchObject({
      code: 'CUTOVER_ABORTED',
      message: expect.stringContaining('no such lever'),
    });
    await settled();
    await put(coordinator, 'a', 1);
  });

  test('a hook that hangs undoes it, and what it holds too late is let go', async () => {
    const late = latch();
    const hook = gate.hook({
      hold: async () => {
        await late.opened;
        gate.held = true;
      },
    });
    await expect(
      switchAuthority(withHook(coordinator, hook), to('target', { ackTimeoutMs: 50 })),
    ).rejects.toMatchObject({ code: 'CUTOVER_ABORTED' });
    await settled();
    late.open();
    await expect.poll(() => gate.calls.at(-1)).toBe('release source');
    await systemRuntime.clock.sleep(20);
    await settled();
  });

  test('a hook that fails too late, and holds all the same, is let go', async () => {
    const late = latch();
    const hook = gate.hook({
      hold: async () => {
        await late.opened;
        gate.held = true;
        throw new Error('late');
      },
    });
    const failing = switchAuthority(
      withHook(coordinator, hook),
      to('target', { ackTimeoutMs: 50 }),
    );
    await expect(failing).rejects.toMatchObject({ code: 'CUTOVER_ABORTED' });
    const before = gate.calls.length;
    late.open();
    await expect.poll(() => gate.calls.slice(before)).toEqual(['release source']);
    await settled();
  });

  test('of two hooks one fails: the other one is let go as well', async () => {
    const bad = { hold: () => Promise.reject(new Error('no')), release: async () => {} };
    const both = { ...coordinator, traffic: [gate.hook(), bad] };
    await expect(switchAuthority(both, to('target'))).rejects.toThrow(/holding traffic failed: no/);
    expect(gate.calls).toContain('hold');
    await settled();
  });
});

describe('nothing is begun', () => {
  const finding = { id: 'gate/jammed', verdict: 'fail', message: 'It is jammed.', fix: 'Oil.' };
  test.each([
    ['says that it could not hold', { check: async () => [finding] }, /It is jammed\. → Oil\./],
    ['throws when it is asked', { check: () => Promise.reject(new Error('away')) }, /away/],
    ['fails to prepare', { prepare: () => Promise.reject(new Error('locked')) }, /locked/],
  ] as const)('when a hook %s', async (_title, own, words) => {
    const context = withHook(coordinator, gate.hook(own as Partial<TrafficHook>));
    const failed = switchAuthority(context, to('target'));
    await expect(failed).rejects.toMatchObject({ code: 'CUTOVER_ABORTED' });
    await expect(failed).rejects.toThrow(words);
    await expect(failed).rejects.toThrow(/Nothing was begun/);
    expect(gate.calls).toEqual([]);
    const lines = await worker.control.history('shop', 100);
    expect(lines.filter(({ action }) => action === 'cutover-begin')).toEqual([]);
  });

  test('and a trial that was slow does not lead traffic away from where authority has gone meanwhile', async () => {
    const asleep = latch();
    const wake = latch();
    const hook = gate.hook({
      prepare: async (side) => {
        asleep.open();
        await wake.opened;
        gate.leadsTo = side;
        throw new Error('no longer');
      },
    });
    const slow = switchAuthority(withHook(coordinator, hook), to('target')).catch(messageOf);
    await asleep.opened;
    await switchAuthority(worker, to('target'));
    wake.open();
    expect(await slow).toContain('no longer');
    await settled();
  });

  test('in a dry run, which asks and does not try', async () => {
    const tried: Side[] = [];
    const asked: Side[] = [];
    const hook = gate.hook({
      check: async (side) => {
        asked.push(side);
        return [];
      },
      prepare: async (side) => {
        tried.push(side);
      },
    });
    await switchAuthority(withHook(coordinator, hook), to('target', { dryRun: true }));
    expect({ asked, tried }).toEqual({ asked: ['source'], tried: [] });
  });

  test('a hook that throws at once, without a promise, is a finding as well', async () => {
    const check = (): never => {
      throw new Error('at once');
    };
    const found = await inspectTraffic(withHook(coordinator, gate.hook({ check })), 'source');
    expect(found).toMatchObject([{ id: 'traffic/no-answer', verdict: 'unknown' }]);
  });
});

describe('a release that fails', () => {
  const jammed = (times: number): TrafficHook => {
    let left = times;
    const { release, ...rest } = gate.hook();
    return {
      ...rest,
      release: (side) => (left-- > 0 ? Promise.reject(new Error('jammed')) : release(side)),
    };
  };

  test('after the commit is tried again', async () => {
    const done = await switchAuthority(withHook(coordinator, jammed(2)), to('target'));
    expect(done).toMatchObject({ settled: true });
    await settled();
  });

  test('for good after the commit: the switch stands, says so, and another process goes on', async () => {
    const done = await switchAuthority(withHook(coordinator, jammed(1_000)), to('target'));
    expect(done).toMatchObject({ outcome: 'committed', settled: false });
    expect(done.problem).toContain('releasing the gate failed: jammed');
    expect(gate.held).toBe(true);
    const pending = await resumeCutover(withHook(worker, jammed(1_000)));
    expect(pending).toMatchObject({ outcome: 'pending' });
    expect(pending.message).toContain('jammed');
    // Strangers that do not come through the hook are let in meanwhile.
    await migration.foreignPut('target', 'x');
    expect(await resumeCutover(worker)).toMatchObject({ outcome: 'settled' });
    await settled();
    expect(await resumeCutover(worker)).toMatchObject({ outcome: 'nothing' });
  });

  test('in the undo keeps no own write waiting, and another process goes on', async () => {
    const stop = (step: CutoverStep): void => {
      if (step === 'seal') throw new Error('stopped');
    };
    const failed = switchAuthority(
      withHook(coordinator, jammed(1_000)),
      to('target', { onStep: stop }),
    );
    await expect(failed).rejects.toThrow(/traffic may still be held/);
    expect(await load()).toMatchObject({ phase: 'read-switch', cutover: null });
    expect(gate.held).toBe(true);
    await put(coordinator, 'a', 1);
    expect(await resumeCutover(worker)).toMatchObject({ outcome: 'settled' });
    await settled();
  });

  test('in the undo, with a store that does not answer: the next attempt lets go before it clears the mark', async () => {
    const { target } = coordinator.stores;
    let down = false;
    const unlessDown = <T>(work: () => Promise<T>): Promise<T> =>
      down ? Promise.reject(new Error('down')) : work();
    const guardOf: typeof target.guard = {
      ...target.guard,
      read: () => unlessDown(() => target.guard.read()),
      change: (...args) => unlessDown(() => target.guard.change(...args)),
    };
    const stores = { ...coordinator.stores, target: { ...target, guard: guardOf } };
    const onStep = (step: CutoverStep): void => {
      if (step !== 'commit') return;
      down = true;
      throw new Error('stopped');
    };
    const failed = switchAuthority(
      withHook({ ...coordinator, stores }, jammed(1_000)),
      to('target', { onStep }),
    );
    await expect(failed).rejects.toThrow(/traffic may still be held/);
    expect(gate.held).toBe(true);
    // Nobody else has looked meanwhile; the gate says no as long as it is held.
    const check: TrafficHook['check'] = async () =>
      gate.held ? [{ id: 'gate/held', verdict: 'fail', message: 'Held.', fix: '' }] : [];
    await switchAuthority(withHook(coordinator, gate.hook({ check })), to('target'));
    await settled();
  });

  test('the store that is left does not answer: it is let go again all the same', async () => {
    await switchAuthority(withHook(coordinator, jammed(1_000)), to('target'));
    const away = { ...worker.stores.source.guard, read: () => Promise.reject(new Error('down')) };
    const stores = { ...worker.stores, source: { ...worker.stores.source, guard: away } };
    expect(await resumeCutover({ ...worker, stores })).toMatchObject({ outcome: 'pending' });
    expect(gate).toMatchObject({ held: false, leadsTo: 'target' });
  });
});

describe('a rescue', () => {
  /** Of a pooler whose clients have transactions open in a target that does not answer any more. */
  const stuck: Partial<TrafficHook> = {
    check: () => Promise.reject(new Error('away')),
    prepare: () => Promise.reject(new Error('away')),
    hold: () => Promise.reject(new Error('transactions did not end')),
  };
  test.each([false, true])(
    '(target unreachable: %s) waits for no hook, and leads its traffic to the source',
    async (unreachable) => {
      await switchAuthority(coordinator, to('target'));
      const done = await rescue(withHook(coordinator, gate.hook(stuck)), unreachable);
      expect(done).toMatchObject({ outcome: 'committed', settled: true });
      expect(gate).toMatchObject({ held: false, leadsTo: 'source' });
      expect(gate.calls.at(-1)).toBe('release source');
    },
  );

  test('holds what a hook can hold', async () => {
    await switchAuthority(coordinator, to('target'));
    gate.calls.length = 0;
    await rescue(coordinator);
    expect(gate.calls).toEqual(['hold', 'release source']);
  });

  test('that is undone lets go', async () => {
    await switchAuthority(coordinator, to('target'));
    const onStep = (step: CutoverStep): void => {
      if (step === 'flip') throw new Error('stopped');
    };
    const failing = switchAuthority(coordinator, to('source', { rescue: 'sealed', onStep }));
    await expect(failing).rejects.toThrow(/stopped/);
    await settled();
  });
});

describe('a coordinator that is gone', () => {
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
  const steps = cutoverSteps.slice(cutoverSteps.indexOf('begin') + 1);

  for (const side of ['target', 'source'] as const) {
    test.each(steps)(`before %s, on the way to the ${side}: traffic goes on`, async (step) => {
      if (side === 'source') await switchAuthority(coordinator, to('target'));
      await gone(step, side);
      const { outcome } = await resumeCutover(worker, { force: true });
      expect(outcome).toBe(step === 'settle' ? 'settled' : 'undone');
      await settled();
    });
  }

  test('slept in the hold until others had undone it: what it holds then is let go', async () => {
    const asleep = latch();
    const wake = latch();
    const hook = gate.hook({
      hold: async () => {
        asleep.open();
        await wake.opened;
        gate.held = true;
      },
    });
    const failing = switchAuthority(withHook(coordinator, hook), to('target')).catch(messageOf);
    await asleep.opened;
    await resumeCutover(worker, { force: true });
    await settled();
    wake.open();
    expect(await failing).toContain('was undone already');
    await settled();
  });

  test('slept in the release until authority had gone back: the release that was late does not stand', async () => {
    const asleep = latch();
    const wake = latch();
    let sleeps = true;
    const plain = gate.hook();
    const hook = gate.hook({
      release: async (side) => {
        if (sleeps) {
          sleeps = false;
          asleep.open();
          await wake.opened;
        }
        await plain.release(side);
      },
    });
    const first = switchAuthority(withHook(coordinator, hook), to('target'));
    await asleep.opened;
    await resumeCutover(worker);
    await switchAuthority(worker, to('source'));
    await settled();
    wake.open();
    await first;
    await settled();
  });
});
