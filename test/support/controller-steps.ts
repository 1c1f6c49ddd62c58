import { expect } from 'vitest';
import {
  comparatorsOf,
  fingerprintOf,
  latencyBucket,
  type MigrationContext,
  subjectOf,
} from '../../src/control/index.ts';
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
    await worker();
    await compared(400, 0);
  }
  /** A worker that says it lives. It has acknowledged everything, so that nobody waits for it. */
  const worker = (leaseMs = 60_000) =>
    current().context.control.fleet.heartbeat(
      'shop',
      { id: 'a-worker', kind: 'worker', label: 'host:worker', acknowledgedVersion: 1_000_000 },
      leaseMs,
    );
  const verified = async (open: number) =>
    current().context.control.note('shop', {
      ...by,
      action: 'verify',
      detail: {
        generation: (await load()).generation,
        collections: ['items'],
        finished: true,
        open,
        comparators: comparatorsOf(
          current().context.migration,
          current().context.runtime.clock.now(),
        ),
      },
    });
  let records = 0;
  /** So many shadow reads, each of another record, a millisecond on each store. */
  const compared = async (matched: number, confirmed: number): Promise<void> => {
    const { control, migration, runtime } = current().context;
    const nowMs = runtime.clock.now();
    const minute = Math.floor(nowMs / 60_000);
    const of = { collection: 'items', detector: 'shadow-read', minute };
    await control.evidence.add('shop', [
      {
        ...of,
        fingerprint: fingerprintOf(migration, 'items', nowMs),
        compared: matched + confirmed,
        matched,
        suspect: 0,
        confirmed,
        shed: 0,
        timedOut: 0,
        failed: 0,
        subjects: Array.from({ length: matched }, () => subjectOf(`["${records++}"]`, 'as it is')),
      },
    ]);
    const buckets = new Map([[latencyBucket(1), matched + confirmed]]);
    await control.evidence.addLatencies('shop', [
      { collection: 'items', side: 'source', minute, buckets },
      { collection: 'items', side: 'target', minute, buckets },
    ]);
  };
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

  return {
    load,
    guardsAsTheStateSays,
    unjournalled,
    proof,
    verified,
    worker,
    compared,
    advanceTo,
  };
}
