import { clockTime, counted, fail, pass, unknown } from './answers.ts';
import type { Gate, GateAnswer, GateInput } from './gate.ts';
import { livingWorkers, noWorker } from './living-worker.ts';
import { comparisonsNeeded, parityLowerBound, percentText, provesParity } from './parity-bound.ts';
import {
  AHEAD_MINUTES_MAX,
  joined,
  type ParityEvidence,
  type ParityWindow,
  parityWindow,
} from './parity-evidence.ts';
import { parityForecast } from './parity-forecast.ts';
import type { GateProfile } from './profile.ts';

const NOT_TOLD = 'The audit does not tell since when the follower has had every change.';

/** The comparisons prove the share of equal answers that the profile demands. */
export const shadowReadParity: Gate = {
  name: 'shadow-read-parity',
  question: 'Do shadow reads prove that both stores answer alike?',
  overridable: true,
  async evaluate(input) {
    const window = await parityWindow(input, true);
    if (window === null) return unknown(NOT_TOLD);
    if ((await livingWorkers(input.context)) === 0) return unknown(noWorker);
    const { profile } = input;
    const parts =
      profile.parityOf === 'collection' ? window.parts : [joined('all collections', window.parts)];
    const answers = parts.map((part) => judge(part, window, profile));
    return worstOf(answers);
  },
};

/** Of several parts the one that is furthest away; its evidence and all others'. */
function worstOf(answers: readonly GateAnswer[]): GateAnswer {
  const order = ['fail', 'unknown', 'pass'] as const;
  const sorted = [...answers].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
  const [worst] = sorted;
  if (worst === undefined) return unknown('There is no collection to compare.');
  if (answers.length === 1) return worst;
  const parts = answers.map(({ verdict, evidence }) => ({ verdict, ...evidence }));
  const closed = sorted.filter(({ verdict }) => verdict !== 'pass');
  const message = (closed.length > 0 ? closed : sorted).map((one) => one.message).join(' ');
  return { ...worst, message, evidence: { parts } };
}

function judge(
  part: ParityEvidence,
  { nowMs, fromMinute, silent }: ParityWindow,
  profile: GateProfile,
): GateAnswer {
  const { parity, confidence } = profile;
  const { independent, confirmed, firstMinute, lastMinute } = part;
  const comparisons = independent + confirmed;
  const needed = comparisonsNeeded(confirmed, parity, confidence);
  const bound = parityLowerBound(comparisons, confirmed, confidence);
  // Where each has to prove it by itself, it says so itself.
  const unheard = profile.parityOf === 'migration' ? silent : [];
  const evidence = {
    ...part,
    comparisons,
    bound,
    parity,
    confidence,
    needed,
    sinceMs: (firstMinute ?? fromMinute) * 60_000,
    silent: unheard,
    profile: profile.name,
  };
  const earliest = parityForecast(part, nowMs, profile);
  const of = profile.parityOf === 'collection' ? `${part.name}: ` : '';
  const demanded = `${percentText(parity)} at ${percentText(confidence)} (${profile.name})`;
  const others = `${notCounted(part)}${unheard.length > 0 ? ` No read was compared of ${unheard.join(', ')}: this says nothing of it.` : ''}`;
  if (comparisons === 0 || lastMinute === null)
    return unknown(
      `${of}No shadow read was compared yet; ${needed} prove ${demanded}.${others}`,
      evidence,
      earliest,
    );
  const since = clockTime((firstMinute ?? fromMinute) * 60_000);
  const seen = `${of}${comparisons} independent comparisons with ${confirmed} mismatches since ${since} prove ${percentText(bound)}`;
  const ageMinutes = Math.floor(nowMs / 60_000) - lastMinute;
  if (ageMinutes > profile.evidenceMinutesMax)
    return unknown(
      `${of}The newest comparison is ${ageMinutes} minutes old, allowed: ${profile.evidenceMinutesMax}. Look whether the application runs and reads.${others}`,
      evidence,
      { atMs: null, text: 'cannot be predicted: no comparisons are being made' },
    );
  if (provesParity(comparisons, confirmed, parity, confidence))
    return pass(`${seen}; demanded: ${demanded}.${others}`, evidence);
  const message = `${seen}; demanded: ${demanded}, which takes ${needed} comparisons.${others}`;
  // Too little seen is not a failure, it is not yet an answer.
  return confirmed > comparisons * (1 - parity)
    ? fail(message, evidence, earliest)
    : unknown(message, evidence, earliest);
}

/** Comparisons of the window that prove nothing, and why. */
function notCounted({ byOthers, ahead }: ParityEvidence): string {
  const these = (amount: number, which: string): string =>
    ` ${counted(amount, 'comparison')} ${which} ${amount === 1 ? 'does' : 'do'} not count.`;
  const other = 'made by another comparator (mapping, transformVersion, exemptions or release)';
  return [
    byOthers > 0 ? these(byOthers, other) : '',
    ahead > 0
      ? these(
          ahead,
          `dated more than ${AHEAD_MINUTES_MAX} minutes ahead of this clock (set the clocks of all hosts)`,
        )
      : '',
  ].join('');
}

/** What was not compared might be what differs: a store under load answers late for exactly the records that matter. */
export const coverage: Gate = {
  name: 'coverage',
  question: 'Were enough of the reads compared that were to be compared?',
  overridable: true,
  asked: ({ coverageMin }) => coverageMin > 0,
  async evaluate(input: GateInput) {
    const window = await parityWindow(input, false);
    if (window === null) return unknown(NOT_TOLD);
    const { profile } = input;
    const parts =
      profile.parityOf === 'collection' ? window.parts : [joined('all collections', window.parts)];
    return worstOf(parts.map((part) => judgeCoverage(part, profile)));
  },
};

/** Reads that it takes to tell how many are lost lately. */
const LATELY_MIN = 20;

function judgeCoverage(
  { name, compared, shed, timedOut, failed, lately }: ParityEvidence,
  { coverageMin, parityOf, evidenceMinutesMax }: GateProfile,
): GateAnswer {
  const of = parityOf === 'collection' ? `${name}: ` : '';
  const wanted = compared + shed + timedOut + failed;
  const evidence = { name, compared, shed, timedOut, failed, lately, coverageMin };
  if (wanted === 0) return unknown(`${of}No shadow read was made yet.`, evidence);
  const share = compared / wanted;
  const lost = `${shed} shed, ${timedOut} timed out, ${failed} failed`;
  const seen = `${of}${percentText(share)} of ${wanted} were compared (${lost}); demanded: ${percentText(coverageMin)}`;
  const latelyWanted = lately.compared + lately.lost;
  // Few reads say little of what is lost at the moment.
  const losing =
    latelyWanted >= LATELY_MIN && lately.compared / latelyWanted < coverageMin
      ? ` Of the last ${evidenceMinutesMax} minutes ${percentText(lately.compared / latelyWanted)} of ${latelyWanted}.`
      : '';
  return share >= coverageMin && losing === ''
    ? pass(`${seen}.`, evidence)
    : fail(
        `${seen}.${losing} Raise reads.shadowConcurrency or reads.shadowDeadlineMs, lower shadowReadSample, or give the slower store room.`,
        evidence,
        { atMs: null, text: 'cannot be predicted: it depends on what is not compared from now on' },
      );
}
