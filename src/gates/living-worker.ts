import type { MigrationContext } from '../control/index.ts';

/**
 * How many workers renew their lease, by the control store's clock: they follow, and recheck what differed at first sight. Without one, that no mismatch
 * is known says nothing.
 */
export async function livingWorkers({ control, migration }: MigrationContext): Promise<number> {
  const { nowMs, instances } = await control.fleet.list(migration.name);
  return instances.filter(({ kind, leaseUntilMs }) => kind === 'worker' && leaseUntilMs > nowMs)
    .length;
}

/** What to do about it. */
export const noWorker =
  'No worker is running, so nobody follows and nobody rechecks what differs: start one with changeover run.';
