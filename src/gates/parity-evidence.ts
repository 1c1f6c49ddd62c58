import { countNewSubjects, type EvidenceCounts, fingerprintOf } from '../control/index.ts';
import { followingBegan } from './following-began.ts';
import type { GateInput } from './gate.ts';

/** What speaks for and against parity, of one collection or pair of closures. */
export interface ParityEvidence {
  readonly name: string;
  /** Different records in different versions that agreed: what the bound may count. */
  readonly independent: number;
  /** Of those: came within the last `RATE_MINUTES`. */
  readonly recent: number;
  /** Of a pair of closures: answers that differed twice. They have no key, so nobody rechecks them. */
  readonly confirmed: number;
  /** The newest minute in which a mismatch was confirmed; null: none. */
  readonly confirmedMinute: number | null;
  readonly compared: number;
  readonly shed: number;
  readonly timedOut: number;
  readonly failed: number;
  /** Of the last `evidenceMinutesMax` minutes alone: what a bad hour loses must not drown in a good week. */
  readonly lately: { readonly compared: number; readonly lost: number };
  /** Compared in the window, but by another comparator: they prove nothing of the present one. */
  readonly byOthers: number;
  /** Compared by a host whose clock is ahead of ours: nobody can say when. */
  readonly ahead: number;
  /** First and last minute of what counts; null: nothing does. */
  readonly firstMinute: number | null;
  readonly lastMinute: number | null;
}

/** The window and all that was compared in it. */
export interface ParityWindow {
  readonly nowMs: number;
  readonly fromMinute: number;
  readonly parts: readonly ParityEvidence[];
  /** Collections of which nothing that counts was compared. */
  readonly silent: readonly string[];
}

/** The rate of new comparisons is taken over so many minutes. */
export const RATE_MINUTES = 10;

/** Minutes by which the clocks of two hosts may differ. Evidence from further ahead would be fresh until then, whatever happened to its host. */
export const AHEAD_MINUTES_MAX = 2;

const detectorsOf = {
  'shadow-read': ['shadow-read'],
  any: ['shadow-read', 'parity'],
} as const;

/**
 * Everything in the window that was counted by the comparator of now, since following began without a gap. null: the audit does not tell when that was.
 * `subjects`: whether to count the independent ones, which is the dear part.
 */
export async function parityWindow(
  { context, state, profile }: GateInput,
  subjects: boolean,
): Promise<ParityWindow | null> {
  const began = await followingBegan(context, state);
  if (began === null) return null;
  const { control, migration, runtime } = context;
  const nowMs = runtime.clock.now();
  const from = Math.max(nowMs - profile.windowMinutes * 60_000, began.atMs);
  const fromMinute = Math.floor(from / 60_000);
  const untilMinute = Math.floor(nowMs / 60_000) + AHEAD_MINUTES_MAX;
  const detectors: readonly string[] = detectorsOf[profile.parityFrom];
  const rows = (await control.evidence.since(migration.name, fromMinute)).filter(({ detector }) =>
    detectors.includes(detector),
  );
  const names = new Set(rows.map(({ collection }) => collection));
  // A collection of which nothing was compared is asked for as well.
  if (profile.parityOf === 'collection')
    for (const name of migration.collections.keys()) names.add(name);
  const parts: ParityEvidence[] = [];
  for (const name of [...names].sort()) {
    const fingerprint = fingerprintOf(migration, name, nowMs);
    const own = rows.filter(({ collection }) => collection === name);
    const counting = own.filter((row) => row.fingerprint === fingerprint);
    const ahead = counting.filter(({ minute }) => minute > untilMinute);
    const keyed = migration.collections.has(name);
    const packed: { readonly minute: number; readonly packed: string }[] = [];
    const filter = { collection: name, fingerprint, fromMinute };
    if (subjects)
      for (const detector of detectors) {
        const found = await control.evidence.subjects(migration.name, { ...filter, detector });
        packed.push(...found.filter(({ minute }) => minute <= untilMinute));
      }
    const recentFrom = Math.floor(nowMs / 60_000) - RATE_MINUTES;
    const [before, recently] = [true, false].map((old) =>
      packed.filter(({ minute }) => minute < recentFrom === old).map((row) => row.packed),
    );
    const { former, added } = countNewSubjects(before ?? [], recently ?? []);
    parts.push({
      name,
      independent: former + added,
      recent: added,
      ...sumsOf(
        counting.map((row) => asCounted(row, untilMinute, keyed)),
        Math.floor(nowMs / 60_000) - profile.evidenceMinutesMax,
      ),
      byOthers: comparedIn(own) - comparedIn(counting),
      ahead: comparedIn(ahead),
    });
  }
  const heard = new Set(parts.flatMap(({ name, compared }) => (compared > 0 ? [name] : [])));
  const silent = [...migration.collections.keys()].filter((name) => !heard.has(name));
  return { nowMs, fromMinute, parts, silent };
}

/**
 * What speaks for parity counts until `untilMinute` only; what speaks against it counts whenever it was. `keyed`: a collection, not a pair of closures, of
 * which nobody rechecks what differed.
 */
export function asCounted(
  row: EvidenceCounts,
  untilMinute: number,
  keyed: boolean,
): EvidenceCounts {
  const confirmed = keyed ? row.confirmed : row.confirmed + row.suspect;
  return row.minute > untilMinute
    ? { ...row, confirmed, compared: 0, matched: 0 }
    : { ...row, confirmed };
}

const comparedIn = (rows: readonly EvidenceCounts[]): number =>
  rows.reduce((sum, { matched, confirmed }) => sum + matched + confirmed, 0);

function sumsOf(
  rows: readonly EvidenceCounts[],
  latelyFrom: number,
): Omit<ParityEvidence, 'name' | 'independent' | 'recent' | 'byOthers' | 'ahead'> {
  const add = (of: (row: EvidenceCounts) => number): number =>
    rows.reduce((sum, row) => sum + of(row), 0);
  const late = rows.filter(({ minute }) => minute >= latelyFrom);
  // A recheck that confirms is no new comparison: it does not make old ones fresh.
  const compared = rows.filter((row) => row.compared > 0 || row.matched > 0);
  const dated = compared.length > 0 ? compared : rows.filter((row) => row.confirmed > 0);
  const minutes = dated.map(({ minute }) => minute);
  const confirmed = rows.flatMap((row) => (row.confirmed > 0 ? [row.minute] : []));
  return {
    confirmed: add((row) => row.confirmed),
    confirmedMinute: confirmed.length === 0 ? null : Math.max(...confirmed),
    compared: add((row) => row.compared),
    shed: add((row) => row.shed),
    timedOut: add((row) => row.timedOut),
    failed: add((row) => row.failed),
    lately: {
      compared: late.reduce((sum, { compared }) => sum + compared, 0),
      lost: late.reduce((sum, { shed, timedOut, failed }) => sum + shed + timedOut + failed, 0),
    },
    firstMinute: minutes.length === 0 ? null : Math.min(...minutes),
    lastMinute: minutes.length === 0 ? null : Math.max(...minutes),
  };
}

/** Several as one: rows of different names never repeat each other. */
export function joined(name: string, parts: readonly ParityEvidence[]): ParityEvidence {
  const add = (of: (part: ParityEvidence) => number): number =>
    parts.reduce((sum, part) => sum + of(part), 0);
  const minutes = (of: (part: ParityEvidence) => number | null): number[] =>
    parts.flatMap((part) => of(part) ?? []);
  const most = (values: readonly number[]): number | null =>
    values.length === 0 ? null : Math.max(...values);
  const first = minutes(({ firstMinute }) => firstMinute);
  return {
    name,
    independent: add((part) => part.independent),
    recent: add((part) => part.recent),
    confirmed: add((part) => part.confirmed),
    confirmedMinute: most(minutes(({ confirmedMinute }) => confirmedMinute)),
    compared: add((part) => part.compared),
    shed: add((part) => part.shed),
    timedOut: add((part) => part.timedOut),
    failed: add((part) => part.failed),
    lately: {
      compared: add(({ lately }) => lately.compared),
      lost: add(({ lately }) => lately.lost),
    },
    byOthers: add((part) => part.byOthers),
    ahead: add((part) => part.ahead),
    firstMinute: first.length === 0 ? null : Math.min(...first),
    lastMinute: most(minutes(({ lastMinute }) => lastMinute)),
  };
}
