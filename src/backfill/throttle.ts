import { messageOf } from '../errors/index.ts';
import { type Clock, withDeadline } from '../runtime/index.ts';
import { createTokenBucket } from './token-bucket.ts';

/** May background work go on? If not, why, in words for the operator. */
export type CheckAnswer = { readonly ok: true } | { readonly reason: string };

/** One reason to slow down. A check that throws or hangs throttles as well: what cannot be read is not fine. */
export interface ThrottleCheck {
  /** Stable name, e.g. `source latency`; a change of it is a new `throttle` event, a change of the figures is not. */
  readonly name: string;
  readonly ask: () => CheckAnswer | Promise<CheckAnswer>;
  /** It looks at changes that the follower does not have: of no use while the copy itself keeps them out (a deferred key). */
  readonly ofWaiting?: boolean;
}

export interface ThrottleOptions {
  /** Token bucket; 0 (default): no limit. */
  readonly rowsPerSecondMax?: number;
  readonly checks?: readonly ThrottleCheck[];
  /** How often the checks are asked, at most. Default 100. */
  readonly pollMs?: number;
  /** A check that has not answered by then cannot be read. Default 1000. */
  readonly checkDeadlineMs?: number;
  /** Called when work begins to wait (or waits for another reason), and with null when it goes on. */
  readonly onChange?: (reason: string | null) => void;
}

/** What ends a wait early. */
export interface WaitScope {
  readonly signal: AbortSignal;
  /** Asked at each poll; true: the work is not wanted any more. */
  readonly stopped?: () => boolean;
}

/** Back-pressure for background work: *any* failing check holds it, and the token bucket spreads it. May be shared. */
export interface Throttle {
  /** Waits until `rows` more rows may be worked on. False: the scope ended first. Never throws. */
  acquire(rows: number, scope: WaitScope): Promise<boolean>;
  /** Why work waits at the moment; null: it does not. */
  reason(): string | null;
}

/** A throttle over these checks. Checks are asked only while somebody wants to work: it owns no timer. */
export function createThrottle(clock: Clock, options: ThrottleOptions = {}): Throttle {
  const pollMs = options.pollMs ?? 100;
  const bucket = createTokenBucket(clock, options.rowsPerSecondMax ?? 0);
  const probes = (options.checks ?? []).map((check) =>
    probeOf(clock, check, options.checkDeadlineMs ?? 1000),
  );
  let current: { readonly name: string; readonly reason: string } | null = null;
  let polledAt = Number.NEGATIVE_INFINITY;
  let polling: Promise<void> | null = null;

  const poll = async (): Promise<void> => {
    const answers = await Promise.all(probes.map((probe) => probe()));
    const found = answers.find((answer) => answer !== null) ?? null;
    const changed = found?.name !== current?.name;
    current = found;
    polledAt = clock.monotonic();
    if (changed) options.onChange?.(found?.reason ?? null);
  };
  const pollWhenDue = async (): Promise<void> => {
    if (probes.length === 0 || clock.monotonic() - polledAt < pollMs) return;
    polling ??= poll().finally(() => {
      polling = null;
    });
    await polling;
  };

  return {
    reason: () => current?.reason ?? null,
    async acquire(rows, { signal, stopped }) {
      for (;;) {
        if (signal.aborted || stopped?.()) return false;
        await pollWhenDue();
        const waitMs = current === null ? bucket.waitMs() : pollMs;
        if (waitMs === 0) {
          // The poll took time: the scope may have ended meanwhile.
          if (signal.aborted || stopped?.()) return false;
          bucket.take(rows);
          return true;
        }
        await clock.sleep(Math.min(waitMs, pollMs), signal).catch(() => undefined);
      }
    },
  };
}

/** One check with a deadline; a call that still hangs is not joined by a second one. */
function probeOf(
  clock: Clock,
  { name, ask }: ThrottleCheck,
  deadlineMs: number,
): () => Promise<{ readonly name: string; readonly reason: string } | null> {
  let hanging = false;
  return async () => {
    if (hanging) return { name, reason: `${name} cannot be read: no answer yet` };
    hanging = true;
    try {
      const asked = Promise.resolve()
        .then(ask)
        .finally(() => {
          hanging = false;
        });
      const answer = await withDeadline(clock, deadlineMs, name, asked);
      return 'reason' in answer ? { name, reason: answer.reason } : null;
    } catch (error) {
      return { name, reason: `${name} cannot be read: ${messageOf(error)}` };
    }
  };
}
