import { setTimeout as sleep } from 'node:timers/promises';
import { latencyCheck, probeLatency, type ThrottleCheck } from '../backfill/index.ts';
import type { MigrationContext } from '../control/index.ts';

const samples = 20;
const sampleEveryMs = 40;
const limitMsMin = 60;
const limitMsMax = 150;
/** The limit is so many times what is usual: the demo has to run on an idle workstation and on a busy build machine. */
const timesUsual = 6;

/** The throttle's check of the source, whose limit is found by looking at the machine it runs on. */
export interface SourceLatency {
  readonly check: ThrottleCheck;
  limitMs(): number;
  /** Measures what is usual under the present load and sets the limit. Milliseconds. */
  calibrate(signal: AbortSignal): Promise<{ readonly usualMs: number; readonly limitMs: number }>;
}

export function createSourceLatency(context: MigrationContext): SourceLatency {
  const [name] = context.migration.collections.keys();
  const measure = probeLatency(context.runtime.clock, context.stores.source, name ?? '');
  const checkAt = (limitMs: number): ThrottleCheck =>
    latencyCheck('source latency', measure, limitMs);
  let limit = limitMsMin;
  let inner = checkAt(limit);
  return {
    check: { name: 'source latency', ask: () => inner.ask() },
    limitMs: () => limit,
    async calibrate(signal) {
      const seen: number[] = [];
      for (let sample = 0; sample < samples; sample++) {
        seen.push(await measure());
        await sleep(sampleEveryMs, undefined, { signal });
      }
      seen.sort((a, b) => a - b);
      const usualMs = seen[Math.floor(samples / 2)] ?? 0;
      limit = Math.min(limitMsMax, Math.max(limitMsMin, Math.round(usualMs * timesUsual)));
      inner = checkAt(limit);
      return { usualMs, limitMs: limit };
    },
  };
}
