import { choice, ms, share, whole } from './option-entry.ts';

/** Options of one collection, beside its shapes and transforms. */
export const collectionOptions = {
  capture: choice({
    values: ['app', 'outbox', 'log'],
    default: 'app',
    effect:
      'Who makes a change known. `app`: this library makes the writes. `outbox`: a trigger that `start` installs, or the caller’s own transaction. `log`: the store’s own log, so every writer, changed or not.',
  }),
  write: choice({
    values: ['serial', 'parallel', 'deferred'],
    default: 'serial',
    effect:
      'How a write reaches the follower. `serial`: after the authority, before the answer. `parallel`: both at once. `deferred`: by the worker.',
  }),
  failureMode: choice({
    values: ['fail-open', 'fail-closed'],
    default: 'fail-open',
    effect:
      'What a failing follower means. `fail-open`: the write stands and is queued. `fail-closed`: the write is refused.',
  }),
  latencyBudgetMs: ms(
    50,
    0,
    60_000,
    'A fail-open write waits for the follower at most so long; then the queue takes over.',
  ),
  shadowReadSample: share({
    unit: 'share of reads',
    default: 1,
    min: 0,
    max: 1,
    effect: 'Share of the reads that are repeated on the other store and compared.',
  }),
  transformVersion: whole({
    unit: '–',
    default: 1,
    min: 1,
    max: 1_000_000,
    effect: 'Raise it when a transform changes: evidence of the old one no longer counts.',
  }),
} as const;
