import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import {
  authorityOf,
  type Collection,
  followerOf,
  type MigrationState,
  routingTable,
} from '../migration/index.ts';
import type { MigrationStore } from '../store/index.ts';
import type { BackfillStop } from './backfill-options.ts';

/** What one backfill run works on, fixed when it begins: a change of any of it ends the run. */
export interface BackfillScope {
  readonly context: MigrationContext;
  readonly collection: Collection;
  readonly begun: MigrationState;
  readonly authority: MigrationStore;
  readonly follower: MigrationStore;
  readonly signal: AbortSignal;
  readonly currentState: () => MigrationState;
}

/** The scope of a run in the present state; TRANSITION_REFUSED when nobody follows in this phase. */
export function backfillScope(
  context: MigrationContext,
  collection: Collection,
  currentState: () => MigrationState,
  signal: AbortSignal,
): BackfillScope {
  const begun = currentState();
  if (routingTable[begun.phase].follow !== 'apply') {
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      `A backfill of "${collection.name}" needs live writes to reach the follower, and in phase ${begun.phase} they do not.`,
    );
  }
  return {
    context,
    collection,
    begun,
    authority: context.stores[authorityOf(begun.phase)],
    follower: context.stores[followerOf(begun.phase)],
    signal,
    currentState,
  };
}

/** Why the run has to end now; null: it goes on. */
export function stopReason(scope: BackfillScope): BackfillStop | null {
  if (scope.signal.aborted) return 'aborted';
  const { begun } = scope;
  const state = scope.currentState();
  const same =
    state.phase === begun.phase &&
    state.generation === begun.generation &&
    state.epoch === begun.epoch &&
    state.cutover === null;
  if (!same) return 'state-changed';
  return state.workHeld ? 'held' : null;
}

/** How long a wait may overlook a change of state. */
const PAUSE_SLICE_MS = 250;

/** Waits `ms`, or less when the run has to end. Never throws. */
export async function pause(scope: BackfillScope, ms: number): Promise<void> {
  const { clock } = scope.context.runtime;
  const until = clock.monotonic() + ms;
  while (stopReason(scope) === null) {
    const rest = until - clock.monotonic();
    if (rest <= 0) return;
    await clock.sleep(Math.min(rest, PAUSE_SLICE_MS), scope.signal).catch(() => undefined);
  }
}
