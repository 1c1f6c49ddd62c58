import { setTimeout as sleep } from 'node:timers/promises';
import { latencyCheck, probeLatency, type ThrottleCheck } from '../backfill/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { monotonicMs } from './ledger.ts';

const sampleEveryMs = 50;
/** What was seen so recently still counts: the backfill asks only between two chunks, often just when a lock is over. */
const recentMs = 400;
const calibrationMs = 1_000;
const limitMsMin = 60;
const limitMsMax = 150;
/** The limit is so many times what is usual: the demo has to run on an idle workstation and on a busy build machine. */
const timesUsual = 6;

/** The throttle's check of the source: small reads all the time, against a limit that is found by looking at this machine. */
export interface SourceLatency {
  readonly check: ThrottleCheck;
  limitMs(): number;
  /** Sees what is usual under the present load and sets the limit. Milliseconds. */
  calibrate(signal: AbortSignal): Promise<{ readonly usualMs: number; readonly limitMs: number }>;
  /** Ends the small reads. Idempotent. */
  stop(): void;
}

interface Sample {
  readonly ms: number;
  readonly at: number;
}

/** Begins to read at once. */
export function watchSourceLatency(context: MigrationContext): SourceLatency {
  const [name] = context.migration.collections.keys();
  const measure = probeLatency(context.runtime.clock, context.stores.source, name ?? '');
  let samples: readonly Sample[] = [];
  let begun = monotonicMs();
  let stopped = false;
  const run = async (): Promise<void> => {
    while (!stopped) {
      begun = monotonicMs();
      // A read that fails says nothing about speed, and what cannot be read throttles.
      const ms = await measure().catch(() => Number.POSITIVE_INFINITY);
      const at = monotonicMs();
      samples = [...samples.filter((sample) => sample.at > at - calibrationMs), { ms, at }];
      begun = Number.POSITIVE_INFINITY;
      await sleep(sampleEveryMs, undefined, { ref: false });
    }
  };
  void run();
  const worst = (): number => {
    const now = monotonicMs();
    const recent = samples.filter((sample) => sample.at > now - recentMs).map(({ ms }) => ms);
    return Math.max(0, now - begun, ...recent);
  };
  const checkAt = (limitMs: number): ThrottleCheck =>
    latencyCheck('source latency', worst, limitMs);
  let limit = limitMsMin;
  let inner = checkAt(limit);
  return {
    check: { name: 'source latency', ask: () => inner.ask() },
    limitMs: () => limit,
    async calibrate(signal) {
      await sleep(calibrationMs, undefined, { signal });
      const seen = samples.map(({ ms }) => ms).sort((a, b) => a - b);
      const usualMs = seen[Math.floor(seen.length / 2)] ?? limitMsMax;
      limit = Math.min(limitMsMax, Math.max(limitMsMin, Math.round(usualMs * timesUsual)));
      inner = checkAt(limit);
      return { usualMs, limitMs: limit };
    },
    stop() {
      stopped = true;
    },
  };
}
