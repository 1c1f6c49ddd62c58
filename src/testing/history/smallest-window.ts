import {
  checkKey,
  type DemandingRead,
  earliestOf,
  type KeyFault,
  type KeyHistory,
} from './key-history.ts';

/**
 * The fewest operations of a key that still show its fault, up to the first read that shows it: operations are left out one after the other, in
 * large pieces first, as long as what is left fits no order either. Only what can be left out of a sound history without harm may go: reads, writes whose value no
 * read saw and whose token nobody presents, and what a later write had hidden before any read began. So the rest proves the fault of the whole.
 */
export function smallestWindow(
  history: KeyHistory,
  fault: KeyFault,
  configurationsMax: number,
): KeyHistory {
  const fails = (candidate: KeyHistory): boolean =>
    checkKey(candidate, configurationsMax)?.kind === fault.kind;
  const reads = [...history.reads].sort((a, b) => a.read.to - b.read.to);
  const first = fewestFromStart(reads.length, (count) =>
    fails({ ...history, reads: reads.slice(0, count) }),
  );
  let smallest: KeyHistory = { ...history, reads: reads.slice(0, first) };
  if (fault.kind === 'no order')
    smallest = {
      ...smallest,
      writes: smallest.writes.filter(({ outcome }) => outcome !== 'failed'),
    };
  for (let size = Number.POSITIVE_INFINITY; sizeOf(smallest) < size; ) {
    size = sizeOf(smallest);
    smallest = {
      ...smallest,
      reads: fewest(smallest.reads, (reads) => fails({ ...smallest, reads })),
    };
    const needed = neededWrites(smallest.reads);
    const kept = smallest.writes.filter(needed);
    const loose = smallest.writes.filter((write) => !needed(write));
    const rest = fewest(loose, (some) => fails({ ...smallest, writes: [...kept, ...some] }));
    smallest = { ...smallest, writes: [...kept, ...rest] };
    const late = { ...smallest, writes: withoutEarly(smallest) };
    if (fails(late)) smallest = late;
  }
  return smallest;
}

/** Without what was over before a write began that was over before any of the reads could find something. */
function withoutEarly({ writes, reads }: KeyHistory): KeyHistory['writes'] {
  const begin = (one: DemandingRead): number => earliestOf(one, writes);
  const earliest = Math.min(...reads.map(begin));
  const hides = writes.filter(({ outcome, to }) => outcome === 'ok' && to < earliest);
  const last = Math.max(...hides.map(({ from }) => from));
  return writes.filter(({ to }) => to >= last);
}

const sizeOf = ({ writes, reads }: KeyHistory): number => writes.length + reads.length;

function neededWrites(
  reads: readonly DemandingRead[],
): (write: { readonly id: string; readonly value: string | null }) => boolean {
  const values = new Set(reads.map(({ read }) => read.value));
  const tokens = new Set(reads.map(({ read }) => read.token));
  return ({ id, value }) => values.has(value) || tokens.has(id);
}

/** The smallest count for which it fails, when more never helps; it fails for `count`. */
function fewestFromStart(count: number, fails: (count: number) => boolean): number {
  let [enough, tooFew] = [count, 0];
  while (enough - tooFew > 1) {
    const middle = (enough + tooFew) >>> 1;
    if (fails(middle)) enough = middle;
    else tooFew = middle;
  }
  return enough;
}

/** A part of the list, none of whose members can be left out (delta debugging, Zeller 1999). `fails` holds for the list itself. */
function fewest<T>(list: readonly T[], fails: (some: readonly T[]) => boolean): readonly T[] {
  let kept = list;
  for (let piece = Math.ceil(kept.length / 2); piece >= 1; piece = Math.floor(piece / 2)) {
    for (let at = 0; at < kept.length; ) {
      const without = [...kept.slice(0, at), ...kept.slice(at + piece)];
      if (fails(without)) kept = without;
      else at += piece;
    }
  }
  return kept;
}
