import { ChangeoverError, dispositionOf, isChangeoverError } from '../errors/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import { backoffMs } from '../runtime/index.ts';
import type { BackfillLimits, BackfillStop } from './backfill-options.ts';
import { type BackfillScope, pause, stopReason } from './backfill-scope.ts';
import { type AttemptOutcome, type AttemptTools, attemptChunk } from './chunk-attempt.ts';
import type { Chunk, ChunkLedger } from './chunk-ledger.ts';
import type { ChunkSizer } from './chunk-size.ts';
import type { Throttle } from './throttle.ts';

/** How the chunks of a run ended: all done, the run has to stop, or another worker has taken over. */
export type PipelineEnd = 'finished' | 'lost' | BackfillStop;

export interface PipelineParts {
  readonly scope: BackfillScope;
  readonly limits: BackfillLimits;
  readonly ledger: ChunkLedger;
  readonly sizer: ChunkSizer;
  readonly throttle: Throttle;
  readonly attempt: Omit<AttemptTools, 'scope' | 'limits'>;
  readonly path: Chunk['path'];
  readonly frozenLast: Key;
  /** After each chunk that is done. */
  readonly onDone: (rows: number) => void;
}

/** Chunks between the first that is not done and the last that is planned: a stuck one must not let the list grow for ever. */
const WINDOW_MAX = 256;
/** Between refusals of one single record: time for the live change that may resolve it. */
const REFUSED_PAUSE_MS = 100;
const RETRY = { firstMs: 100, maxMs: 5_000 } as const;

/**
 * Plans chunks one after the other and works on `concurrency` + 1 of them at a time: while that many are being written, one
 * more is read. Returns when nothing of it is under way any more; rejects with the first failure that is not worth a retry.
 */
export async function runPipeline(parts: PipelineParts): Promise<PipelineEnd> {
  const { scope, limits, ledger } = parts;
  const running = new Set<Promise<void>>();
  const last = encodeKey(parts.frozenLast);
  let end: PipelineEnd | null = null;
  let failure: { readonly error: unknown } | null = null;
  let plannedAll = isPlannedTo(ledger, last);

  const stop = (reason: PipelineEnd): void => {
    end ??= reason;
  };
  const ended = (): boolean => end !== null || failure !== null || stopReason(scope) !== null;
  const launch = (chunk: Chunk, rows: number): void => {
    const work: Promise<void> = settleChunk(parts, chunk, rows, ended)
      .then((reason) => reason && stop(reason))
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => running.delete(work)) as Promise<void>;
    running.add(work);
  };
  const nextChunk = async (rows: number): Promise<Chunk | null> => {
    const ready = ledger.take();
    if (ready || plannedAll || ledger.size() >= WINDOW_MAX) return ready;
    const range = { after: ledger.plannedUntil(), until: parts.frozenLast };
    if (parts.path === 'open') {
      ledger.plan(parts.frozenLast, parts.path);
      plannedAll = true;
      return ledger.take();
    }
    const until = await retrying(parts, ended, () =>
      scope.authority.records.boundary(scope.collection.name, range, rows),
    );
    if (until === stopped) return null;
    if (until !== null) ledger.plan(until, parts.path);
    plannedAll = until === null || encodeKey(until) === last;
    return ledger.take();
  };

  try {
    while (!ended()) {
      if (running.size > limits.concurrency) {
        await Promise.race(running);
        continue;
      }
      const rows = parts.sizer.rows();
      const chunk = await nextChunk(rows);
      if (chunk) {
        if (await parts.throttle.acquire(rows, { signal: scope.signal, stopped: ended }))
          launch(chunk, rows);
      } else if (running.size > 0)
        await Promise.race(running); // one under way may be split and leave work behind
      else break;
    }
  } finally {
    await Promise.all(running);
  }
  if (failure) throw (failure as { readonly error: unknown }).error;
  return end ?? stopReason(scope) ?? 'finished';
}

function isPlannedTo(ledger: ChunkLedger, last: string): boolean {
  const until = ledger.plannedUntil();
  return until !== null && encodeKey(until) === last;
}

const stopped = Symbol('stopped');

/** `work`, again after failures that may pass, until `giveUpAfterMs`; `stopped` when the run ended meanwhile. */
async function retrying<T>(
  parts: PipelineParts,
  ended: () => boolean,
  work: () => Promise<T>,
): Promise<T | typeof stopped> {
  const { runtime } = parts.scope.context;
  const begun = runtime.clock.monotonic();
  for (let failures = 0; ; ) {
    if (ended()) return stopped;
    try {
      return await work();
    } catch (error) {
      const spentMs = runtime.clock.monotonic() - begun;
      if (isChangeoverError(error, 'CHUNK_LOST')) throw error;
      if (dispositionOf(error) !== 'retry' || spentMs > parts.limits.giveUpAfterMs) throw error;
      failures += 1;
      if (isChangeoverError(error, 'STORE_CONFLICT', 'DEADLINE_EXCEEDED', 'OUTCOME_UNKNOWN'))
        parts.sizer.shrink();
      await pause(parts.scope, backoffMs(RETRY, failures, runtime.random));
    }
  }
}

/** Brings one chunk to an end; a reason when the whole run has to end with it. */
async function settleChunk(
  parts: PipelineParts,
  chunk: Chunk,
  rows: number,
  ended: () => boolean,
): Promise<PipelineEnd | null> {
  const tools: AttemptTools = { ...parts.attempt, scope: parts.scope, limits: parts.limits };
  try {
    for (;;) {
      const outcome = await retrying(parts, ended, () => attemptChunk(tools, chunk, rows));
      if (outcome === stopped) return null;
      if (outcome.type !== 'refused') return conclude(parts, chunk, outcome);
      await pause(parts.scope, REFUSED_PAUSE_MS);
    }
  } catch (error) {
    if (isChangeoverError(error, 'CHUNK_LOST')) return 'lost';
    if (isChangeoverError(error, 'DOOR_SHUT', 'AUTHORITY_FENCED')) return 'door-shut';
    throw error;
  }
}

function conclude(
  parts: PipelineParts,
  chunk: Chunk,
  outcome: Exclude<AttemptOutcome, { readonly type: 'refused' }>,
): PipelineEnd | null {
  switch (outcome.type) {
    case 'done':
      parts.sizer.observe(outcome.counts.read, outcome.workMs);
      parts.ledger.finish(chunk, outcome.counts, outcome.at ?? null);
      parts.onDone(outcome.counts.read);
      return null;
    case 'split':
      if (chunk.range.until && encodeKey(outcome.at) === encodeKey(chunk.range.until))
        throw new ChangeoverError('BUG', `Chunk ${chunk.number} was split at its end.`);
      parts.ledger.split(chunk, outcome.at);
      return null;
    case 'demote':
      parts.ledger.demote(chunk, outcome.at);
      return null;
    case 'dead-limit':
      return 'dead-limit';
    case 'stopped':
      return stopReason(parts.scope);
  }
}
