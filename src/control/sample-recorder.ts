import { authorityOf, type ChangeoverEvent, type Side } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { MigrationContext } from './migration-context.ts';
import { type Sample, type SampleSeries, sampleBounds, sampleSeries } from './sample-ledger.ts';

/** `router`: what callers wait for. `worker`: what waits for the follower. Two of them may listen to one process. */
export type SampleSource = 'router' | 'worker';

/** Writes measurements of this process into the control store, as they come. */
export interface SampleRecorder {
  /** Sends what is left, waits 1 s for it at most, and listens no more. Idempotent; never throws. */
  close(): Promise<void>;
}

/** Between two writes, at least. */
const FLUSH_MS = 15_000;
const DEADLINE_MS = 1_000;
/** Kept so long: longer than the window of the gates, and than most migrations take. */
export const sampleDays = 35;
const PRUNE_MS = 3_600_000;

/** A minute of one series and side, as it grows. */
interface Tally {
  readonly series: SampleSeries;
  readonly side: Side;
  readonly minute: number;
  count: number;
  sum: number;
  high: number;
  readonly buckets: number[];
}

/**
 * Listens to the events of a process and adds up what they measured. It has no timer of its own: an event that comes late enough sends what was
 * gathered, detached, so that a caller pays for an addition and nothing else. What cannot be sent is forgotten: it is for plots.
 */
export function recordSamples(
  context: Pick<MigrationContext, 'control' | 'events' | 'migration' | 'runtime'>,
  source: SampleSource,
): SampleRecorder {
  const { control, events, migration, runtime } = context;
  const { clock } = runtime;
  let tallies: Tally[] = [];
  // The one that grows, found without making a name: this runs with every read.
  const growing = new Map<SampleSeries, Partial<Record<Side, Tally>>>();
  let flushedMs = clock.monotonic();
  let prunedMs = Number.NEGATIVE_INFINITY;
  let sending: Promise<void> | null = null;

  const tallyOf = (series: SampleSeries, side: Side): Tally => {
    const minute = Math.floor(clock.now() / 60_000);
    let sides = growing.get(series);
    if (sides === undefined) {
      sides = {};
      growing.set(series, sides);
    }
    const found = sides[side];
    if (found?.minute === minute) return found;
    const tally = { series, side, minute, count: 0, sum: 0, high: 0, buckets: emptyBuckets() };
    sides[side] = tally;
    tallies.push(tally);
    return tally;
  };
  const measured = (series: SampleSeries, side: Side, value: number): void => {
    const tally = tallyOf(series, side);
    const whole = Math.max(0, Math.round(value));
    tally.count += 1;
    tally.sum += whole;
    tally.high = Math.max(tally.high, whole);
    if (sampleSeries[series].kept === 'spread') {
      const bucket = bucketOf(whole);
      tally.buckets[bucket] = (tally.buckets[bucket] ?? 0) + 1;
    }
  };
  const send = async (): Promise<void> => {
    flushedMs = clock.monotonic();
    const rows: readonly Sample[] = tallies;
    tallies = [];
    growing.clear();
    const old = Math.floor(clock.now() / 60_000) - sampleDays * 1_440;
    try {
      if (rows.length > 0) await control.samples.add(migration.name, rows);
      if (source !== 'worker' || flushedMs - prunedMs < PRUNE_MS) return;
      prunedMs = flushedMs;
      await control.samples.prune(migration.name, old);
    } catch {
      // Perhaps it was added and only the answer was lost: it must not count twice.
    }
  };
  const take = (event: ChangeoverEvent): void => {
    measure(source, event, measured);
    if (sending !== null || clock.monotonic() - flushedMs < FLUSH_MS) return;
    sending = send().finally(() => {
      sending = null;
    });
  };
  const unsubscribe = events.subscribe(take);
  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    unsubscribe();
    const last = (async (): Promise<void> => {
      await sending;
      await send();
    })();
    await withDeadline(clock, DEADLINE_MS, 'the last measurements', last).catch(() => {});
  };
  return {
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/** What an event measured, in the units of its series. */
function measure(
  source: SampleSource,
  event: ChangeoverEvent,
  measured: (series: SampleSeries, side: Side, value: number) => void,
): void {
  if (source === 'worker') {
    if (event.type === 'queue') {
      measured('waiting', event.side, event.waiting);
      measured('dead', event.side, event.dead);
      measured('oldest', event.side, event.oldestMs * 1_000);
    } else if (event.type === 'log' && event.lagMs !== null) {
      measured('log-lag', event.side, event.lagMs * 1_000);
    }
    return;
  }
  if (event.type === 'read') {
    if (event.outcome === 'ok') measured('read', event.servedBy, event.ms * 1_000);
  } else if (event.type === 'shadow-read') {
    const compared = event.outcome === 'matched' || event.outcome === 'suspect';
    if (compared && event.side) measured('shadow-read', event.side, event.ms * 1_000);
  } else if (event.type === 'write' && event.outcome === 'committed') {
    measured('write', authorityOf(event.phase), event.authorityMs * 1_000);
  }
}

const emptyBuckets = (): number[] => new Array<number>(sampleBounds.length + 1).fill(0);

function bucketOf(value: number): number {
  const first = sampleBounds[0] ?? 1;
  if (value <= first) return 0;
  // Near enough by the logarithm; the rounded limits decide.
  let index = Math.min(sampleBounds.length, Math.max(0, Math.floor(2 * Math.log2(value / first))));
  while (index < sampleBounds.length && value > (sampleBounds[index] ?? 0)) index += 1;
  return index;
}
