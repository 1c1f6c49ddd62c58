import { ChangeoverError } from '../errors/index.ts';
import { decodeKey, type MismatchClass } from '../record/index.ts';
import type {
  Mismatch,
  MismatchCondition,
  MismatchGone,
  MismatchKind,
  MismatchLine,
  MismatchLook,
  MismatchStatus,
  MismatchTally,
} from './mismatch-ledger.ts';

/*
 * suspect → open → investigating → explained | repaired;  explained or repaired, and seen again → recurring → investigating …
 *
 * An explanation holds for what was explained: the same kind, class and fields, until its day. A suspicion never takes back what has been confirmed or
 * decided; it may only ask for a recheck, and remembers (`before`) what the line was.
 */

/** What a person says of mismatches. */
export type MismatchDecision = { readonly by: string; readonly atMs: number } & (
  | { readonly to: 'investigating'; readonly owner: string }
  | {
      readonly to: 'explained';
      /** Default: the owner of the line. */
      readonly owner: string | null;
      readonly ticket: string | null;
      readonly expiresMs: number | null;
      readonly note: string;
    }
  | { readonly to: 'open'; readonly note: string }
);

/** So many changes of status are kept with a line. */
export const turnsMax = 20;

const classOfKind: Readonly<Record<MismatchKind, MismatchClass>> = {
  missing: 'missing',
  extra: 'extra',
  different: 'unknown',
};

/** The field without the key of a child row: `lines["7"].total` → `lines.total`. */
export function fieldName(field: string): string {
  const from = field.indexOf('[');
  const to = field.lastIndexOf(']');
  return from < 0 || to < from ? field : field.slice(0, from) + field.slice(to + 1);
}

/** How a line looks, without values. */
export function lookOf(line: Pick<MismatchLine, 'kind' | 'class' | 'differences'>): MismatchLook {
  const fields = new Set(line.differences.map(({ field }) => fieldName(field)));
  return { kind: line.kind, class: line.class, fields: [...fields].sort() };
}

/** The fields of a line with their classes, each pair once, sorted. */
export function classedFields({
  differences,
  class: whole,
}: Pick<MismatchLine, 'differences' | 'class'>): MismatchTally['fields'] {
  const found = new Map(
    differences.map((one) => {
      const pair = { field: fieldName(one.field), class: one.class ?? whole };
      return [JSON.stringify([pair.field, pair.class]), pair];
    }),
  );
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair);
}

/** The line of a mismatch that the ledger does not know. */
export function firstLine(seen: Mismatch): MismatchLine {
  const status = reported(seen.status);
  return {
    ...seen,
    class: seen.class ?? classOfKind[seen.kind],
    status,
    owner: null,
    ticket: null,
    expiresMs: null,
    explainedAs: null,
    before: null,
    turns: [{ atMs: seen.lastSeenMs, status, by: seen.detector }],
  };
}

/** The line after `seen`. First seen and the detector stay: they say what noticed it first, and when. */
export function seenAgain(line: MismatchLine, seen: Mismatch): MismatchLine {
  const told = reported(seen.status);
  // Seen since the look began that found it repaired: another suspicion.
  if (told === 'repaired' && line.lastSeenMs > seen.lastSeenMs) return line;
  // Never back, and not the same, where clocks of hosts differ: it is by this that a look tells whether somebody has seen the line since.
  const kept = seen.lastSeenMs < line.lastSeenMs ? line.lastSeenMs + 1 : seen.lastSeenMs;
  // Confirmed, or decided: one more look at first sight says nothing new of it.
  if (told === 'suspect' && (isUnresolved(line.status) || stillExplained(line, seen)))
    return { ...line, lastSeenMs: kept };
  const same = line.kind === seen.kind && seen.differences.length === 0;
  const next: MismatchLine = {
    ...line,
    kind: seen.kind,
    class: holdsEarlier(line, seen)
      ? 'stale'
      : (seen.class ?? (same || told === 'repaired' ? line.class : classOfKind[seen.kind])),
    differences:
      told === 'repaired' && seen.differences.length === 0 ? line.differences : seen.differences,
    ...(seen.versions === undefined ? {} : { versions: seen.versions }),
    lastSeenMs: kept,
    rechecks: seen.rechecks,
    note: seen.note,
  };
  if (told === 'repaired') return turned({ ...next, before: null }, told, seen);
  const before =
    line.before ?? (line.status === 'explained' || line.status === 'repaired' ? line.status : null);
  // The words of an explanation are kept until it is known whether it still holds.
  if (told === 'suspect')
    return turned({ ...next, before, note: before ? line.note : seen.note }, told, seen);
  if (line.status === 'investigating') return next;
  if (before === null) return turned(next, 'open', seen);
  if (line.status !== 'recurring' && before === 'explained' && stillExplained(line, seen))
    return turned({ ...next, before: null, note: line.note }, 'explained', seen);
  return turned({ ...next, before }, 'recurring', seen);
}

/** Somebody has seen the line since the look began that found it equal. */
export const seenSince = (
  line: Pick<MismatchLine, 'lastSeenMs'>,
  { seenMs }: Pick<MismatchGone, 'seenMs'>,
): boolean => seenMs !== undefined && line.lastSeenMs > seenMs;

/** The line when both sides agree now; null: nothing is left to remember. */
export function agreesNow(line: MismatchLine): MismatchLine | null {
  // That it was repaired once stays known: when it comes back, it is no accident.
  if (line.status === 'repaired') return line;
  if (line.before === 'repaired')
    return turned({ ...line, before: null }, 'repaired', {
      lastSeenMs: line.lastSeenMs,
      detector: 'recheck',
    });
  return null;
}

/** The line after a person's decision. CONFIG_INVALID, with everything that is missing, when it cannot be taken. */
export function decided(line: MismatchLine, decision: MismatchDecision): MismatchLine {
  const { by, atMs } = decision;
  if (line.status === 'suspect')
    throw refused(line, 'is not confirmed yet: `mismatch recheck` decides whether it differs');
  const mark = { lastSeenMs: atMs, detector: by };
  if (decision.to === 'open') {
    const cleared = { ticket: null, expiresMs: null, explainedAs: null, before: null };
    return turned({ ...line, ...cleared, note: decision.note || line.note }, 'open', mark);
  }
  if (line.status === 'repaired')
    throw refused(line, 'is repaired; `mismatch reopen` it first if it is not over');
  if (decision.to === 'investigating') {
    if (decision.owner.trim() === '') throw refused(line, 'needs an owner');
    return turned({ ...line, owner: decision.owner }, 'investigating', mark);
  }
  const owner = decision.owner ?? line.owner;
  const { ticket, expiresMs, note } = decision;
  const missing = [
    ...(owner ? [] : ['an owner']),
    ...(ticket ? [] : ['a ticket']),
    ...(expiresMs === null ? ['a day on which the explanation ends'] : []),
  ];
  if (missing.length > 0)
    throw refused(line, `cannot be explained without ${missing.join(' and ')}`);
  if ((expiresMs as number) <= atMs) throw refused(line, 'would be explained until a day gone by');
  return turned(
    { ...line, owner, ticket, expiresMs, note, explainedAs: lookOf(line), before: null },
    'explained',
    mark,
  );
}

/** True for what a list of `condition` shows at `nowMs`. */
export function meets(line: MismatchLine, condition: MismatchCondition, nowMs: number): boolean {
  if (condition !== 'unexplained') return line.status === condition;
  return isUnresolved(line.status) || hasExpired(line, nowMs);
}

/** Explained, but not any longer. */
export function hasExpired(
  { status, expiresMs }: Pick<MismatchLine, 'status' | 'expiresMs'>,
  nowMs: number,
): boolean {
  return status === 'explained' && (expiresMs === null || expiresMs <= nowMs);
}

/** Confirmed, and neither explained nor repaired. */
export const unresolvedStatuses = ['open', 'investigating', 'recurring'] as const;
const isUnresolved = (status: MismatchStatus): boolean =>
  (unresolvedStatuses as readonly MismatchStatus[]).includes(status);

/** Detectors see; they neither explain nor investigate. */
function reported(status: MismatchStatus): 'suspect' | 'open' | 'repaired' {
  return status === 'suspect' || status === 'repaired' ? status : 'open';
}

/** The explanation covers what is seen now. A detector that names no class is believed as far as it has looked. */
function stillExplained(line: MismatchLine, seen: Mismatch): boolean {
  if (line.explainedAs === null || (line.status !== 'explained' && line.before !== 'explained'))
    return false;
  const now = lookOf({ ...seen, class: seen.class ?? line.explainedAs.class });
  return JSON.stringify(now) === JSON.stringify(line.explainedAs);
}

/** The follower holds what an earlier mismatch of this key asked for, and the authority has gone on since. */
function holdsEarlier(line: MismatchLine, { kind, differences }: Mismatch): boolean {
  if (kind !== 'different' || differences.length === 0) return false;
  const earlier = new Map(line.differences.map((one) => [one.field, one.expected]));
  return differences.every(
    ({ field, expected, actual }) =>
      actual !== null && earlier.get(field) === actual && actual !== expected,
  );
}

function turned(
  line: MismatchLine,
  status: MismatchStatus,
  by: Pick<Mismatch, 'lastSeenMs' | 'detector'>,
): MismatchLine {
  if (line.status === status) return line;
  const turn = { atMs: by.lastSeenMs, status, by: by.detector };
  return { ...line, status, turns: [...line.turns, turn].slice(-turnsMax) };
}

const refused = (line: MismatchLine, why: string): ChangeoverError =>
  new ChangeoverError(
    'CONFIG_INVALID',
    `${line.collection} ${decodeKey(line.key).join(' ')} ${why}.`,
    { data: { collection: line.collection, key: line.key, status: line.status } },
  );
