import type { MigrationContext, Sample } from '../control/index.ts';
import type { Status } from '../controller/index.ts';
import { newestProof } from './proofs.ts';
import type {
  CollectionFacts,
  IntruderFacts,
  ParityFacts,
  ProofFacts,
  Unchecked,
} from './report-data.ts';
import { moment } from './report-words.ts';

/** The facts from which it follows what nobody looked at. */
export interface UncheckedInput {
  readonly context: MigrationContext;
  readonly status: Status;
  readonly collections: readonly CollectionFacts[];
  readonly proofs: readonly ProofFacts[];
  readonly parity: readonly ParityFacts[];
  readonly samples: readonly Sample[];
  readonly intruders: IntruderFacts;
  readonly auditCut: boolean;
  readonly sinceMs: number | null;
  readonly profile: string;
  readonly nowMs: number;
}

/** What was not checked, computed: an empty list is a claim, and each line can be acted on. */
export function uncheckedOf(input: UncheckedInput): readonly Unchecked[] {
  return [
    ...input.collections.flatMap((collection) => collectionGaps(collection, input)),
    ...detectorGaps(input),
    ...capabilityGaps(input),
    ...storeGaps(input),
    ...documentGaps(input),
  ];
}

function collectionGaps(
  { collection, ignored, backfill, shadowReadSample, transformed }: CollectionFacts,
  { proofs, samples, nowMs, status }: UncheckedInput,
): readonly Unchecked[] {
  const found: Unchecked[] = [];
  for (const { field, reason, until } of ignored) {
    const over = Date.parse(until) < nowMs;
    found.push({
      what: `${collection}.${field}`,
      why: over
        ? `was ignored until ${until} (${reason}); proofs older than that say nothing of it`
        : `is not compared until ${until}: ${reason}`,
    });
  }
  const copied = backfill?.finishedAtMs ?? null;
  const proof = newestProof(proofs, collection, copied ?? 0);
  if (status.state.phase !== 'off' && copied === null)
    found.push({
      what: collection,
      why: 'its backfill is not finished: existing records may be missing',
    });
  if (proof === null) {
    const partial = proofs.findLast((one) => one.collections.includes(collection));
    found.push({
      what: collection,
      why:
        partial === undefined
          ? 'was never compared as a whole in this generation'
          : partial.outdated.includes(collection)
            ? `was compared (${moment(partial.atMs)}) by another comparator than that of now, or before the follower had every change: it proves nothing any more`
            : `was compared in part only (${partial.extent}, ${moment(partial.atMs)}), or before its backfill was finished`,
    });
  } else {
    if (proof.kind === 'recheck')
      found.push({
        what: `${collection}: one moment`,
        why: 'its proof is by recheck: each record was compared at a moment of its own, not all at one position of both stores',
      });
    const later = lastWrite(samples);
    if (later !== null && later > proof.atMs)
      found.push({
        what: `${collection}: writes since its proof`,
        why: `the proof ended ${moment(proof.atMs)}, writes went on until ${moment(later)}; those were looked at only by the continuous detectors`,
      });
  }
  if (shadowReadSample < 1)
    found.push({
      what: `${collection}: shadow reads`,
      why:
        shadowReadSample === 0
          ? 'are switched off'
          : `compare a sample of ${shadowReadSample * 100} % of the reads`,
    });
  if (transformed)
    found.push({
      what: `${collection}: its transform`,
      why: 'the target was compared with what the transform makes of the source: that the transform does what is wanted was not checked',
    });
  return found;
}

/** End of the newest minute in which a router confirmed a write; null: none was measured. */
function lastWrite(samples: readonly Sample[]): number | null {
  const minute = samples.findLast(({ series }) => series === 'write')?.minute;
  return minute === undefined ? null : (minute + 1) * 60_000;
}

const detectors: Readonly<Record<string, string>> = {
  'shadow-read': 'no read was compared with the other store',
  verify: 'no whole comparison was counted',
  parity: 'no background comparison ran',
};

function detectorGaps({ parity }: UncheckedInput): readonly Unchecked[] {
  const silent = Object.entries(detectors).filter(
    ([detector]) => !parity.some((one) => one.detector === detector && one.compared > 0),
  );
  const former = parity.filter(({ byOthers }) => byOthers > 0);
  const lossy = parity.filter(({ shed, timedOut, failed }) => shed + timedOut + failed > 0);
  return [
    ...silent.map(([detector, why]) => ({
      what: `detector ${detector}`,
      why: `is silent: ${why}`,
    })),
    ...former.map(({ collection, detector, window, byOthers }) => ({
      what: `${collection}: ${byOthers} comparisons of ${detector} (${window})`,
      why: 'were made by another comparator, mapping or transform: they no longer count',
    })),
    ...lossy.map(({ collection, detector, window, shed, timedOut, failed }) => ({
      what: `${collection}: ${shed + timedOut + failed} comparisons of ${detector} (${window})`,
      why: `were not made or not decided: ${shed} shed, ${timedOut} timed out, ${failed} failed`,
    })),
  ];
}

function capabilityGaps({ context, intruders, status }: UncheckedInput): readonly Unchecked[] {
  const found: Unchecked[] = [];
  for (const side of ['source', 'target'] as const) {
    const { capabilities, engine } = context.stores[side];
    // What a store that does not answer can do is not known: that it does not answer is told elsewhere.
    if (status.sides[side].error !== null) continue;
    if (!capabilities.supportsGuard)
      found.push({
        what: `${side}: writers that bypass the library`,
        why: `${engine} cannot refuse them by itself`,
      });
    if (!capabilities.supportsTransactions)
      found.push({
        what: `${side}: row and fence in one transaction`,
        why: `${engine} has none that span both`,
      });
  }
  if (intruders.watched === null)
    found.push({
      what: 'foreign writes to the follower',
      why: 'nobody follows now, or the store does not tell',
    });
  else if (intruders.watched.blind !== null)
    found.push({
      what: `foreign writes to the ${intruders.watched.side}`,
      why: `are not noted, or not everywhere: ${intruders.watched.blind}`,
    });
  return found;
}

function storeGaps({ status }: UncheckedInput): readonly Unchecked[] {
  const found: Unchecked[] = [];
  for (const [side, { error }] of Object.entries(status.sides))
    if (error !== null)
      found.push({ what: `the ${side}, now`, why: `it does not answer: ${error}` });
  const silent = status.fleet.flatMap(({ instances }) => instances.filter(({ alive }) => !alive));
  for (const { id, label } of silent)
    found.push({ what: `instance ${label || id}`, why: 'has not been heard of within its lease' });
  const { lastDrill, state } = status;
  if (state.phase !== 'off' && state.phase !== 'retired') {
    if (lastDrill === null)
      found.push({ what: 'the way back', why: 'was not drilled in this generation' });
    else if (lastDrill.phase !== state.phase)
      found.push({
        what: 'the way back',
        why: `was drilled in ${lastDrill.phase}, not in ${state.phase}`,
      });
  }
  return found;
}

function documentGaps({ auditCut, sinceMs, profile }: UncheckedInput): readonly Unchecked[] {
  const found: Unchecked[] = [];
  if (/demo/.test(profile))
    found.push({
      what: 'production thresholds',
      why: `the gates are those of the ${profile}, which prove little`,
    });
  if (auditCut)
    found.push({
      what: 'the oldest lines of the audit',
      why: 'there are too many; they were not read',
    });
  if (sinceMs !== null)
    found.push({ what: `what happened before ${moment(sinceMs)}`, why: 'was left out as asked' });
  return found;
}
