/**
 * Compares what the application processes wrote down with what the stores hold, by its own SQL and its own logic; it knows nothing of
 * the engine. The whole logic is one rule for every key, however many processes wrote it:
 *
 * > What a store holds must have been left by a write that no acknowledged write wholly follows (began after the first had ended).
 *
 * A write whose outcome is unknown, or whose process died, may or may not have happened: it never ends, so it stays possible, and so does
 * what was there before. The applications do not touch such a key again, hence either-or stays exact. A rejected write must not be seen.
 */
import { digestOfCustomer } from './canonical-customer.ts';
import type { LedgerLine } from './ledger.ts';
import type { SeenCustomer, StoreSnapshot } from './store-snapshot.ts';

/**
 * `lost`: a row is gone, or older than an acknowledged write of it. `resurrected`: present although its last acknowledged write
 * deleted it. `differing`: any other difference.
 */
export type FaultKind = 'lost' | 'differing' | 'resurrected';

export interface Fault {
  readonly kind: FaultKind;
  readonly id: string;
  /** In words, without values. */
  readonly why: string;
}

export interface WriteOfLedger {
  readonly op: string;
  readonly id: string;
  /** Digest of the row as it has to be afterwards; null: deleted. */
  readonly digest: string | null;
  readonly from: number;
  /** Infinity unless acknowledged. */
  readonly to: number;
  /** `open`: neither answer nor refusal, the process died. */
  readonly outcome: 'acknowledged' | 'rejected' | 'unknown' | 'open';
}

/** Everything that all processes wrote down, by key and by write. */
export interface History {
  readonly writes: ReadonlyMap<string, WriteOfLedger>;
  readonly byId: ReadonlyMap<string, readonly WriteOfLedger[]>;
  readonly reads: readonly Extract<LedgerLine, { t: 'read' }>[];
  readonly failedReads: number;
}

/** `until`: lines after this moment are left out (a store that was retired then knows nothing of them). */
export function historyOf(
  ledgers: readonly (readonly LedgerLine[])[],
  until = Number.POSITIVE_INFINITY,
): History {
  const writes = new Map<string, WriteOfLedger>();
  const reads: Extract<LedgerLine, { t: 'read' }>[] = [];
  let failedReads = 0;
  for (const line of ledgers.flat()) {
    if (line.at > until) continue;
    switch (line.t) {
      case 'intent':
        writes.set(line.op, {
          op: line.op,
          id: line.id,
          digest: line.after === null ? null : digestOfCustomer(line.after),
          from: line.at,
          to: Number.POSITIVE_INFINITY,
          outcome: 'open',
        });
        break;
      case 'ack':
        settle(writes, line.op, { to: line.at, outcome: 'acknowledged' });
        break;
      case 'rejected':
      case 'unknown':
        settle(writes, line.op, { outcome: line.t });
        break;
      case 'read':
        reads.push(line);
        break;
      case 'read-failed':
        failedReads++;
        break;
      default:
        break;
    }
  }
  const byId = new Map<string, WriteOfLedger[]>();
  for (const write of writes.values()) {
    const list = byId.get(write.id);
    if (list) list.push(write);
    else byId.set(write.id, [write]);
  }
  return { writes, byId, reads, failedReads };
}

function settle(
  writes: Map<string, WriteOfLedger>,
  op: string,
  change: Partial<WriteOfLedger>,
): void {
  const write = writes.get(op);
  if (!write) throw new Error(`the ledger answers write ${op}, which it never announced`);
  writes.set(op, { ...write, ...change });
}

/** Every fault of one store, all keys: those in `before`, those that were written, and those that nobody knows. */
export function judgeStore(
  before: StoreSnapshot,
  history: History,
  store: StoreSnapshot,
): readonly Fault[] {
  const ids = new Set([...before.keys(), ...history.byId.keys(), ...store.keys()]);
  const faults: Fault[] = [];
  for (const id of ids) {
    const fault = judgeKey(id, before.get(id), history.byId.get(id) ?? [], store.get(id));
    if (fault) faults.push(fault);
  }
  return faults;
}

function judgeKey(
  id: string,
  before: SeenCustomer | undefined,
  writes: readonly WriteOfLedger[],
  held: SeenCustomer | undefined,
): Fault | null {
  const fault = (kind: FaultKind, why: string): Fault => ({ kind, id, why });
  const { finals, initialPossible } = possibleEnds(writes);
  const heldDigest = held?.digest ?? null;
  if (finals.some((write) => write.digest === heldDigest)) return null;
  if (initialPossible && (before?.digest ?? null) === heldDigest) return null;
  const mayBeAbsent =
    finals.some((write) => write.digest === null) || (initialPossible && before === undefined);
  if (held === undefined) {
    return fault(
      'lost',
      writes.length === 0 ? 'a row that nobody touched is gone' : 'an acknowledged row is gone',
    );
  }
  const author = writes.find((write) => write.op === held.revision);
  const older = author ? author.digest === heldDigest : (before?.digest ?? null) === heldDigest;
  if (finals.length > 0 && mayBeAbsent && finals.every((write) => write.digest === null)) {
    return fault('resurrected', 'deleted for good, and present');
  }
  if (writes.length === 0) {
    return before
      ? fault('differing', 'nobody touched this row, and it is not as it was')
      : fault('differing', 'nobody wrote this row');
  }
  if (older && author?.outcome !== 'rejected') {
    return fault('lost', 'an acknowledged write is missing; the row is as it was before it');
  }
  if (author?.outcome === 'rejected') return fault('differing', 'a rejected write is in the store');
  return fault('differing', 'the row is not as any last write left it');
}

/** The writes that may have been the last; see the rule at the top. */
function possibleEnds(writes: readonly WriteOfLedger[]): {
  readonly finals: readonly WriteOfLedger[];
  readonly initialPossible: boolean;
} {
  let lastStart = Number.NEGATIVE_INFINITY;
  for (const write of writes) {
    if (write.outcome === 'acknowledged' && write.from > lastStart) lastStart = write.from;
  }
  const finals = writes.filter((write) => write.outcome !== 'rejected' && write.to >= lastStart);
  return { finals, initialPossible: lastStart === Number.NEGATIVE_INFINITY };
}

/** Keys that the two stores hold differently; for the moment when the reverse direction has nothing left to do. */
export function compareStores(source: StoreSnapshot, target: StoreSnapshot): readonly Fault[] {
  const faults: Fault[] = [];
  for (const [id, { digest }] of source) {
    if (target.get(id)?.digest !== digest) {
      faults.push({ kind: 'differing', id, why: 'source and target do not agree' });
    }
  }
  for (const id of target.keys()) {
    if (!source.has(id)) faults.push({ kind: 'differing', id, why: 'only the target has it' });
  }
  return faults;
}

/** Reads that broke a promise. */
export interface ReadFaults {
  /** A token was presented and an older record came back. */
  readonly stale: number;
  /** The record that came back was never written so. */
  readonly wrong: number;
  /** Reads with a token that were looked at. */
  readonly tokensChecked: number;
}

/** Checks every read of the ledger against the writes of all processes. */
export function judgeReads(before: StoreSnapshot, history: History): ReadFaults {
  let stale = 0;
  let wrong = 0;
  let tokensChecked = 0;
  for (const read of history.reads) {
    const { seen } = read;
    const author = seen === null ? undefined : history.writes.get(seen.revision);
    const initial = before.get(read.id);
    const seenInitial = seen === null ? initial === undefined : seen.digest === initial?.digest;
    if (seen !== null && !seenInitial && author?.digest !== seen.digest) wrong++;
    if (seen !== null && author?.outcome === 'rejected') wrong++;
    const token = read.after === null ? undefined : history.writes.get(read.after);
    if (!token) {
      if (
        seen === null &&
        initial &&
        !deletedBefore(history, read.id, read.at, Number.NEGATIVE_INFINITY)
      )
        wrong++;
      continue;
    }
    tokensChecked++;
    if (seen === null) {
      if (!deletedBefore(history, read.id, read.at, token.from)) stale++;
    } else if (!author || author.to < token.from) stale++;
  }
  return { stale, wrong, tokensChecked };
}

/** True when a delete of this key may explain an absence: begun before `at`, not over before `since`. */
function deletedBefore(history: History, id: string, at: number, since: number): boolean {
  return (history.byId.get(id) ?? []).some(
    (write) =>
      write.digest === null &&
      write.outcome !== 'rejected' &&
      write.from <= at &&
      write.to >= since,
  );
}

export interface RequestCounts {
  readonly acknowledgedWrites: number;
  readonly tokenReads: number;
  readonly reads: number;
  /** Writes that were refused or whose outcome the caller was not told, and reads that threw. */
  readonly failedRequests: number;
  /** Writes that a `kill -9` of their own process cut off. */
  readonly interruptedWrites: number;
}

export function countRequests(history: History): RequestCounts {
  const outcomes = { acknowledged: 0, rejected: 0, unknown: 0, open: 0 };
  for (const write of history.writes.values()) outcomes[write.outcome]++;
  return {
    acknowledgedWrites: outcomes.acknowledged,
    reads: history.reads.length,
    tokenReads: history.reads.filter((read) => read.after !== null).length,
    failedRequests: outcomes.rejected + outcomes.unknown + history.failedReads,
    interruptedWrites: outcomes.open,
  };
}

/**
 * The longest time that a write was under way before its caller had an answer, in milliseconds; only writes that were under way
 * at some moment of [from, to].
 */
export function longestWriteMs(
  ledgers: readonly (readonly LedgerLine[])[],
  from = Number.NEGATIVE_INFINITY,
  to = Number.POSITIVE_INFINITY,
): number {
  let longest = 0;
  for (const lines of ledgers) {
    const begun = new Map<string, number>();
    for (const line of lines) {
      if (line.t === 'intent') begun.set(line.op, line.at);
      if (line.t !== 'ack' && line.t !== 'rejected' && line.t !== 'unknown') continue;
      const start = begun.get(line.op) ?? line.at;
      if (line.at >= from && start <= to) longest = Math.max(longest, line.at - start);
    }
  }
  return longest;
}
