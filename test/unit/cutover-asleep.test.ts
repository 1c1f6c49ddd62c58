import { describe, expect, test } from 'vitest';
import {
  type CutoverStep,
  cutoverSteps,
  resumeCutover,
  type SwitchOptions,
  switchAuthority,
} from '../../src/cutover/index.ts';
import type { ChangeoverError } from '../../src/errors/index.ts';
import {
  actions,
  consistent,
  context,
  guards,
  load,
  migration,
  neverTwoAuthorities,
  other,
  toTarget,
} from '../support/cutover-rig.ts';
import { drainBy, latch, pass, put } from '../support/memory-migration.ts';

async function asleepBefore(step: CutoverStep, more: Partial<SwitchOptions> = {}) {
  const [reached, wake] = [latch(), latch()];
  const run = switchAuthority(
    context,
    toTarget({
      ...more,
      onStep: async (name) => {
        if (name !== step) return;
        reached.open();
        await wake.opened;
      },
    }),
  ).then(
    (result) => ({ result, error: null }),
    (error: ChangeoverError) => ({ result: null, error }),
  );
  await reached.opened;
  return { run, wake: wake.open };
}

describe('a coordinator that falls asleep', () => {
  const undoable = cutoverSteps.slice(cutoverSteps.indexOf('arm'), cutoverSteps.indexOf('settle'));

  test.each(undoable)(
    'before %s is undone by another, and can do nothing when it wakes',
    async (step) => {
      await put(context, 'a', 1);
      const { run, wake } = await asleepBefore(step);
      expect(await resumeCutover(other)).toMatchObject({ outcome: 'running' });
      expect(await resumeCutover(other, { force: true })).toMatchObject({ outcome: 'undone' });
      await consistent();
      expect(await load()).toMatchObject({ phase: 'read-switch', epoch: 1 });
      await put(other, 'b', 1);
      await migration.foreignPut('source', 'c');

      wake();
      expect((await run).error).toMatchObject({ code: 'CUTOVER_ABORTED' });
      expect(await load()).toMatchObject({ phase: 'read-switch', epoch: 1, cutover: null });
      const { source, target } = await guards();
      expect([source.role, source.epoch, target.role, target.epoch]).toEqual([
        'authority',
        1,
        'follower',
        1,
      ]);
      await put(other, 'd', 1);
      neverTwoAuthorities();

      // Whatever mark it has left behind does not stop the next attempt.
      const next = await switchAuthority(other, toTarget({ drain: drainBy(other) }));
      expect(next.state).toMatchObject({ phase: 'write-switch', epoch: 2 });
      await consistent();
    },
  );

  test.each(['seal', 'flip'] as const)(
    'before %s cannot seal a source while the next attempt is under way',
    async (step) => {
      const first = await asleepBefore(step);
      await resumeCutover(other, { force: true });
      const second = switchAuthority(
        other,
        toTarget({
          drain: drainBy(other),
          onStep: async (name) => {
            if (name !== 'acknowledge') return;
            const before = await guards();
            first.wake();
            await first.run;
            expect(await guards()).toEqual(before);
          },
        }),
      );
      expect((await second).state).toMatchObject({ phase: 'write-switch', epoch: 2 });
      expect((await first.run).error).toMatchObject({ code: 'CUTOVER_ABORTED' });
      await consistent();
      neverTwoAuthorities();
    },
  );

  test.each(['source', 'target'] as const)(
    'between the halves of the flip, the one of the %s made',
    async (made) => {
      const [reached, wake] = [latch(), latch()];
      const late = made === 'source' ? 'target' : 'source';
      const { guard } = context.stores[late];
      const slow: typeof guard = {
        ...guard,
        async change(from, to, lockTimeoutMs) {
          if (to.epoch === 2) {
            reached.open();
            await wake.opened;
          }
          return guard.change(from, to, lockTimeoutMs);
        },
      };
      const stores = { ...context.stores, [late]: { ...context.stores[late], guard: slow } };
      const run = switchAuthority({ ...context, stores }, toTarget()).catch(
        (error: unknown) => error,
      );
      await reached.opened;
      await expect.poll(async () => (await guards())[made].epoch).toBe(2);
      expect((await guards())[late].epoch).toBe(1);
      expect(await resumeCutover(other, { force: true })).toMatchObject({ outcome: 'undone' });
      await consistent();
      wake.open();
      expect(await run).toMatchObject({ code: 'CUTOVER_ABORTED' });
      await consistent();
      neverTwoAuthorities();
    },
  );

  test('inside the arming marks a guard at worst, and the next attempt takes it over', async () => {
    const [reached, wake] = [latch(), latch()];
    const { guard } = context.stores.target;
    const slow: typeof guard = {
      ...guard,
      async change(from, to, lockTimeoutMs) {
        reached.open();
        await wake.opened;
        return guard.change(from, to, lockTimeoutMs);
      },
    };
    const stores = { ...context.stores, target: { ...context.stores.target, guard: slow } };
    const run = switchAuthority({ ...context, stores }, toTarget()).catch(
      (error: unknown) => error,
    );
    await reached.opened;
    expect(await resumeCutover(other, { force: true })).toMatchObject({ outcome: 'undone' });
    wake.open();
    expect(await run).toMatchObject({ code: 'CUTOVER_ABORTED' });
    expect((await guards()).target).toMatchObject({ role: 'follower', epoch: 1 });
    await switchAuthority(other, toTarget({ drain: drainBy(other) }));
    await consistent();
  });

  test('after the commit leaves marks that anybody clears', async () => {
    const { run, wake } = await asleepBefore('settle');
    expect((await guards()).target).toMatchObject({ role: 'authority', epoch: 2 });
    await put(other, 'a', 2, 'target');
    expect(await resumeCutover(other, { force: true })).toMatchObject({ outcome: 'settled' });
    await consistent();
    expect(await resumeCutover(other)).toMatchObject({ outcome: 'nothing' });
    wake();
    expect((await run).result).toMatchObject({ outcome: 'committed', settled: true });
    await consistent();
  });

  test('is left alone while its lease holds, and undone when it has run out', async () => {
    const { run, wake } = await asleepBefore('drain', { leaseMs: 60_000 });
    expect(await resumeCutover(other)).toMatchObject({ outcome: 'running' });
    const fleet = await other.control.fleet.list('shop');
    const lease = fleet.instances.find(({ id }) => id.startsWith('cutover:'));
    const { id, kind, label, acknowledgedVersion } = lease!;
    await other.control.fleet.heartbeat('shop', { id, kind, label, acknowledgedVersion }, -1);
    expect(await resumeCutover(other)).toMatchObject({ outcome: 'undone' });
    expect((await actions('cutover-adopt')).length).toBe(1);
    expect((await other.control.fleet.list('shop')).instances).toEqual([]);
    wake();
    await run;
    expect((await other.control.fleet.list('shop')).instances).toEqual([]);
  });

  test('two processes that undo the same attempt do not disturb each other', async () => {
    const { run, wake } = await asleepBefore('commit');
    const third = await migration.open('third');
    const undos = await Promise.all([
      resumeCutover(other, { force: true }),
      resumeCutover(third, { force: true }),
    ]);
    expect(undos.map(({ outcome }) => outcome)).toEqual(['undone', 'undone']);
    await consistent();
    wake();
    await run;
    await consistent();
  });

  test('a rollback by the operator stops it for good', async () => {
    const { run, wake } = await asleepBefore('commit');
    await pass(other, { type: 'rollback', to: 'shadow-read' });
    wake();
    expect((await run).error).toMatchObject({ code: 'CUTOVER_ABORTED' });
    expect(await load()).toMatchObject({ phase: 'shadow-read', epoch: 1 });
    await consistent();
  });
});
