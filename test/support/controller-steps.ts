import { expect } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import type { Controller } from '../../src/controller/index.ts';
import { expectedGuard } from '../../src/cutover/index.ts';
import type { MigrationState, Phase } from '../../src/migration/index.ts';
import { by } from './memory-migration.ts';

/** What operators and background work do to a migration, for tests of the controller. `current` is asked anew each time. */
export function controllerSteps(
  current: () => { readonly context: MigrationContext; readonly controller: Controller },
) {
  const load = (): Promise<MigrationState> => current().context.control.load('shop');
  const guardsAsTheStateSays = async (): Promise<void> => {
    const state = await load();
    for (const side of ['source', 'target'] as const)
      expect(await current().context.stores[side].guard.read(), side).toEqual(
        expectedGuard(state, side),
      );
  };
  const unjournalled = (epoch = 1) =>
    current().context.stores.source.records.write({
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
    const now = current().context.runtime.clock.now();
    await current().context.control.saveCheckpoint('shop', {
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
    current().context.control.note('shop', {
      ...by,
      action: 'verify',
      detail: {
        generation: (await load()).generation,
        collections: ['items'],
        finished: true,
        open,
      },
    });
  const compared = (matched: number, confirmed: number) =>
    current().context.control.evidence.add('shop', [
      {
        collection: 'items',
        detector: 'shadow-read',
        minute: Math.floor(current().context.runtime.clock.now() / 60_000),
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
    if ((await load()).phase === 'off') await current().controller.start(by);
    while ((await load()).phase !== goal) {
      const { phase } = await load();
      if (phase === 'backfill') await proof();
      if (phase === 'read-switch') await current().controller.dial(100, undefined, by);
      await current().controller.advance(by);
    }
  }

  return { load, guardsAsTheStateSays, unjournalled, proof, verified, compared, advanceTo };
}
