import { coordinatorPrefix, type Instance, type MigrationContext } from '../control/index.ts';
import { messageOf } from '../errors/index.ts';
import { authorityOf, type MigrationState, otherSide, type Side } from '../migration/index.ts';
import type { QueueDepth } from '../queue/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { workerSuffix } from './log-lag.ts';

/** A heartbeat comes three times in a lease: without news for this share of it, one was missed. */
export const SILENCE_SHARE = 0.45;

/** A worker, and what it told last. Ages are of now, by the control store's clock. */
export interface FollowingWorker {
  readonly id: string;
  readonly label: string;
  /** Since it was heard of. */
  readonly heardAgoMs: number;
  /** False: it missed a heartbeat; it may be dead. */
  readonly alive: boolean;
  readonly changesPerSecond: number | null;
  readonly keysPerSecond: number | null;
  readonly logLagMs: number | null;
  readonly appliedAgoMs: number | null;
  readonly lastError: string | null;
  readonly failedAgoMs: number | null;
}

/** How the other store follows the present authority: the forward direction before the write switch, the reverse one after it. */
export interface Following {
  /** The authority. */
  readonly side: Side;
  readonly follower: Side;
  /** null: it did not answer, see `problem`. */
  readonly queue: QueueDepth | null;
  readonly workers: readonly FollowingWorker[];
  /** Of all live workers together; null: they had nothing to do in the last minute. */
  readonly changesPerSecond: number | null;
  readonly keysPerSecond: number | null;
  /** Newest of a live worker; null: not known. */
  readonly logLagMs: number | null;
  /** The newest failure that no success has followed. */
  readonly lastError: { readonly message: string; readonly agoMs: number } | null;
  readonly problem: string | null;
}

/** Looks at queue and workers of the present direction. A queue that does not answer shows as `problem`; CONTROL_UNAVAILABLE throws. */
export async function observeFollowing(
  context: MigrationContext,
  state: MigrationState,
  deadlineMs: number,
): Promise<Following> {
  const side = authorityOf(state.phase);
  const { clock } = context.runtime;
  const asked = withDeadline(
    clock,
    deadlineMs,
    `the queue of the ${side}`,
    context.stores[side].queue.depth(),
  ).catch((error: unknown) => messageOf(error));
  const [{ nowMs, instances }, depth] = await Promise.all([
    context.control.fleet.list(context.migration.name),
    asked,
  ]);
  const workers = instances
    .filter(({ id, kind }) => kind === 'worker' && id.endsWith(workerSuffix))
    .filter(({ id }) => !id.startsWith(coordinatorPrefix))
    .map((one) => toWorker(one, nowMs, side));
  const live = workers.filter(({ alive }) => alive);
  const sum = (of: (worker: FollowingWorker) => number | null): number | null => {
    const known = live.map(of).filter((rate) => rate !== null);
    return known.length === 0 ? null : known.reduce((total, rate) => total + rate, 0);
  };
  return {
    side,
    follower: otherSide[side],
    queue: typeof depth === 'string' ? null : depth,
    workers,
    changesPerSecond: sum(({ changesPerSecond }) => changesPerSecond),
    keysPerSecond: sum(({ keysPerSecond }) => keysPerSecond),
    logLagMs: live.find(({ logLagMs }) => logLagMs !== null)?.logLagMs ?? null,
    lastError: newestFailure(live),
    problem: typeof depth === 'string' ? depth : null,
  };
}

function toWorker(
  { id, label, lastSeenMs, leaseUntilMs, report }: Instance,
  nowMs: number,
  side: Side,
): FollowingWorker {
  const heardAgoMs = Math.max(0, nowMs - lastSeenMs);
  const alive = leaseUntilMs > nowMs && heardAgoMs <= (leaseUntilMs - lastSeenMs) * SILENCE_SHARE;
  // What it told of the other direction says nothing about this one.
  const told = report?.side === side ? report : null;
  const now = (agoMs: number | null | undefined): number | null =>
    agoMs == null ? null : agoMs + heardAgoMs;
  return {
    id,
    label,
    heardAgoMs,
    alive,
    changesPerSecond: told?.changesPerSecond ?? null,
    keysPerSecond: told?.keysPerSecond ?? null,
    logLagMs: told?.logLagMs ?? null,
    appliedAgoMs: now(told?.appliedAgoMs),
    lastError: told?.lastError ?? null,
    failedAgoMs: now(told?.failedAgoMs),
  };
}

function newestFailure(workers: readonly FollowingWorker[]): Following['lastError'] {
  const failing = workers
    .filter(({ lastError, failedAgoMs, appliedAgoMs }) => {
      if (lastError === null || failedAgoMs === null) return false;
      return appliedAgoMs === null || failedAgoMs < appliedAgoMs;
    })
    .sort((a, b) => (a.failedAgoMs ?? 0) - (b.failedAgoMs ?? 0));
  const [newest] = failing;
  if (newest === undefined) return null;
  return { message: newest.lastError ?? '', agoMs: newest.failedAgoMs ?? 0 };
}
