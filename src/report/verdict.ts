import type { Status } from '../controller/index.ts';
import { percentText } from '../gates/index.ts';
import { newestProof } from './proofs.ts';
import type {
  CollectionFacts,
  MismatchFacts,
  ParityFacts,
  ProofFacts,
  ReportVerdict,
} from './report-data.ts';
import { grouped, moment } from './report-words.ts';

/** Name of the window that the gates look at. */
export const gateWindow = 'window of the gates';

/** What a verdict is made of. */
export interface VerdictInput {
  readonly status: Status;
  readonly collections: readonly CollectionFacts[];
  readonly proofs: readonly ProofFacts[];
  readonly parity: readonly ParityFacts[];
  readonly mismatches: MismatchFacts;
  /** How many things were not checked. */
  readonly unchecked: number;
}

/** What is proven, and until when: never more than the weakest collection. */
export function verdictOf(input: VerdictInput): ReportVerdict {
  const { status, collections, proofs, mismatches, parity } = input;
  const newest = collections.map(({ collection, backfill }) => ({
    collection,
    proof: newestProof(proofs, collection, backfill?.finishedAtMs ?? Number.POSITIVE_INFINITY),
  }));
  const unproven = newest.filter(({ proof }) => proof === null).map(({ collection }) => collection);
  const differing = newest.filter(({ proof }) => (proof?.open ?? 0) > 0);
  const open = mismatches.unexplained;
  const suspects = mismatches.byStatus['suspect'] ?? 0;
  const dead = Object.values(status.sides).reduce((sum, { queue }) => sum + (queue?.dead ?? 0), 0);
  const times = newest.flatMap(({ proof }) => (proof === null ? [] : [proof.startedAtMs]));
  const provenUntilMs =
    unproven.length === 0 && differing.length === 0 && times.length > 0 ? Math.min(...times) : null;
  const statements = [
    provenUntilMs === null
      ? `Not every collection is proven: ${[...unproven.map((name) => `${name} (no whole comparison)`), ...differing.map(({ collection, proof }) => `${collection} (${proof?.open} differ)`)].join(', ')}.`
      : `Each of ${grouped(collections.length)} ${collections.length === 1 ? 'collection' : 'collections'} was compared as a whole, in both directions, and nothing differed for good; the oldest of these comparisons began ${moment(provenUntilMs)}.`,
    `Mismatches now: ${grouped(open)} unexplained, ${grouped(suspects)} to be rechecked, ${grouped(mismatches.byStatus['explained'] ?? 0)} explained. Dead letters: ${grouped(dead)}.`,
    ...shadowStatement(parity),
    ...(input.unchecked === 0
      ? []
      : [
          `Not covered by this: ${grouped(input.unchecked)} ${input.unchecked === 1 ? 'point' : 'points'}, under “What was not checked”.`,
        ]),
    `Rollback: ${status.rollback.message}`,
  ];
  const differs = open > 0 || dead > 0 || differing.length > 0 || status.foreign !== null;
  const level = differs ? 'differs' : provenUntilMs === null || suspects > 0 ? 'open' : 'proven';
  const title =
    level === 'proven' && provenUntilMs !== null
      ? `${titles.proven} as of ${moment(provenUntilMs)}`
      : titles[level];
  return { level, title, statements, provenUntilMs };
}

const titles: Readonly<Record<ReportVerdict['level'], string>> = {
  proven: 'Proven equal',
  open: 'Not proven yet',
  differs: 'Not equal',
};

/** The weakest bound of the shadow reads in the window of the gates. */
function shadowStatement(parity: readonly ParityFacts[]): readonly string[] {
  const reads = parity.flatMap(({ detector, window, independent, bound, ...one }) =>
    detector === 'shadow-read' && window === gateWindow && independent && bound !== null
      ? [{ ...one, bound }]
      : [],
  );
  const weakest = reads.toSorted((a, b) => a.bound - b.bound)[0];
  return weakest === undefined
    ? []
    : [
        `Reads compared while in use: at least ${percentText(weakest.bound)} equal in ${weakest.collection}, the weakest, at ${percentText(weakest.confidence)} confidence.`,
      ];
}
