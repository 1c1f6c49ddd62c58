import { applierDefaults, logApplierDefaults } from '../capture/index.ts';
import { workerDefaults } from '../worker/index.ts';
import { choice, ms, whole } from './option-entry.ts';

/** What is taken from a log at a time. */
export const logOptions = {
  transactions: choice({
    values: ['split', 'whole'],
    default: 'split',
    effect:
      'With capture `log`. `whole`: the follower shows only states that the authority had, transaction by transaction. `split`: large ones come in parts, in bounded memory.',
  }),
  batchChanges: whole({
    unit: 'row changes',
    default: logApplierDefaults.changesMax,
    min: 1,
    max: 1_000_000,
    effect: 'So many changes of the log are put together in one follower transaction, at most.',
  }),
  gatherMs: ms(
    logApplierDefaults.gatherMs,
    0,
    10_000,
    'Small batches of the log begin at least so far apart (up to three times as far while they take long): less work for both stores, for so much more lag. A change that comes alone does not wait.',
  ),
  durableMs: ms(
    logApplierDefaults.durableMs,
    0,
    60_000,
    'While no reads are served by the follower, what the log brings to a PostgreSQL follower waits at most so long for its disk; the log is kept until then, and a crash of the follower costs bringing it again. 0: each batch waits.',
  ),
  batchBytes: whole({
    unit: 'bytes',
    default: logApplierDefaults.bytesMax,
    min: 65_536,
    max: 1_073_741_824,
    effect: 'The same in bytes of values; the worker holds about four times as much in memory.',
  }),
} as const;

/** The worker’s rhythm. */
export const workerOptions = {
  pollMs: ms(workerDefaults.pollMs, 1, 60_000, 'Between two looks at an empty queue.'),
  batch: whole({
    unit: 'changes',
    default: applierDefaults.batch,
    min: 1,
    max: 500,
    effect: 'Changes that are claimed and applied at a time.',
  }),
  claimLeaseMs: ms(
    applierDefaults.claimLeaseMs,
    1_000,
    3_600_000,
    'Claimed changes come back to the queue when the worker has died for so long.',
  ),
  refusedAttemptsMax: whole({
    unit: 'attempts',
    default: applierDefaults.refusedAttemptsMax,
    min: 1,
    max: 1_000,
    effect: 'A change that the follower refuses is a dead letter after so many attempts.',
  }),
  recheckMs: ms(
    workerDefaults.recheckMs,
    10,
    600_000,
    'Between two looks at keys that differed at first sight.',
  ),
} as const;
