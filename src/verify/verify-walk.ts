import type { MismatchKind } from '../control/index.ts';
import type { Key } from '../record/index.ts';
import type { Doubt } from './aligned-progress.ts';
import type { Comparator, Pair } from './comparator.ts';
import type { EvidenceTally } from './evidence-tally.ts';
import { readAhead } from './pages.ts';
import type { Rechecker } from './rechecker.ts';
import type { VerdictWriter } from './verdicts.ts';
import type { VerifyOptions } from './verify.ts';
import { type Counts, persistentTotal } from './verify-counts.ts';
import { pause, stopReason, type VerifyScope, type VerifyStop } from './verify-scope.ts';

/** What the ways of a verification have in common. */
export interface Walk {
  readonly scope: VerifyScope;
  readonly options: VerifyOptions;
  readonly comparator: Comparator;
  readonly rechecker: Rechecker;
  readonly writer: VerdictWriter;
  readonly tally: EvidenceTally;
  readonly counts: Counts;
  /** Leaves a key to the rechecker; false: it has it already. */
  suspect(key: Key, kind: MismatchKind, doubt: Doubt): boolean;
  /** Tells how far it has come. */
  progress(finished: boolean): void;
}

/** Evidence is sent this often; a process that dies loses at most so much of what speaks for parity. */
const TALLY_MS = 1_000;
const DRAIN_STEP = 500;
const SUSPECTS_MAX = 5_000;

export const tooMany = ({ counts, options }: Walk): boolean =>
  persistentTotal(counts.now()) >= (options.mismatchesMax ?? 10_000);

/** Looks at pairs, and leaves what differs to the rechecker. The reason when the work ended early. */
export async function walkPairs(
  walk: Walk,
  pages: AsyncGenerator<readonly Pair[], void, void>,
): Promise<VerifyStop | null> {
  const { scope, options } = walk;
  const { clock } = scope.context.runtime;
  let flushedAt = clock.monotonic();
  for await (const pairs of readAhead(pages)) {
    const stop = stopReason(scope);
    if (stop) return stop;
    if (options.pace && !(await options.pace(pairs.length, scope.signal)))
      return stopReason(scope) ?? 'aborted';
    await look(walk, pairs);
    await recheckSome(walk);
    if (clock.monotonic() - flushedAt >= TALLY_MS) {
      await walk.tally.flush();
      flushedAt = clock.monotonic();
    }
    walk.progress(false);
    if (tooMany(walk)) return 'too-many-mismatches';
  }
  return null;
}

/** What is due, and so much more that not too many wait; written down. */
export async function recheckSome(walk: Walk): Promise<void> {
  const { rechecker, options, scope, writer } = walk;
  const suspectsMax = options.suspectsMax ?? SUSPECTS_MAX;
  await rechecker.work();
  while (rechecker.size > suspectsMax && stopReason(scope) === null && !tooMany(walk))
    await drainSome(walk);
  await writer.flush();
}

/** All rechecks. The reason when that ended early. */
export async function drainAll(walk: Walk): Promise<VerifyStop | null> {
  while (walk.rechecker.size > 0 && stopReason(walk.scope) === null && !tooMany(walk))
    await drainSome(walk);
  return tooMany(walk) ? 'too-many-mismatches' : stopReason(walk.scope);
}

async function drainSome({ rechecker, writer, scope }: Walk): Promise<void> {
  await rechecker.drain(Math.max(0, rechecker.size - DRAIN_STEP));
  await writer.flush();
  // A turn for everybody else: many suspects must not starve the process.
  await pause(scope, 0);
}

async function look(walk: Walk, pairs: readonly Pair[]): Promise<void> {
  const found = await walk.comparator.compare(pairs);
  let suspects = 0;
  pairs.forEach(({ key }, index) => {
    const difference = found[index];
    if (difference && walk.suspect(key, difference.kind, 'recheck')) suspects += 1;
  });
  walk.counts.compared(pairs.length, suspects);
  walk.tally.add({ compared: pairs.length, matched: pairs.length - suspects, suspect: suspects });
}
