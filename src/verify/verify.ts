import type { MigrationContext, MismatchKind } from '../control/index.ts';
import type { Phase, Side } from '../migration/index.ts';
import type { Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';
import { createComparator, type Pair } from './comparator.ts';
import { createEvidenceTally, type EvidenceTally } from './evidence-tally.ts';
import { pairsByKey, pairsByRange, pairsBySample, readAhead } from './pages.ts';
import {
  createRechecker,
  type Decision,
  type Rechecker,
  type RecheckOptions,
} from './rechecker.ts';
import { recheckLedger } from './suspects.ts';
import { openVerdictWriter, type VerdictWriter } from './verdicts.ts';
import {
  pause,
  type ScopeOptions,
  stopReason,
  type VerifyScope,
  type VerifyStop,
  verifyScope,
} from './verify-scope.ts';

export interface VerifyOptions extends ScopeOptions {
  /** Records read at a time. Default 1000. */
  readonly batchRows?: number;
  /** Only these keys … */
  readonly keys?: readonly Key[];
  /** … or only this range … */
  readonly scope?: KeyRange;
  /** … or about this share of the collection, 0 … 1, in random pages. Default: everything, both ways. */
  readonly sample?: number;
  readonly recheck?: RecheckOptions;
  /** Suspects that may wait for their recheck before reading pauses. Default 5000. */
  readonly suspectsMax?: number;
  /** Verification ends when it has found so many persistent mismatches. Default 10 000. */
  readonly mismatchesMax?: number;
  /** Waits until so many more records may be compared, e.g. a throttle's `acquire`; false: the work is not wanted any more. */
  readonly pace?: (records: number, signal: AbortSignal) => Promise<boolean>;
}

/** What a verification found. */
export interface VerifyReport {
  readonly collection: string;
  /** `passed`: everything that was asked for was compared, and nothing differs for good. */
  readonly outcome: 'passed' | 'failed' | 'stopped';
  /** Why it ended early; null: it did not. */
  readonly reason: VerifyStop | null;
  /** What was compared. */
  readonly extent: 'full' | 'range' | 'keys' | 'sample';
  readonly phase: Phase;
  readonly authority: Side;
  readonly follower: Side;
  readonly stateVersion: number;
  /** Keys met on either side. */
  readonly compared: number;
  /** Agreed at first sight. */
  readonly equal: number;
  /** Differed at first sight. */
  readonly suspects: number;
  /** Suspects that agreed at a recheck. */
  readonly transient: number;
  /** Suspects that differ for good, by kind; recorded as open mismatches. */
  readonly persistent: Readonly<Record<MismatchKind, number>>;
  /** Of the persistent ones: their change is a dead letter. */
  readonly dead: number;
  /** Suspects that were being written at each look, however they were decided. */
  readonly hot: number;
  /** Suspects that nobody could decide; they stay suspects in the ledger. */
  readonly unresolved: number;
  /** Of the unresolved ones: their change is not applied yet; the follower is further behind than was waited for. */
  readonly waiting: number;
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** False: not all counts could be added to the evidence. */
  readonly evidenceKept: boolean;
  /** What kind of proof this is, in a sentence. */
  readonly proof: string;
}

/** Said in each report: there is no common position of both stores with `app` capture, so there is no snapshot proof. */
export const proofByRecheck =
  'Proof by recheck: each record was compared at its own moment, not at one position of both stores; ' +
  'what differed was read again under the key lock until no change of it was under way.';

/** `total` of the kinds. */
export function persistentTotal(report: Pick<VerifyReport, 'persistent'>): number {
  const { missing, extra, different } = report.persistent;
  return missing + extra + different;
}

/**
 * Compares a collection in both directions while writes go on, and rechecks what differs (DESIGN 6.5). Persistent mismatches become `open` in the
 * ledger, with their fields; evidence is counted per minute as detector `verify`. Open and suspect lines of the ledger that agree
 * by now are dropped at the end of a full verification. Holds no lock and stops no door.
 *
 * Throws COLLECTION_UNKNOWN, and store or control errors that did not pass within a minute.
 */
export async function verifyCollection(
  context: MigrationContext,
  collection: string,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const scope = verifyScope(context, collection, options, signal);
  const { clock } = context.runtime;
  const startedAtMs = clock.now();
  const begun = clock.monotonic();
  const counts = createCounts();
  const tally = createEvidenceTally(context, collection, 'verify');
  const writer = await openVerdictWriter(scope, { drops: false });
  const comparator = createComparator(scope);
  const rechecker = createRechecker(scope, comparator, options.recheck ?? {}, (decision) => {
    counts.decided(decision);
    writer.add(decision);
    if (decision.verdict === 'persistent') tally.add({ confirmed: 1 });
    if (decision.verdict === 'unresolved') tally.add({ failed: 1 });
  });
  const look = async (pairs: readonly Pair[]): Promise<void> => {
    const found = await comparator.compare(pairs);
    let suspects = 0;
    pairs.forEach(({ key }, index) => {
      const difference = found[index];
      if (!difference) return;
      const seen = { detector: 'verify', firstSeenMs: clock.now(), rechecks: 0 };
      if (!rechecker.suspect(key, seen)) return;
      suspects += 1;
      context.events.emit({
        type: 'mismatch',
        collection,
        kind: difference.kind,
        status: 'suspect',
      });
    });
    counts.compared(pairs.length, suspects);
    tally.add({ compared: pairs.length, matched: pairs.length - suspects, suspect: suspects });
  };
  const progress = (finished: boolean): void => {
    const { compared, suspects } = counts.now();
    context.events.emit({ type: 'verify', collection, compared, suspects, finished });
  };
  const walk: Walk = { scope, options, rechecker, writer, tally, look, progress, counts };
  let reason = await walkPairs(walk);
  reason ??= stopReason(scope);
  // What was confirmed before the end is true, however the work ended.
  await writer.flush();
  if (reason === null && extentOf(options) === 'full')
    await recheckLedger(scope, { recheck: options.recheck ?? {}, beforeMs: startedAtMs });
  const evidenceKept = await tally.flush();
  progress(true);
  return {
    ...reportOf(scope, options, counts, reason ?? stopReason(scope)),
    startedAtMs,
    durationMs: clock.monotonic() - begun,
    evidenceKept,
  };
}

interface Walk {
  readonly scope: VerifyScope;
  readonly options: VerifyOptions;
  readonly rechecker: Rechecker;
  readonly writer: VerdictWriter;
  readonly tally: EvidenceTally;
  readonly look: (pairs: readonly Pair[]) => Promise<void>;
  readonly progress: (finished: boolean) => void;
  readonly counts: Counts;
}

/** All pairs and all rechecks; the reason when that ended early. */
async function walkPairs(walk: Walk): Promise<VerifyStop | null> {
  const { scope, options, rechecker, counts } = walk;
  const suspectsMax = options.suspectsMax ?? 5_000;
  const mismatchesMax = options.mismatchesMax ?? 10_000;
  const { clock } = scope.context.runtime;
  let flushedAt = clock.monotonic();
  const tooMany = (): boolean => persistentTotal(counts.now()) >= mismatchesMax;
  for await (const pairs of readAhead(pairsOf(scope, options))) {
    const stop = stopReason(scope);
    if (stop) return stop;
    if (options.pace && !(await options.pace(pairs.length, scope.signal)))
      return stopReason(scope) ?? 'aborted';
    await walk.look(pairs);
    await rechecker.work();
    while (rechecker.size > suspectsMax && stopReason(scope) === null && !tooMany())
      await drainSome(walk);
    await walk.writer.flush();
    if (clock.monotonic() - flushedAt >= TALLY_MS) {
      await walk.tally.flush();
      flushedAt = clock.monotonic();
    }
    walk.progress(false);
    if (tooMany()) return 'too-many-mismatches';
  }
  while (rechecker.size > 0 && stopReason(scope) === null && !tooMany()) await drainSome(walk);
  return tooMany() ? 'too-many-mismatches' : stopReason(scope);
}

/** Evidence is sent this often; a process that dies loses at most so much of what speaks for parity. */
const TALLY_MS = 1_000;
const DRAIN_STEP = 500;

async function drainSome({ rechecker, writer, scope }: Walk): Promise<void> {
  await rechecker.drain(Math.max(0, rechecker.size - DRAIN_STEP));
  await writer.flush();
  // A turn for everybody else: many suspects must not starve the process.
  await pause(scope, 0);
}

function extentOf(options: VerifyOptions): VerifyReport['extent'] {
  if (options.keys) return 'keys';
  if (options.scope) return 'range';
  return options.sample !== undefined && options.sample < 1 ? 'sample' : 'full';
}

function pairsOf(
  scope: VerifyScope,
  options: VerifyOptions,
): AsyncGenerator<readonly Pair[], void, void> {
  const batchRows = Math.max(1, options.batchRows ?? 1_000);
  if (options.keys) return pairsByKey(scope, options.keys, Math.min(batchRows, 500));
  if (options.scope) return pairsByRange(scope, options.scope, batchRows);
  if (options.sample !== undefined && options.sample < 1)
    return pairsBySample(scope, options.sample, batchRows);
  return pairsByRange(scope, { after: null, until: null }, batchRows);
}

interface CountsNow {
  readonly compared: number;
  readonly suspects: number;
  readonly transient: number;
  readonly persistent: Readonly<Record<MismatchKind, number>>;
  readonly waiting: number;
  readonly dead: number;
  readonly hot: number;
  readonly unresolved: number;
}

interface Counts {
  now(): CountsNow;
  compared(pairs: number, suspects: number): void;
  decided(decision: Decision): void;
}

function createCounts(): Counts {
  let now: CountsNow = {
    compared: 0,
    suspects: 0,
    transient: 0,
    persistent: { missing: 0, extra: 0, different: 0 },
    waiting: 0,
    dead: 0,
    hot: 0,
    unresolved: 0,
  };
  return {
    now: () => now,
    compared(pairs, suspects) {
      now = { ...now, compared: now.compared + pairs, suspects: now.suspects + suspects };
    },
    decided({ verdict, difference, standing, hot }) {
      const persistent = verdict === 'persistent';
      const kind = difference?.kind ?? 'different';
      now = {
        ...now,
        transient: now.transient + Number(verdict === 'transient'),
        unresolved: now.unresolved + Number(verdict === 'unresolved'),
        hot: now.hot + Number(hot),
        waiting: now.waiting + Number(verdict === 'unresolved' && standing === 'waiting'),
        dead: now.dead + Number(persistent && standing === 'dead'),
        persistent: persistent
          ? { ...now.persistent, [kind]: now.persistent[kind] + 1 }
          : now.persistent,
      };
    },
  };
}

function reportOf(
  scope: VerifyScope,
  options: VerifyOptions,
  counts: Counts,
  reason: VerifyStop | null,
): Omit<VerifyReport, 'startedAtMs' | 'durationMs' | 'evidenceKept'> {
  const now = counts.now();
  const differs = persistentTotal(now) > 0 || now.unresolved > 0;
  const cut = reason !== null && reason !== 'too-many-mismatches';
  return {
    collection: scope.collection.name,
    outcome: cut ? 'stopped' : differs ? 'failed' : 'passed',
    reason,
    extent: extentOf(options),
    phase: scope.begun.phase,
    authority: scope.authority.side,
    follower: scope.follower.side,
    stateVersion: scope.begun.version,
    ...now,
    equal: now.compared - now.suspects,
    proof: proofByRecheck,
  };
}
