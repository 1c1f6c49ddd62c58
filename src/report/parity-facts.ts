import type { EvidenceCounts } from '../control/index.ts';
import { parityLowerBound, percentText } from '../gates/index.ts';
import { type IndependentEvidence, independentSince } from './independent-evidence.ts';
import type { ParityFacts } from './report-data.ts';

/** A stretch of time, and its name for people. */
export interface ParityWindow {
  readonly name: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** What the comparisons of each window prove, for each collection and detector that compared, or should have. */
export function parityOf(
  evidence: readonly IndependentEvidence[],
  windows: readonly ParityWindow[],
  confidence: number,
): readonly ParityFacts[] {
  return windows.flatMap((window) => {
    const from = Math.floor(window.fromMs / 60_000);
    return evidence
      .filter(({ counts, byOthers }) =>
        [...counts, ...byOthers].some(({ minute }) => minute >= from),
      )
      .map((one) => factsOf(one, window, from, confidence));
  });
}

function factsOf(
  { collection, detector, counts, byOthers, subjects }: IndependentEvidence,
  { name, fromMs, untilMs }: ParityWindow,
  fromMinute: number,
  confidence: number,
): ParityFacts {
  const own = counts.filter(({ minute }) => minute >= fromMinute);
  const sum = (rows: readonly EvidenceCounts[], field: CountField): number =>
    rows.reduce((total, row) => total + row[field], 0);
  const others = byOthers.filter(({ minute }) => minute >= fromMinute);
  const [compared, matched, mismatches] = [
    sum(own, 'compared'),
    sum(own, 'matched'),
    sum(own, 'confirmed'),
  ];
  const [shed, timedOut, failed] = [sum(own, 'shed'), sum(own, 'timedOut'), sum(own, 'failed')];
  const wanted = compared + shed + timedOut + failed;
  const independent =
    subjects === null ? null : independentSince(subjects, fromMinute) + mismatches;
  return {
    collection,
    detector,
    window: name,
    fromMs,
    untilMs,
    compared,
    independent,
    mismatches,
    undecided: Math.max(0, compared - matched - mismatches),
    shed,
    timedOut,
    failed,
    byOthers: sum(others, 'compared'),
    coverage: wanted === 0 ? null : compared / wanted,
    confidence,
    ...boundOf(independent, mismatches, confidence),
  };
}

type CountField = 'compared' | 'matched' | 'confirmed' | 'shed' | 'timedOut' | 'failed';

function boundOf(
  independent: number | null,
  mismatches: number,
  confidence: number,
): Pick<ParityFacts, 'bound' | 'arithmetic'> {
  if (independent === null)
    return { bound: null, arithmetic: 'all records, not a sample: see the proofs' };
  const bound = parityLowerBound(independent, mismatches, confidence);
  return { bound, arithmetic: boundArithmetic(independent, mismatches, confidence, bound) };
}

/** The bound as somebody with a calculator can check it. */
export function boundArithmetic(
  independent: number,
  mismatches: number,
  confidence: number,
  bound: number,
): string {
  if (independent === 0) return 'nothing was compared: nothing is proven';
  const doubt = Number((1 - confidence).toFixed(12));
  return mismatches === 0
    ? `${doubt}^(1/${independent}) = ${percentText(bound)}`
    : `the largest rate p of mismatches with P(X ≤ ${mismatches} | n = ${independent}, p) > ${doubt}; 1 − p = ${percentText(bound)}`;
}
