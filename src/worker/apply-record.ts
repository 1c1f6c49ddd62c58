import type { MigrationContext, WorkerReport } from '../control/index.ts';
import { authorityOf, type ChangeoverEvent, type MigrationState } from '../migration/index.ts';

/** What is told is of so long. */
const WINDOW_MS = 60_000;
/** A message that is longer says nothing more to a reader of `status`. */
const MESSAGE_MAX = 300;
/** Rounds in memory, at most; the newest. */
const ROUNDS_MAX = 2_000;

interface Round {
  readonly endedMs: number;
  readonly amount: number;
  readonly ms: number;
}

/** A worker's memory of its work for the follower, for its heartbeats. Forgets everything when the direction changes. */
export interface ApplyRecord {
  report(state: MigrationState): WorkerReport;
  /** A whole turn that threw: nothing could be applied. */
  failed(message: string): void;
  close(): void;
}

/** Listens to the events of the appliers of this process. */
export function createApplyRecord({
  events,
  runtime: { clock },
}: Pick<MigrationContext, 'events' | 'runtime'>): ApplyRecord {
  let side: WorkerReport['side'] = 'source';
  let queue: Round[] = [];
  let log: Round[] = [];
  let logLagMs: number | null = null;
  let appliedMs: number | null = null;
  let failure: { readonly atMs: number; readonly message: string } | null = null;
  const turnTo = (next: WorkerReport['side']): void => {
    if (next === side) return;
    side = next;
    queue = [];
    log = [];
    [logLagMs, appliedMs, failure] = [null, null, null];
  };
  const failed = (message: string): void => {
    failure = { atMs: clock.monotonic(), message: message.slice(0, MESSAGE_MAX) };
  };
  const applied = (rounds: Round[], amount: number, ms: number): void => {
    if (amount === 0) return;
    appliedMs = clock.monotonic();
    rounds.push({ endedMs: appliedMs, amount, ms });
    if (rounds.length > ROUNDS_MAX) rounds.splice(0, ROUNDS_MAX / 2);
  };
  const take = (event: ChangeoverEvent): void => {
    if (event.type === 'drained') {
      turnTo(event.side);
      applied(queue, event.applied + event.stale, event.ms);
    } else if (event.type === 'log') {
      turnTo(event.side);
      logLagMs = event.lagMs;
      applied(log, event.applied + event.stale, event.ms);
    } else if (event.type === 'apply-failed') {
      turnTo(event.side);
      failed(`${event.code}: ${event.message}`);
    }
  };
  const ago = (atMs: number | null): number | null =>
    atMs === null ? null : Math.round(clock.monotonic() - atMs);
  const unsubscribe = events.subscribe(take);
  return {
    failed,
    report({ phase }) {
      turnTo(authorityOf(phase));
      const since = clock.monotonic() - WINDOW_MS;
      const recent = failure !== null && failure.atMs >= since ? failure : null;
      return {
        side,
        changesPerSecond: rateOf(queue, since),
        keysPerSecond: rateOf(log, since),
        logLagMs,
        appliedAgoMs: ago(appliedMs),
        lastError: recent?.message ?? null,
        failedAgoMs: ago(recent?.atMs ?? null),
      };
    },
    close: unsubscribe,
  };
}

/** While there was something to do: pauses do not count. */
function rateOf(rounds: readonly Round[], since: number): number | null {
  let [amount, ms] = [0, 0];
  for (const round of rounds) {
    if (round.endedMs < since) continue;
    amount += round.amount;
    ms += round.ms;
  }
  return amount === 0 ? null : Math.round((amount * 1_000) / Math.max(1, ms));
}
