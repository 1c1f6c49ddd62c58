import type { MigrationContext } from '../control/index.ts';
import type { Collection, MigrationState } from '../migration/index.ts';
import { decodeKey, encodeKey, type Key } from '../record/index.ts';
import { createWorkLease, isCopied, noteRun, type RepairReport, repair } from '../verify/index.ts';
import type { WorkerTask } from './worker-tasks.ts';

const IDLE_MS = 1_000;
const LEASE_MS = 30_000;
/** Keys of one turn. */
const KEYS_MAX = 100;
/** What could not be repaired is not tried again before. */
const AGAIN_MS = 600_000;

/** Repairs what is confirmed in collections that ask for it, one worker of the fleet at a time. Held with all background work. */
export function repairTask(context: MigrationContext): WorkerTask {
  const { clock } = context.runtime;
  const wanted = [...context.migration.collections.values()].filter(
    ({ repair: setting }) => setting?.mode === 'automatic',
  );
  const lease = createWorkLease(context, 'repair', LEASE_MS);
  /** Collection and key → when it may be tried again. */
  const later = new Map<string, number>();

  const dueKeys = async ({ name, repair: setting }: Collection): Promise<readonly Key[]> => {
    const { control, migration } = context;
    const lines = await Promise.all(
      (['open', 'recurring'] as const).map((status) =>
        control.mismatches.list(migration.name, { status, collection: name, limit: 1_000 }),
      ),
    );
    const now = clock.monotonic();
    return lines
      .flat()
      .filter(
        ({ kind, key }) =>
          (setting?.extras === 'delete' || kind !== 'extra') &&
          (later.get(`${name} ${key}`) ?? 0) <= now,
      )
      .slice(0, KEYS_MAX)
      .map(({ key }) => decodeKey(key));
  };

  const repairSome = async (
    collection: Collection,
    keys: readonly Key[],
    currentState: () => MigrationState,
    signal: AbortSignal,
  ): Promise<RepairReport> => {
    const startedAtMs = context.runtime.clock.now();
    const report = await repair(
      context,
      collection.name,
      keys,
      { currentState, mode: 'apply', deleteExtras: collection.repair?.extras === 'delete' },
      signal,
    );
    const again = clock.monotonic() + AGAIN_MS;
    for (const { key, outcome } of report.keys) {
      const place = `${collection.name} ${encodeKey(key)}`;
      if (outcome === 'repaired' || outcome === 'equal') later.delete(place);
      else later.set(place, again);
    }
    if (report.counts.repaired > 0 || report.counts.failed > 0)
      await noteRun(context, currentState().generation, {
        kind: 'repair',
        collection: collection.name,
        reason: 'confirmed mismatches are repaired automatically',
        startedAtMs,
        counts: report.counts,
      });
    return report;
  };

  return {
    name: 'repair',
    idleMs: IDLE_MS,
    holdable: true,
    async turn(currentState, signal) {
      let busy = false;
      for (const collection of wanted) {
        if (!(await isCopied(context, currentState(), collection.name))) continue;
        const keys = await dueKeys(collection);
        if (keys.length === 0) continue;
        if (!(await lease.hold())) return 'idle';
        const { reason } = await repairSome(collection, keys, currentState, signal);
        busy ||= reason === null;
      }
      return busy ? 'busy' : 'idle';
    },
  };
}
