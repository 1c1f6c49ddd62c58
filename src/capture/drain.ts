import type { MigrationContext } from '../control/index.ts';
import type { MigrationState } from '../migration/index.ts';
import { authorityOf } from '../migration/index.ts';
import type { QueueDepth } from '../queue/index.ts';
import { type ApplierOptions, drainOnce } from './applier.ts';

/**
 * Rounds until the authority's queue holds nothing but dead letters, or `deadlineMs` (from now) has passed. Entries that other processes hold
 * in their grace or claim are waited for. The depth at the end: `waiting` 0 means drained.
 */
export async function drainUntilEmpty(
  context: MigrationContext,
  state: MigrationState,
  options: ApplierOptions,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<QueueDepth> {
  const { clock } = context.runtime;
  const { queue } = context.stores[authorityOf(state.phase)];
  const until = clock.monotonic() + deadlineMs;
  for (;;) {
    signal.throwIfAborted();
    const round = await drainOnce(context, state, options);
    if (round.claimed === 0) {
      const depth = await queue.depth();
      if (depth.waiting === 0 || clock.monotonic() >= until) return depth;
    }
    if (round.claimed === 0 || round.storeDown) await clock.sleep(10, signal);
    if (clock.monotonic() >= until) return queue.depth();
  }
}
