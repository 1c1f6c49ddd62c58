import type { MigrationContext } from '../control/index.ts';
import {
  authorityOf,
  type Collection,
  collectionOf,
  followerOf,
  type MigrationState,
} from '../migration/index.ts';
import type { MigrationStore } from '../store/index.ts';

/** Which store is compared with which, fixed when the work begins: a change of authority or generation ends it. */
export interface VerifyScope {
  readonly context: MigrationContext;
  readonly collection: Collection;
  readonly begun: MigrationState;
  readonly authority: MigrationStore;
  readonly follower: MigrationStore;
  readonly currentState: () => MigrationState;
  readonly signal: AbortSignal;
  /** The caller is the operator: background work that is held is done all the same. */
  readonly ignoreHold: boolean;
}

/** Why work ended early. */
export type VerifyStop =
  /** The signal. */
  | 'aborted'
  /** The operator holds background work. */
  | 'held'
  /** Authority, epoch or generation changed. */
  | 'state-changed'
  /** So many mismatches that it is a bug, not drift. */
  | 'too-many-mismatches';

export interface ScopeOptions {
  /** The newest state that this process knows; asked often. */
  readonly currentState: () => MigrationState;
  /** Work although the operator holds background work. Default false. */
  readonly ignoreHold?: boolean;
}

/** The scope in the present state. Throws COLLECTION_UNKNOWN. */
export function verifyScope(
  context: MigrationContext,
  collection: string,
  options: ScopeOptions,
  signal: AbortSignal,
): VerifyScope {
  const begun = options.currentState();
  return {
    context,
    collection: collectionOf(context.migration, collection),
    begun,
    authority: context.stores[authorityOf(begun.phase)],
    follower: context.stores[followerOf(begun.phase)],
    currentState: options.currentState,
    signal,
    ignoreHold: options.ignoreHold ?? false,
  };
}

/** Why the work has to end now; null: it goes on. */
export function stopReason(scope: VerifyScope): VerifyStop | null {
  if (scope.signal.aborted) return 'aborted';
  const state = scope.currentState();
  const same =
    state.generation === scope.begun.generation &&
    state.epoch === scope.begun.epoch &&
    authorityOf(state.phase) === scope.authority.side;
  if (!same) return 'state-changed';
  return state.workHeld && !scope.ignoreHold ? 'held' : null;
}

/** How long a wait may overlook a change of state. */
const PAUSE_SLICE_MS = 250;

/** Waits `ms`, or less when the work has to end. Never throws. */
export async function pause(scope: VerifyScope, ms: number): Promise<void> {
  const { clock } = scope.context.runtime;
  const until = clock.monotonic() + ms;
  while (stopReason(scope) === null) {
    const rest = until - clock.monotonic();
    if (rest <= 0) return;
    await clock.sleep(Math.min(rest, PAUSE_SLICE_MS), scope.signal).catch(() => undefined);
  }
}
