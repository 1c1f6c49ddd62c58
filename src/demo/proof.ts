import type { Fault, FaultKind, ReadFaults, RequestCounts } from './judge.ts';
import { count, displayWidth, duration, type Paint, pad } from './terminal-style.ts';

/** What the story itself observed, step by step. */
export interface StoryFacts {
  /** Until both application processes read only the source again; null: not reached. */
  rollbackMs: number | null;
  /** Longest write around the switch of authority, by the applications' ledgers. */
  switchPauseMs: number | null;
  healedAfterKill: boolean;
  /** From the death of the process until the target had its last write. */
  healedAfterMs: number | null;
  throttledByLatency: boolean;
  outage: {
    readonly downMs: number;
    readonly acknowledged: number;
    readonly failed: number;
    readonly queuePeak: number;
    readonly drainedMs: number;
  } | null;
  wrongRow: { readonly found: boolean; readonly repaired: boolean } | null;
  retired: boolean;
  /** Application processes that ended although nobody ended them. */
  readonly deaths: string[];
}

export function noFacts(): StoryFacts {
  return {
    rollbackMs: null,
    switchPauseMs: null,
    healedAfterKill: false,
    healedAfterMs: null,
    throttledByLatency: false,
    outage: null,
    wrongRow: null,
    retired: false,
    deaths: [],
  };
}

/** The judge's findings at the end. */
export interface Judgement {
  readonly requests: RequestCounts;
  readonly reads: ReadFaults;
  /** Of the source when it stopped following, of the target at the end; each key once. */
  readonly faults: readonly (Fault & { readonly store: 'source' | 'target' | 'both' })[];
  readonly longestWritePauseMs: number;
  /** Counted in the queue tables of both stores. */
  readonly deadLetters: number;
}

/** The object that `--json` prints. All counts are of the applications' own ledgers and the judge's own SQL. */
export interface DemoResult {
  readonly schemaVersion: 1;
  readonly kind: 'demo';
  readonly ok: boolean;
  /** Why not; empty when ok. */
  readonly failures: readonly string[];
  readonly profile: string;
  readonly rows: number;
  readonly acknowledgedWrites: number;
  readonly lost: number;
  readonly differing: number;
  readonly resurrected: number;
  readonly reads: number;
  readonly tokenReads: number;
  readonly staleReads: number;
  readonly wrongReads: number;
  readonly failedRequests: number;
  readonly interruptedWrites: number;
  readonly longestWritePauseMs: number;
  readonly switchPauseMs: number | null;
  readonly rollbackMs: number | null;
  readonly healedAfterKill: boolean;
  readonly healedAfterMs: number | null;
  readonly throttledByLatency: boolean;
  readonly outage: StoryFacts['outage'];
  readonly wrongRowFound: boolean;
  readonly wrongRowRepaired: boolean;
  readonly deadLetters: number;
  readonly retired: boolean;
  readonly durationMs: number;
  /** The first faults, by key. */
  readonly faults: readonly string[];
}

const faultsShown = 10;
const rollbackMsMax = 1_000;

export interface ProofInput {
  readonly facts: StoryFacts;
  /** null: the story ended before it could be judged. */
  readonly judgement: Judgement | null;
  readonly rows: number;
  readonly profile: string;
  readonly durationMs: number;
  /** What ended the story early. */
  readonly error: string | null;
}

export function resultOf(input: ProofInput): DemoResult {
  const { facts, judgement, rows, profile, durationMs } = input;
  const faults = judgement?.faults ?? [];
  const number = (kind: FaultKind): number => faults.filter((fault) => fault.kind === kind).length;
  const values = {
    acknowledgedWrites: judgement?.requests.acknowledgedWrites ?? 0,
    lost: number('lost'),
    differing: number('differing'),
    resurrected: number('resurrected'),
    reads: judgement?.requests.reads ?? 0,
    tokenReads: judgement?.reads.tokensChecked ?? 0,
    staleReads: judgement?.reads.stale ?? 0,
    wrongReads: judgement?.reads.wrong ?? 0,
    failedRequests: judgement?.requests.failedRequests ?? 0,
    interruptedWrites: judgement?.requests.interruptedWrites ?? 0,
    longestWritePauseMs: rounded(judgement?.longestWritePauseMs ?? 0),
    switchPauseMs: facts.switchPauseMs === null ? null : rounded(facts.switchPauseMs),
    rollbackMs: facts.rollbackMs === null ? null : rounded(facts.rollbackMs),
    healedAfterKill: facts.healedAfterKill,
    healedAfterMs: facts.healedAfterMs === null ? null : rounded(facts.healedAfterMs),
    throttledByLatency: facts.throttledByLatency,
    outage: facts.outage,
    wrongRowFound: facts.wrongRow?.found ?? false,
    wrongRowRepaired: facts.wrongRow?.repaired ?? false,
    deadLetters: judgement?.deadLetters ?? 0,
    retired: facts.retired,
  };
  const failures = failuresOf(values, input);
  return {
    schemaVersion: 1,
    kind: 'demo',
    ok: failures.length === 0,
    failures,
    profile,
    rows,
    ...values,
    durationMs: Math.round(durationMs),
    faults: faults
      .slice(0, faultsShown)
      .map(({ kind, store, id, why }) => `${kind}: customer ${id} in the ${store}: ${why}`),
  };
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;

type Values = Omit<
  DemoResult,
  'schemaVersion' | 'kind' | 'ok' | 'failures' | 'profile' | 'rows' | 'durationMs' | 'faults'
>;

/** Every promise that the story makes, and what is said when it is broken. */
function failuresOf(values: Values, input: ProofInput): readonly string[] {
  if (input.error !== null) return [input.error];
  if (input.judgement === null) return ['the story was not judged'];
  const promises: readonly (readonly [boolean, string])[] = [
    [values.acknowledgedWrites > 0, 'no write was acknowledged'],
    [values.lost === 0, `${values.lost} lost`],
    [values.differing === 0, `${values.differing} differing`],
    [values.resurrected === 0, `${values.resurrected} resurrected`],
    [values.staleReads === 0, `${values.staleReads} reads with a token were older than the write`],
    [values.wrongReads === 0, `${values.wrongReads} reads gave what nobody wrote`],
    [values.tokenReads > 0, 'no read with a token was checked'],
    [values.failedRequests === 0, `${values.failedRequests} failed requests`],
    [values.deadLetters === 0, `${values.deadLetters} dead letters`],
    [values.healedAfterKill, 'the write of the killed process was not healed'],
    [values.throttledByLatency, 'the backfill was never throttled by latency'],
    [(values.outage?.queuePeak ?? 0) > 0, 'the queue did not fill while the target was down'],
    [values.wrongRowFound, 'the wrong row was not found'],
    [values.wrongRowRepaired, 'the wrong row was not repaired'],
    [
      values.rollbackMs !== null && values.rollbackMs < rollbackMsMax,
      `the rollback took ${values.rollbackMs ?? 'for ever'} ms, not less than ${rollbackMsMax}`,
    ],
    [values.switchPauseMs !== null, 'authority was not switched'],
    [values.retired, 'the source was not retired'],
    [input.facts.deaths.length === 0, input.facts.deaths.join('; ')],
  ];
  return promises.filter(([held]) => !held).map(([, failure]) => failure);
}

/** The proof for people. */
export function renderProof(result: DemoResult, width: number, paint: Paint): readonly string[] {
  const verdict = (good: boolean, value: string): string => paint(good ? 'good' : 'bad', value);
  const zero = (value: number): string => verdict(value === 0, count(value));
  const rows: readonly (readonly [string, string, string])[] = [
    [
      'acknowledged writes',
      paint('strong', count(result.acknowledgedWrites)),
      'by two application processes, in ledgers of their own',
    ],
    ['lost', zero(result.lost), 'acknowledged, and missing from a store'],
    [
      'differing',
      zero(result.differing),
      `of ${count(result.rows)} customers and all that came later, byte for byte`,
    ],
    ['resurrected', zero(result.resurrected), 'deleted, and back again'],
    [
      'reads',
      paint('strong', count(result.reads)),
      `${count(result.tokenReads)} with a token: ${result.staleReads} were older than the write`,
    ],
    [
      'failed requests',
      zero(result.failedRequests),
      `${result.interruptedWrites} cut off by kill -9 of their own process`,
    ],
    [
      'longest write',
      verdict(result.longestWritePauseMs < 2_000, duration(result.longestWritePauseMs)),
      result.switchPauseMs === null
        ? ''
        : `${duration(result.switchPauseMs)} during the switch of authority`,
    ],
    [
      'rollback',
      verdict(
        (result.rollbackMs ?? rollbackMsMax) < rollbackMsMax,
        result.rollbackMs === null ? '–' : duration(result.rollbackMs),
      ),
      'until both processes read only the source',
    ],
    [
      'healed after kill',
      verdict(result.healedAfterKill, result.healedAfterKill ? 'yes' : 'no'),
      result.healedAfterMs === null
        ? ''
        : `by the worker, ${duration(result.healedAfterMs)} after the death`,
    ],
    ['dead letters', zero(result.deadLetters), 'changes that wait for a person'],
    [
      'whole story',
      paint('strong', duration(result.durationMs)),
      `gates: ${result.profile}, not for production`,
    ],
  ];
  const line = paint('dim', '─'.repeat(Math.max(20, Math.min(width - 3, 96))));
  const lines = rows.map(
    ([name, value, words]) =>
      `  ${pad(name, 20)} ${pad(value, 10, 'right')}   ${paint('dim', words)}`,
  );
  const faults = result.faults.map((fault) => `  ${paint('bad', fault)}`);
  const end = result.ok
    ? paint(
        'good',
        paint('strong', '  ✓ Every acknowledged write is where it belongs. Nothing else changed.'),
      )
    : paint('bad', paint('strong', `  ✗ ${result.failures.join('; ')}`));
  return [
    '',
    `  ${paint('strong', 'The proof')}`,
    ` ${line}`,
    ...lines,
    ` ${line}`,
    ...faults,
    end,
    '',
  ];
}

/** A field diff for people: what the authority holds and what the follower holds. */
export function renderDifferences(
  differences: readonly {
    readonly field: string;
    readonly expected: string | null;
    readonly actual: string | null;
  }[],
  paint: Paint,
): readonly string[] {
  const show = (value: string | null): string => (value === null ? 'NULL' : JSON.stringify(value));
  const fields = Math.max(0, ...differences.map(({ field }) => displayWidth(field)));
  return differences.flatMap(({ field, expected, actual }) => [
    `             ${pad(field, fields)}  ${paint('good', `+ ${show(expected)}`)}  ${paint('dim', 'source')}`,
    `             ${pad('', fields)}  ${paint('bad', `- ${show(actual)}`)}  ${paint('dim', 'target')}`,
  ]);
}
