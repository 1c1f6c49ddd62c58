import { availableParallelism, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/** Where the process has fewer processors than this, several threads of a collection wait for each other rather than help. */
const COLLECTORS_MIN = 8;
/** Between normal (0) and what only runs when nobody else wants to (19). */
const NICENESS = 5;

/**
 * Makes this process give way: for a process that does nothing but background work, on a machine where an application or a store may run as well. Its main
 * thread gets less of a busy processor, and V8 collects young objects with one thread: with all of its threads a collection took 14 ms on two busy
 * processors, and 1.2 ms with one, and those 14 ms were taken from whoever else was running. Changes nothing that is promised; does what it may and never throws.
 */
export function giveWay(): void {
  if (availableParallelism() < COLLECTORS_MIN) setFlagsFromString('--no-parallel-scavenge');
  try {
    setPriority(NICENESS);
  } catch {
    // Not allowed here, or it is lower already.
  }
}
