import type { Clock } from './clock.ts';

/** The shortest of so many runs, ms: what a thing takes when nothing is in its way. The last failure is thrown. */
export async function leastOf(
  runs: number,
  clock: Clock,
  work: () => Promise<unknown>,
): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) {
    const began = clock.monotonic();
    await work();
    least = Math.min(least, clock.monotonic() - began);
  }
  return least;
}
