import { routerDefaults } from '../router/index.ts';
import { ms, textOrNone, whole } from './option-entry.ts';

/** Reads in the application’s process. */
export const readOptions = {
  shadowDeadlineMs: ms(
    routerDefaults.shadow.deadlineMs,
    1,
    60_000,
    'A shadow read that takes longer is given up and counted as `timed out`.',
  ),
  shadowConcurrency: whole({
    unit: 'reads',
    default: routerDefaults.shadow.concurrency,
    min: 1,
    max: 10_000,
    effect: 'Shadow reads at once in each process; more are shed and counted.',
  }),
  dialledReadMs: ms(
    routerDefaults.dialledReadMs,
    1,
    60_000,
    'A read that the dial sends to the target and that takes longer is answered by the source.',
  ),
  tokenSecret: textOrNone({
    unit: 'text',
    effect: 'Signs read-your-writes tokens; the same in every instance. null: unsigned.',
  }),
} as const;

/** Writes in the application’s process. */
export const writeOptions = {
  authorityTimeoutMs: ms(
    routerDefaults.authorityTimeoutMs,
    10,
    600_000,
    'Server-side limit of a write on the authority.',
  ),
  followerTimeoutMs: ms(
    routerDefaults.followerTimeoutMs,
    10,
    600_000,
    'Limit of a write on the follower, also after the caller has its answer.',
  ),
  holdMs: ms(
    routerDefaults.holdMs,
    100,
    60_000,
    'Longest time that a write waits while a switch holds writes; then HOLD_EXPIRED. Not below `switch.holdMs`.',
  ),
  heldMax: whole({
    unit: 'writes',
    default: routerDefaults.heldMax,
    min: 1,
    max: 1_000_000,
    effect: 'Writes that may wait at once in each process; more are refused with HOLD_EXPIRED.',
  }),
  detachedMax: whole({
    unit: 'writes',
    default: routerDefaults.detachedMax,
    min: 1,
    max: 100_000,
    effect: 'Follower writes in flight in each process; more go to the queue.',
  }),
  graceMs: ms(
    routerDefaults.graceMs,
    100,
    600_000,
    'How long the worker leaves a journal entry to the process that wrote it: the time to heal after a crash.',
  ),
  breakerFailures: whole({
    unit: 'failures',
    default: routerDefaults.breaker.failures,
    min: 1,
    max: 1_000,
    effect: 'So many failures of the follower in a row open its circuit breaker.',
  }),
  breakerOpenMs: ms(
    routerDefaults.breaker.openMs,
    10,
    600_000,
    'How long the breaker stays open before one write probes the follower.',
  ),
} as const;

/** The application’s processes as members of the fleet. */
export const instanceOptions = {
  leaseMs: ms(
    routerDefaults.leaseMs,
    1_000,
    600_000,
    'A process that has not renewed for so long counts as dead where that is safe.',
  ),
  stateFile: textOrNone({
    unit: 'path',
    effect: 'Keeps the last known state for a cold start while the control store is away.',
  }),
} as const;
