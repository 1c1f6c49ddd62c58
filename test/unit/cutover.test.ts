import { describe, expect, test } from 'vitest';
import {
  type CutoverStep,
  cutoverSteps,
  type SwitchOptions,
  switchAuthority,
} from '../../src/cutover/index.ts';
import type { ChangeoverError } from '../../src/errors/index.ts';
import {
  actions,
  consistent,
  context,
  load,
  migration,
  neverTwoAuthorities,
  other,
  toSource,
  toTarget,
} from '../support/cutover-rig.ts';
import { drainBy, latch, pass, put, router } from '../support/memory-migration.ts';

describe('a change of authority', () => {
  test('goes through its steps in order and leaves one authority', async () => {
    await put(context, 'a', 1);
    const done = await switchAuthority(context, toTarget());
    expect(done).toMatchObject({ outcome: 'committed', settled: true });
    expect(done.steps.map(({ step }) => step)).toEqual([...cutoverSteps]);
    expect(done.pauseMs).toBeGreaterThan(0);
    expect(await load()).toMatchObject({ phase: 'write-switch', epoch: 2, dialBasisPoints: 0 });
    await consistent();
    neverTwoAuthorities();
    const [copied] = await context.stores.target.records.read('items', [['a']]);
    expect(copied?.record).toEqual({ id: 'a', name: 'epoch 1' });
  });

  test('is told step by step in the audit, with the evidence it was decided on', async () => {
    const { attempt } = await switchAuthority(context, toTarget({ evidence: { gates: ['all'] } }));
    const told = (await actions('cutover-step')).map(({ detail }) => detail);
    expect(told.map(({ step }) => step)).toEqual([...cutoverSteps]);
    expect(
      told.every((line) => line['attempt'] === attempt && typeof line['ms'] === 'number'),
    ).toBe(true);
    const [begun] = await actions('cutover-begin');
    expect(begun?.detail).toMatchObject({ attempt, evidence: { gates: ['all'] } });
  });

  test('and back again, and forth again: the epoch rises each time', async () => {
    await switchAuthority(context, toTarget());
    await put(context, 'b', 2, 'target');
    const back = await switchAuthority(context, toSource());
    expect(back.state).toMatchObject({ phase: 'read-switch', epoch: 3 });
    const [copied] = await context.stores.source.records.read('items', [['b']]);
    expect(copied?.record).toEqual({ id: 'b', name: 'epoch 2' });
    await switchAuthority(context, toTarget());
    expect((await load()).epoch).toBe(4);
    await consistent();
    neverTwoAuthorities();
  });

  test('refuses the stale writers of both kinds afterwards', async () => {
    await switchAuthority(context, toTarget());
    await expect(put(context, 'a', 1)).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    await expect(migration.foreignPut('source', 'x')).rejects.toThrow();
    await migration.foreignPut('target', 'y');
  });

  test('a dry run looks and changes nothing', async () => {
    const before = migration.guardHistory.length;
    const done = await switchAuthority(context, toTarget({ dryRun: true }));
    expect(done).toMatchObject({ outcome: 'dry-run', pauseMs: 0 });
    expect(migration.guardHistory.length).toBe(before);
    expect(await actions('cutover-step')).toEqual([]);
    await expect(switchAuthority(context, toSource({ dryRun: true }))).rejects.toMatchObject({
      code: 'TRANSITION_REFUSED',
    });
  });
});

/** A coordinator that falls asleep just before a step, and can be woken. */

describe('before the commit', () => {
  const failsAt = async (step: CutoverStep, code: string, options: SwitchOptions) => {
    const error = await switchAuthority(context, options).then(
      () => null,
      (thrown: ChangeoverError) => thrown,
    );
    expect(error).toMatchObject({ code });
    if (step !== 'preflight') expect(error?.data).toMatchObject({ step });
    await consistent();
    neverTwoAuthorities();
    return error;
  };

  test.each(cutoverSteps.slice(2, -1))('a failure of %s undoes itself', async (step) => {
    await failsAt(
      step,
      'CUTOVER_ABORTED',
      toTarget({
        onStep: (name) => {
          if (name === step) throw new Error('out of luck');
        },
      }),
    );
    expect(await load()).toMatchObject({ phase: 'read-switch', epoch: 1 });
    await put(context, 'a', 1);
  });

  test('a dead letter stops it before anything was begun', async () => {
    const { queue } = context.stores.source;
    await queue.enqueue([
      { collection: 'items', key: ['a'], kind: 'change', graceMs: 0, deadReason: 'no' },
    ]);
    const error = await failsAt('preflight', 'CUTOVER_ABORTED', toTarget());
    expect(error?.message).toContain('1 dead letters');
    expect(await actions('cutover-begin')).toEqual([]);
  });

  test('a queue that does not drain undoes it, to the source as REVERSE_NOT_DRAINED', async () => {
    await put(context, 'a', 1);
    const nobody = { drain: async () => {}, holdMs: 200 };
    await failsAt('drain', 'CUTOVER_ABORTED', toTarget(nobody));
    await switchAuthority(context, toTarget());
    await put(context, 'b', 2, 'target');
    await failsAt('drain', 'REVERSE_NOT_DRAINED', toSource(nobody));
    expect(await load()).toMatchObject({ phase: 'write-switch', epoch: 2 });
    await put(context, 'c', 2, 'target');
  });

  test('a queue that is too long before the hold holds nobody', async () => {
    await put(context, 'a', 1);
    await failsAt(
      'preflight',
      'CUTOVER_ABORTED',
      toTarget({ drain: async () => {}, waitingMax: 0, drainTimeoutMs: 50 }),
    );
    expect(await actions('cutover-hold-writes')).toEqual([]);
  });

  test('an instance that runs and does not acknowledge stops it, by name', async () => {
    await router(context, 'slow-one', 1);
    const error = await failsAt(
      'acknowledge',
      'FLEET_NOT_ACKNOWLEDGED',
      toTarget({ ackTimeoutMs: 60 }),
    );
    expect(error?.message).toContain('slow-one');
  });

  test('an instance that has just fallen silent is waited for while writes flow', async () => {
    await router(context, 'just-died', (await load()).version, 150);
    await new Promise((resolve) => setTimeout(resolve, 110));
    const { steps } = await switchAuthority(context, toTarget({ ackTimeoutMs: 20 }));
    expect(steps.find(({ step }) => step === 'preflight')?.ms).toBeGreaterThan(30);
  });

  test('an instance whose lease has expired is left to the seal', async () => {
    await router(context, 'dead-one', 1, -1);
    await switchAuthority(context, toTarget({ ackTimeoutMs: 60 }));
    await expect(put(context, 'late', 1)).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
  });

  test('keys in doubt stop the way forward, not the way back', async () => {
    const doubt = () =>
      context.control.mismatches.record('shop', [
        {
          collection: 'items',
          key: '["a"]',
          kind: 'different',
          status: 'suspect',
          detector: 'shadow-read',
          differences: [],
          firstSeenMs: 0,
          lastSeenMs: 0,
          rechecks: 0,
          note: '',
        },
      ]);
    await doubt();
    await failsAt('in-doubt', 'CUTOVER_ABORTED', toTarget({ holdMs: 150 }));
    const recheck = () =>
      context.control.mismatches.drop('shop', [{ collection: 'items', key: '["a"]' }]);
    await switchAuthority(context, toTarget({ recheck }));
    await doubt();
    await switchAuthority(context, toSource({ holdMs: 150 }));
  });

  test('the hold has an end: a step that hangs is given up within the budget', async () => {
    const started = performance.now();
    await put(context, 'a', 1);
    let held = false;
    const drain = () => (held ? new Promise<void>(() => {}) : Promise.resolve());
    const onStep = (name: CutoverStep): void => {
      held = name !== 'preflight';
    };
    await failsAt('drain', 'CUTOVER_ABORTED', toTarget({ drain, onStep, holdMs: 150 }));
    expect(performance.now() - started).toBeLessThan(1_500);
  });

  test('a state that has moved on is not switched', async () => {
    await failsAt('preflight', 'STATE_CHANGED', toTarget({ expectedVersion: 3 }));
    const { version } = await load();
    const bump = (name: CutoverStep) =>
      name === 'begin' ? pass(other, { type: 'dial', basisPoints: 5 }).then(() => {}) : undefined;
    await failsAt(
      'preflight',
      'STATE_CHANGED',
      toTarget({ expectedVersion: version, onStep: bump }),
    );
    expect(await actions('cutover-begin')).toEqual([]);
  });

  test('a guard that says something else than the state stops it', async () => {
    const { guard } = context.stores.target;
    await guard.change(await guard.read(), { role: 'idle', epoch: 1, attempt: null }, 500);
    await expect(switchAuthority(context, toTarget())).rejects.toMatchObject({
      code: 'CUTOVER_ABORTED',
      message: expect.stringContaining('idle/1'),
    });
    expect(await actions('cutover-begin')).toEqual([]);
  });
});

describe('the seal', () => {
  test('waits for a write that is under way, and that write is drained before the switch', async () => {
    const [entered, finish] = [latch(), latch()];
    const write = () =>
      context.stores.source.records.write({
        collection: 'items',
        key: ['slow'],
        action: 'put',
        record: { id: 'slow', name: 'in time' },
        epoch: 1,
        journal: 'change',
        graceMs: 0,
        timeoutMs: 5_000,
        beforeCommit: async () => {
          entered.open();
          await finish.opened;
        },
      });
    let writing: Promise<unknown> = Promise.resolve();
    const drained: CutoverStep[] = [];
    let at: CutoverStep = 'preflight';
    const onStep = async (name: CutoverStep): Promise<void> => {
      at = name;
      // By an instance whose lease has run out: nobody waits for its acknowledgement.
      if (name === 'hold') writing = write();
      if (name === 'hold') await entered.opened;
      if (name === 'seal') setTimeout(finish.open, 120);
    };
    const drain: SwitchOptions['drain'] = async (side, signal) => {
      drained.push(at);
      await drainBy(other)(side, signal);
    };
    const done = await switchAuthority(other, toTarget({ drain, onStep }));
    await writing;
    expect(drained).toContain('final-drain');
    expect(done.steps.find(({ step }) => step === 'seal')?.ms).toBeGreaterThan(80);
    const [copied] = await context.stores.target.records.read('items', [['slow']]);
    expect(copied?.record).toEqual({ id: 'slow', name: 'in time' });
  });
});
