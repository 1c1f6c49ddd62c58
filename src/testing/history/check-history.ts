import type {
  HistoryFault,
  HistoryFaultKind,
  HistoryVerdict,
  Operation,
  OperationHistory,
  ReadDemand,
  ReadOperation,
  WriteOperation,
} from './history.ts';
import { checkKey, type DemandingRead, type KeyFault, type KeyHistory } from './key-history.ts';
import { smallestWindow } from './smallest-window.ts';

export interface HistoryCheckOptions {
  /**
   * True for keys of which the follower may hold what the authority never had, or lack what it has: those of fail-closed collections, whose follower
   * commits first, and those with a dead letter. Then absences, and writes that were not acknowledged, prove nothing unless
   * the authority was read. Default: none.
   */
  readonly followerApart?: (key: string) => boolean;
  /** Bound of the search at the end of one operation. Default: 200 000. */
  readonly configurationsMax?: number;
}

/**
 * Checks a recorded history, across any number of switches, against what docs/guarantees.md claims (G1, G5, G6), each key for itself:
 *
 * - *Writes* that were acknowledged, and reads that the authority served, are linearizable: there is one order of the key's writes in which
 *   each takes effect once, at a moment between call and answer, and every such read finds the latest. A write whose outcome is
 *   unknown takes effect once, at any time after its call, or never; one that was told to have failed never does.
 * - *A read with a token* finds the state of its token's write or a later one of the same order, whichever store serves it.
 * - *Any other read* finds a state of the same order from before its answer, however old: that is the follower under the dial, and a
 *   process that cannot hear of a switch. A value that was never written, or is written only later, is never allowed.
 *
 * A read counts as served by the authority when it was routed there (`route`) and no operation of a later epoch had been answered, on any process,
 * when it was called. So with the dial at 0, and once a switch is complete, every read of a process that knows the epoch has to be
 * linearizable; what is left out is the reader who has not heard of the switch, which G5 does not cover.
 *
 * Not covered, as G6 says: order between keys, reads by named closures. Values must tell writes of one key apart, or less is found.
 * Throws for tokens of writes that are not in the history, or were not acknowledged.
 */
export function checkHistory(
  history: OperationHistory,
  options: HistoryCheckOptions = {},
): HistoryVerdict {
  const { followerApart = () => false, configurationsMax = 200_000 } = options;
  const reads: Record<ReadDemand, number> = { linearizable: 0, token: 0, written: 0 };
  const faults: HistoryFault[] = [];
  const keys = byKey(history, followerApart);
  let writes = 0;
  for (const one of keys) {
    writes += one.writes.length;
    for (const { demand } of one.reads) reads[demand]++;
    const fault = checkKey(one, configurationsMax);
    if (fault) faults.push(describe(one, fault, configurationsMax));
  }
  return { faults, keys: keys.length, writes, reads };
}

interface Growing {
  readonly writes: WriteOperation[];
  readonly reads: DemandingRead[];
}

function byKey(
  { initial, operations }: OperationHistory,
  followerApart: (key: string) => boolean,
): readonly KeyHistory[] {
  const keys = new Map<string, Growing>();
  const keyOf = (key: string): Growing => {
    const known = keys.get(key);
    if (known) return known;
    const fresh = { writes: [], reads: [] };
    keys.set(key, fresh);
    return fresh;
  };
  const written = new Map<string, WriteOperation>();
  for (const operation of operations) {
    if (operation.kind !== 'write') continue;
    keyOf(operation.key).writes.push(operation);
    written.set(operation.id, operation);
  }
  for (const demanding of demandsOf(operations)) {
    const { key } = demanding.read;
    const one = keyOf(key);
    assertToken(demanding.read, written);
    const ahead = demanding.demand !== 'linearizable' && followerApart(key);
    if (!ahead || isAcknowledged(demanding.read, one, initial)) one.reads.push(demanding);
  }
  return [...keys].map(([key, { writes, reads }]) => ({
    key,
    initial: initial.get(key) ?? null,
    writes,
    reads,
  }));
}

/** In the order of their calls, each with what is asked of it. */
function demandsOf(operations: readonly Operation[]): readonly DemandingRead[] {
  const reads = operations.filter((one): one is ReadOperation => one.kind === 'read');
  const answered = operations
    .filter(({ epoch, to }) => epoch !== null && to !== Number.POSITIVE_INFINITY)
    .sort((a, b) => a.to - b.to);
  let newest = Number.NEGATIVE_INFINITY;
  let next = 0;
  return [...reads]
    .sort((a, b) => a.from - b.from)
    .map((read): DemandingRead => {
      for (; next < answered.length && answered[next]!.to < read.from; next++)
        newest = Math.max(newest, answered[next]!.epoch!);
      const current = read.epoch !== null && read.epoch >= newest;
      if (read.route === 'authority' && current) return { read, demand: 'linearizable' };
      return { read, demand: read.token === null ? 'written' : 'token' };
    });
}

function assertToken(read: ReadOperation, written: ReadonlyMap<string, WriteOperation>): void {
  if (read.token === null) return;
  const write = written.get(read.token);
  if (write?.outcome !== 'ok' || write.key !== read.key)
    throw new Error(
      `Read ${read.id} of ${read.key} presents the token of write ${read.token}, which the history does not know as an acknowledged write of that key.`,
    );
}

/** What a follower that may be ahead can be held to: states that the authority certainly had. */
function isAcknowledged(
  { key, value }: ReadOperation,
  { writes }: Growing,
  initial: ReadonlyMap<string, string>,
): boolean {
  if (value === null) return false;
  if (value === initial.get(key)) return true;
  return writes.some((write) => write.value === value && write.outcome === 'ok');
}

function describe(history: KeyHistory, fault: KeyFault, configurationsMax: number): HistoryFault {
  const { key, initial } = history;
  if (fault.kind === 'undecided') {
    const text = `${key}: too many operations at once to be decided within ${configurationsMax} configurations, at ${lineOf(fault.at)}`;
    return { kind: 'undecided', key, at: fault.at, operations: [fault.at], text };
  }
  const window = smallestWindow(history, fault, configurationsMax);
  const operations = [...window.writes, ...window.reads.map(({ read }) => read)].sort(
    (a, b) => a.from - b.from || a.to - b.to,
  );
  const kind = kindOf(window, fault, configurationsMax);
  // Writes alone always fit: what shows it is the last read that cannot be left out.
  const at = window.reads.reduce((a, b) => (b.read.to >= a.read.to ? b : a)).read;
  const demands = new Map<Operation, ReadDemand>(
    window.reads.map(({ read, demand }) => [read, demand]),
  );
  const lines = operations.map((one) => `  ${lineOf(one, demands.get(one))}`);
  const begin = `  at first ${initial === null ? 'absent' : `= ${initial}`}`;
  const text = [`${key}: ${kind}, seen at ${at.kind} ${at.id}`, begin, ...lines].join('\n');
  return { kind, key, at, operations, text };
}

function kindOf(window: KeyHistory, fault: KeyFault, configurationsMax: number): HistoryFaultKind {
  if (fault.kind !== 'no order') return fault.kind;
  const withoutTokens = window.reads.map(
    ({ read, demand }): DemandingRead => ({
      read,
      demand: demand === 'token' ? 'written' : demand,
    }),
  );
  const explained = checkKey({ ...window, reads: withoutTokens }, configurationsMax) === null;
  return explained ? 'older than the token' : 'no order';
}

/** `[12.0, 14.5] p1 write w7 = red: ok, epoch 1` */
function lineOf(operation: Operation, demand?: ReadDemand): string {
  const { kind, id, value, process, from, to, epoch } = operation;
  const end = to === Number.POSITIVE_INFINITY ? '…' : to.toFixed(1);
  const what = value === null ? (kind === 'write' ? 'deleted' : 'absent') : `= ${value}`;
  const more =
    kind === 'write'
      ? operation.outcome
      : [demand ?? operation.route, operation.token && `token of ${operation.token}`]
          .filter(Boolean)
          .join(', ');
  const at = epoch === null ? '' : `, epoch ${epoch}`;
  return `[${from.toFixed(1)}, ${end}] ${process} ${kind} ${id} ${what}: ${more}${at}`;
}
