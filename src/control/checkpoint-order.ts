import type { BackfillCheckpoint } from './control-store.ts';

/**
 * True when `kept` must not be replaced by `next`: it is of a later generation, or it is finished and `next`, of the same one, is not. A worker
 * that was paused at its last chunk saves what it knows when it wakes up; the phase has gone on by then, and nobody would finish it again.
 */
export function isNewerCheckpoint(kept: BackfillCheckpoint, next: BackfillCheckpoint): boolean {
  if (kept.generation !== next.generation) return kept.generation > next.generation;
  return kept.finishedAtMs !== null && next.finishedAtMs === null;
}
