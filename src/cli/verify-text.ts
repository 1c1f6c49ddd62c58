import { persistentTotal, type VerifyProof, type VerifyReport } from '../verify/index.ts';
import { count, duration } from './words.ts';

/** What a verification came to, and what it proves. */
export function verifyText(report: VerifyReport): readonly string[] {
  const { collection, outcome, compared, durationMs, persistent, transient, waiting, reason } =
    report;
  const undecided = report.unresolved - waiting;
  const head = `${collection}: ${outcome}${reason ? ` (${reason})` : ''}, ${count(compared, 'record')} compared in ${duration(durationMs)}`;
  const { missing, extra, different } = persistent;
  const found = persistentTotal(report) > 0;
  return [
    `${head}: ${found ? `${missing} missing, ${extra} extra, ${different} different` : 'no lasting difference'}`,
    ...(transient > 0
      ? [`  ${transient} differed while they were being written and agreed at a second look`]
      : []),
    ...(waiting > 0
      ? [
          `  ${count(waiting, 'key')} not applied yet: the follower is behind (changeover status); a worker looks again`,
        ]
      : []),
    ...(undecided > 0
      ? [
          `  ${count(undecided, 'key')} could not be decided and stay in doubt: changeover mismatch recheck`,
        ]
      : []),
    ...proofText(report),
  ];
}

function proofText({ proof, outcome, extent }: VerifyReport): readonly string[] {
  const part = extent === 'full' ? '' : ` Only ${partWords[extent]} was compared.`;
  return [
    `  ${proof.sentence}${part}`,
    ...proof.ways.map((one) => `  ${wayText(one)}`),
    ...(proof.resumed > 0
      ? [
          `  gone on with ${proof.resumed === 1 ? 'once' : `${proof.resumed} times`}; --afresh begins anew`,
        ]
      : []),
    ...(outcome === 'stopped' && proof.segments > 0
      ? ['  the same command goes on behind the last segment']
      : []),
    ...(proof.overruled > 0
      ? [
          `  ${count(proof.overruled, 'difference')} of one position agreed at the recheck: please report this`,
        ]
      : []),
  ];
}

/** Which way it compared, and why. */
const wayText = ({ way, why }: VerifyProof['ways'][number]): string =>
  `compared ${way === 'digest' ? 'by digests made in the stores' : 'record by record'}: ${why}`;

const partWords: Readonly<Record<Exclude<VerifyReport['extent'], 'full'>, string>> = {
  range: 'a range of keys',
  keys: 'what was asked for by key',
  sample: 'a sample',
};

/** What the audit keeps of a proof: everything but its leaves and ranges, which `--json` has. */
export function proofNote({ leaves, exclusions, ways, ...proof }: VerifyProof): object {
  const { ranges, ...rest } = exclusions;
  return {
    ...proof,
    ways: ways.map(wayText),
    leaves: leaves.length,
    exclusions: { ...rest, because: [...new Set(ranges.map(({ reason }) => reason))].slice(0, 5) },
  };
}
