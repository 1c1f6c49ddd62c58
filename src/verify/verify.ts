import type { MigrationContext, MismatchKind } from '../control/index.ts';
import { comparatorFingerprint } from '../control/index.ts';
import type { Phase, Side } from '../migration/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';
import type { AlignedOptions } from './aligned-options.ts';
import { alignedDefaults } from './aligned-options.ts';
import { isNotAligned } from './aligned-pair.ts';
import {
  type AlignedProgress,
  type Doubt,
  openProgress,
  passingProgress,
} from './aligned-progress.ts';
import { AlignedWalk } from './aligned-walk.ts';
import type { Alignment } from './alignment.ts';
import { alignmentOf } from './choose-alignment.ts';
import { createComparator } from './comparator.ts';
import { createEvidenceTally } from './evidence-tally.ts';
import { pairsByKey, pairsByRange, pairsBySample } from './pages.ts';
import { alignedSentence, proofByRecheck, readByRecheck, type VerifyProof } from './proof.ts';
import { rootOf } from './proof-digest.ts';
import { createRechecker, type RecheckOptions } from './rechecker.ts';
import { recheckLedger } from './suspects.ts';
import { openVerdictWriter } from './verdicts.ts';
import { type CountsNow, createCounts, persistentTotal } from './verify-counts.ts';
import {
  type ScopeOptions,
  stopReason,
  type VerifyScope,
  type VerifyStop,
  verifyScope,
} from './verify-scope.ts';
import { drainAll, type Walk, walkPairs } from './verify-walk.ts';

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
  /** How it is compared at one position; false: by recheck. */
  readonly aligned?: AlignedOptions | false;
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
  /** When it began; of one that was gone on with, when its first process did. */
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** False: not all counts could be added to the evidence. */
  readonly evidenceKept: boolean;
  readonly proof: VerifyProof;
}

/**
 * Compares a collection in both directions while writes go on (DESIGN 6.5): at one position of both stores where that can be, else by recheck; what
 * differs is rechecked in either case. Persistent mismatches become `open` in the ledger, with their fields; evidence is counted per minute as detector
 * `verify`. Open and suspect lines of the ledger that agree by now are gone at the end of a full verification. Holds no lock and stops no door.
 *
 * At one position it goes on where an earlier process was stopped (`AlignedOptions.resumeMs`).
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
  const begunMs = clock.now();
  const begun = clock.monotonic();
  const found = options.aligned === false ? null : alignmentOf(scope, options.aligned ?? {});
  const aligned = found === null || isNotAligned(found) ? null : found;
  const progress = await progressOf(scope, options, aligned);
  const pending = new Map<string, readonly [Key, Doubt]>();
  const walk = await openWalk(scope, options, progress, pending);
  const walked = aligned
    ? new AlignedWalk(walk, aligned, progress, rangeOf(options), pending).run()
    : walkPairs(walk, pairsOf(scope, options)).then((stop) => stop ?? drainAll(walk));
  const reason = (await walked) ?? stopReason(scope);
  // What was confirmed before the end is true, however the work ended.
  await walk.writer.flush();
  if (reason === null || reason === 'too-many-mismatches') await progress.finish();
  if (reason === null && extentOf(options) === 'full')
    await recheckLedger(scope, { recheck: options.recheck ?? {}, beforeMs: begunMs });
  const evidenceKept = await walk.tally.flush();
  walk.progress(true);
  const because = found === null ? 'it was asked for' : isNotAligned(found) ? found.reason : null;
  return {
    ...reportOf(scope, options, walk.counts.now(), reason ?? stopReason(scope)),
    startedAtMs: progress.state.startedAtMs,
    durationMs: clock.monotonic() - begun,
    evidenceKept,
    proof: proofOf(scope, progress, aligned?.by ?? null, because, begunMs),
  };
}

const everything: KeyRange = { after: null, until: null };
const rangeOf = ({ scope = everything }: VerifyOptions): KeyRange => scope;

/** Only whole ranges are gone on with: keys are few, and chance does not fall twice alike. */
async function progressOf(
  scope: VerifyScope,
  options: VerifyOptions,
  aligned: Alignment | null,
): Promise<AlignedProgress> {
  const extent = extentOf(options);
  if (aligned !== null && (extent === 'full' || extent === 'range'))
    return openProgress(
      scope,
      rangeOf(options),
      aligned.options.resumeMs ?? alignedDefaults.resumeMs,
    );
  const progress = passingProgress(scope.context.runtime.clock.now());
  if (options.keys)
    progress.change({ ended: true, moved: options.keys.map((key) => [key, 0] as const) });
  return progress;
}

async function openWalk(
  scope: VerifyScope,
  options: VerifyOptions,
  progress: AlignedProgress,
  pending: Map<string, readonly [Key, Doubt]>,
): Promise<Walk> {
  const { context, collection } = scope;
  const { clock } = context.runtime;
  const counts = createCounts(progress.state.counts);
  const tally = createEvidenceTally(context, collection.name, 'verify');
  const writer = await openVerdictWriter(scope, { drops: false });
  const comparator = createComparator(scope);
  const rechecker = createRechecker(scope, comparator, options.recheck ?? {}, (decision) => {
    counts.decided(decision);
    writer.add(decision);
    if (decision.verdict === 'persistent') tally.add({ confirmed: 1 });
    if (decision.verdict === 'unresolved') tally.add({ failed: 1 });
    const [, doubt] = pending.get(decision.id) ?? [];
    pending.delete(decision.id);
    if (doubt === 'aligned' && decision.verdict === 'transient')
      progress.change({ overruled: progress.state.overruled + 1 });
  });
  return {
    scope,
    options,
    comparator,
    rechecker,
    writer,
    tally,
    counts,
    suspect(key, kind, doubt) {
      const seen = { detector: 'verify', firstSeenMs: clock.now(), rechecks: 0 };
      if (!rechecker.suspect(key, seen)) return false;
      pending.set(encodeKey(key), [key, doubt]);
      const { name } = collection;
      context.events.emit({ type: 'mismatch', collection: name, kind, status: 'suspect' });
      return true;
    },
    progress(finished) {
      const { compared, suspects } = counts.now();
      const { name } = collection;
      context.events.emit({ type: 'verify', collection: name, compared, suspects, finished });
    },
  };
}

function extentOf(options: VerifyOptions): VerifyReport['extent'] {
  if (options.keys) return 'keys';
  if (options.scope) return 'range';
  return options.sample !== undefined && options.sample < 1 ? 'sample' : 'full';
}

function pairsOf(scope: VerifyScope, options: VerifyOptions): ReturnType<typeof pairsByRange> {
  const batchRows = Math.max(1, options.batchRows ?? 1_000);
  if (options.keys) return pairsByKey(scope, options.keys, Math.min(batchRows, 500));
  if (options.scope) return pairsByRange(scope, options.scope, batchRows);
  if (options.sample !== undefined && options.sample < 1)
    return pairsBySample(scope, options.sample, batchRows);
  return pairsByRange(scope, everything, batchRows);
}

function reportOf(
  scope: VerifyScope,
  options: VerifyOptions,
  now: CountsNow,
  reason: VerifyStop | null,
): Omit<VerifyReport, 'startedAtMs' | 'durationMs' | 'evidenceKept' | 'proof'> {
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
  };
}

function proofOf(
  { begun, collection }: VerifyScope,
  { state }: AlignedProgress,
  by: VerifyProof['by'],
  because: string | null,
  nowMs: number,
): VerifyProof {
  const { first, last, records, digested, segments, overruled, resumed, leaves } = state;
  const { hotKeys, queuedKeys, ranges, rangesTotal } = state;
  const ignored = Object.entries(collection.ignore).flatMap(([field, { reason, until }]) =>
    Date.parse(until) > nowMs ? [{ field, reason, until }] : [],
  );
  const exclusions = { ignored, ranges, rangesTotal, hotKeys, queuedKeys };
  const noPosition = because ?? (segments === 0 ? (ranges[0]?.reason ?? 'it was stopped') : null);
  const counted = { by, first, last, records, digested, segments, exclusions };
  return {
    kind: noPosition === null ? 'aligned' : 'recheck',
    sentence:
      noPosition === null ? alignedSentence(counted) : `${proofByRecheck} Why: ${noPosition}.`,
    because: noPosition,
    comparator: comparatorFingerprint(collection, nowMs),
    phase: begun.phase,
    epoch: begun.epoch,
    generation: begun.generation,
    ...counted,
    ways: noPosition === null ? state.ways : [readByRecheck],
    follower: state.follower,
    root: leaves.length === 0 ? null : rootOf(leaves),
    leaves,
    overruled,
    resumed,
  };
}
