import type { BackfillCheckpoint, MigrationContext } from '../control/index.ts';
import { dispositionOf } from '../errors/index.ts';
import { collectionOf } from '../migration/index.ts';
import { decodeKey } from '../record/index.ts';
import { backoffMs } from '../runtime/index.ts';
import {
  type BackfillLimits,
  type BackfillOptions,
  type BackfillResult,
  type BackfillStop,
  backfillLimits,
} from './backfill-options.ts';
import { type BackfillScope, backfillScope, pause, stopReason } from './backfill-scope.ts';
import { blankCheckpoint, openCheckpoint, totalsOf } from './checkpoint.ts';
import { type CheckpointWriter, createCheckpointWriter } from './checkpoint-writer.ts';
import { type ChunkLedger, createChunkLedger } from './chunk-ledger.ts';
import { type PipelineEnd, runPipeline } from './chunk-pipeline.ts';
import { createChunkSizer } from './chunk-size.ts';
import { type ChunkWorkshop, createWorkshop } from './chunk-workshop.ts';
import { openDeadRows } from './dead-rows.ts';
import { besideDeferral, createIndexDeferral, type IndexDeferral } from './deferred-indexes.ts';
import { createGrowthMeter } from './growth.ts';
import { passThrough } from './pass-through.ts';
import { createPermits } from './permits.ts';
import { createRateMeter, progressOf, type RateMeter } from './progress.ts';
import { createThrottle, type Throttle } from './throttle.ts';

/**
 * Copies the records of a collection that the follower does not have, while live writes go on (DESIGN 6.4).
 *
 * The largest key is frozen when the backfill of a generation begins; what is written later reaches the follower as a live
 * change. Keyset chunks: boundary → `beginChunk` → read → transform → `writeChunk`, which only inserts what is absent and
 * unfenced. Only the contiguous prefix of done chunks is checkpointed, so a run that was killed is begun again where that ends, and
 * rows that were copied beyond it are found present. Rows that the transform or the follower refuses become dead letters of the
 * authority's queue.
 *
 * Several workers may run this at once: a chunk begun by the later one is lost for the earlier one, which then stands by
 * until the collection is finished or the other's checkpoint stands still.
 *
 * Resolves when finished, or stopped for a reason. Rejects with STORE_REJECTED (not about a single row), TRANSITION_REFUSED, COLLECTION_UNKNOWN,
 * or with the last error of a chunk that failed for longer than `giveUpAfterMs`. Nothing is under way afterwards.
 */
export async function runBackfill(
  context: MigrationContext,
  collectionName: string,
  options: BackfillOptions,
  signal: AbortSignal,
): Promise<BackfillResult> {
  const { clock } = context.runtime;
  const begun = clock.monotonic();
  const collection = collectionOf(context.migration, collectionName);
  const scope = backfillScope(context, collection, options.currentState, signal);
  const short = passThrough(scope);
  const path = short === null ? 'rows' : 'copy';
  const limits = backfillLimits(options, path);
  const deferral = createIndexDeferral(scope, options.deferIndexes ?? 'none');
  const throttle =
    options.throttle ??
    createThrottle(clock, {
      rowsPerSecondMax: options.rowsPerSecondMax ?? 0,
      checks: (options.checks ?? []).map((check) => besideDeferral(check, deferral)),
      onChange: (reason) => context.events.emit({ type: 'throttle', reason }),
    });
  const endsAnywhere = short?.endsAnywhere ?? false;
  const run: Run = { scope, options, limits, throttle, path, endsAnywhere, deferral };
  for (;;) {
    const { end, checkpoint } = await runOnce(run);
    if (end !== 'lost') return resultOf(checkpoint, end, clock.monotonic() - begun);
    await standBy(run, checkpoint);
  }
}

interface Run {
  readonly scope: BackfillScope;
  readonly options: BackfillOptions;
  readonly limits: BackfillLimits;
  readonly throttle: Throttle;
  readonly path: 'copy' | 'rows';
  readonly endsAnywhere: boolean;
  readonly deferral: IndexDeferral;
}

interface RunEnd {
  readonly end: PipelineEnd;
  /** With the totals of this run. */
  readonly checkpoint: BackfillCheckpoint;
}

/** From the checkpoint to the end, or until another worker takes over. */
async function runOnce(run: Run): Promise<RunEnd> {
  const { scope, limits } = run;
  const opened = await persistently(run, () => openCheckpoint(scope));
  if (opened === null)
    return { end: stopReason(scope) ?? 'aborted', checkpoint: blankCheckpoint(scope) };
  const { checkpoint, resumed } = opened;
  if (checkpoint.finishedAtMs !== null) return { end: 'finished', checkpoint };
  const ready = await persistently(run, async () => {
    // A migration that an older version began may lack what chunks need by now.
    await scope.follower.setup.upgrade?.();
    await run.deferral.begin();
    return true;
  });
  if (ready === null) return { end: stopReason(scope) ?? 'aborted', checkpoint };
  const growth = createGrowthMeter(scope, checkpoint.frozenLast, checkpoint.estimatedRows);
  const writer = createCheckpointWriter(scope.context, checkpoint, growth);
  const ledger = createChunkLedger({
    doneUntil: checkpoint.doneUntil === null ? null : decodeKey(checkpoint.doneUntil),
    nextChunk: checkpoint.nextChunk,
    read: checkpoint.rowsRead,
    inserted: checkpoint.rowsInserted,
    dead: checkpoint.rowsDead,
  });
  const dead = await persistently(run, () => openDeadRows(scope, resumed));
  if (dead === null) return { end: stopReason(scope) ?? 'aborted', checkpoint };
  const meter = createRateMeter(scope.context.runtime.clock);
  const begunAt = scope.context.runtime.clock.monotonic();
  const report = (finished: boolean): void =>
    announce(run, totalsOf(checkpoint, ledger, growth), meter, begunAt, finished);

  let end: PipelineEnd = 'finished';
  if (checkpoint.frozenLast !== null) {
    const workshop = workshopOf(run);
    end = await runPipeline({
      scope,
      limits,
      ledger,
      throttle: run.throttle,
      // Chunks whose end is not known follow each other; where there is no key they do so anyway.
      path: run.endsAnywhere && run.deferral.keyless ? 'open' : run.path,
      frozenLast: decodeKey(checkpoint.frozenLast),
      sizer: createChunkSizer(
        { initial: limits.chunkRowsInitial, min: limits.chunkRowsMin, max: limits.chunkRowsMax },
        limits.chunkTargetMs,
      ),
      attempt: {
        workshop,
        // One after the other while there is no key: it is then built from rows in its order, without a sort.
        writers: createPermits(run.deferral.keyless ? 1 : limits.concurrency),
        dead,
        refused: new Map(),
        tooManyDead: (more, alsoRead) => tooManyDead(limits, ledger, more, alsoRead),
      },
      onDone(rows) {
        meter.add(rows);
        growth.look();
        writer.save(ledger.prefix());
        report(false);
      },
    })
      .finally(() => Promise.all([growth.close(), workshop.close()]))
      .catch(async (error: unknown) => {
        await writer.flush(ledger.prefix(), null).catch(() => undefined);
        throw error;
      });
  }
  const ended = await finish(run, ledger, writer, end);
  if (ended === 'finished') report(true);
  return { end: ended, checkpoint: totalsOf(checkpoint, ledger, growth) };
}

/** In other threads where there are some and there is work for them, else in this one. */
function workshopOf({ scope, options, limits, path }: Run): ChunkWorkshop {
  const { collection, authority, follower } = scope;
  const bytesMax = limits.chunkBytesMax;
  const threads = path === 'rows' ? options.threads?.(collection, follower.side, bytesMax) : null;
  if (threads) return threads;
  const { clock } = scope.context.runtime;
  return createWorkshop({ collection, authority, follower, bytesMax, clock });
}

/** The last checkpoint. The loser of a take-over writes none: it would only push back the winner's. */
async function finish(
  run: Run,
  ledger: ChunkLedger,
  writer: CheckpointWriter,
  end: PipelineEnd,
): Promise<PipelineEnd> {
  if (end === 'lost') return end;
  if (end !== 'finished') {
    await writer.flush(ledger.prefix(), null).catch(() => undefined);
    return end;
  }
  const { scope } = run;
  // Before the collection counts as finished: gates and comparisons begin with that.
  const restored = await persistently(run, async () => {
    await run.deferral.end();
    return true;
  });
  if (restored === null) return stopReason(scope) ?? 'aborted';
  // Statistics that are missing cost speed, never data; so their failure is not the backfill's.
  await scope.follower.setup.afterBulkLoad?.(scope.collection.name).catch(() => undefined);
  const nowMs = scope.context.runtime.clock.now();
  const saved = await persistently(run, async () => {
    await writer.flush(ledger.prefix(), nowMs);
    return true;
  });
  return saved === null ? (stopReason(scope) ?? 'aborted') : 'finished';
}

/** Another worker has the collection: waits until its checkpoint has not moved for a while, or it is finished. */
async function standBy(run: Run, seen: BackfillCheckpoint): Promise<void> {
  const { scope, limits } = run;
  const { clock, random } = scope.context.runtime;
  // With jitter, so that two workers that lost a chunk to each other do not meet again.
  const patienceMs = limits.takeOverAfterMs * (1 + random.next());
  let moved = seen.doneUntil;
  let movedAt = clock.monotonic();
  while (stopReason(scope) === null && clock.monotonic() - movedAt < patienceMs) {
    await pause(scope, Math.min(1_000, patienceMs));
    const now = await scope.context.control
      .checkpoint(scope.context.migration.name, scope.collection.name)
      .catch(() => null);
    if (now === null) continue;
    if (now.finishedAtMs !== null) return;
    if (now.doneUntil === moved) continue;
    moved = now.doneUntil;
    movedAt = clock.monotonic();
  }
}

const RETRY = { firstMs: 100, maxMs: 2_000 } as const;

/** `work`, again while its failures may pass and the run goes on; null when the run ended first. */
async function persistently<T>(run: Run, work: () => Promise<T>): Promise<T | null> {
  const { clock, random } = run.scope.context.runtime;
  const begun = clock.monotonic();
  for (let attempt = 1; ; attempt++) {
    if (stopReason(run.scope) !== null) return null;
    try {
      return await work();
    } catch (error) {
      const spentMs = clock.monotonic() - begun;
      if (dispositionOf(error) !== 'retry' || spentMs > run.limits.giveUpAfterMs) throw error;
      await pause(run.scope, backoffMs(RETRY, attempt, random));
    }
  }
}

function tooManyDead(
  limits: BackfillLimits,
  ledger: ChunkLedger,
  more: number,
  alsoRead: number,
): boolean {
  const totals = ledger.totals();
  const dead = totals.dead + more;
  return dead >= limits.deadRowsMin && dead > (totals.read + alsoRead) * limits.deadRatioMax;
}

function announce(
  run: Run,
  totals: BackfillCheckpoint,
  meter: RateMeter,
  begunAt: number,
  finished: boolean,
): void {
  const { events, runtime } = run.scope.context;
  const { growth = null } = totals;
  const progress = progressOf(totals, { rowsPerSecond: meter.perSecond(), growth }, finished);
  const { estimatedRatio: _shown, ...figures } = progress;
  const ms = runtime.clock.monotonic() - begunAt;
  events.emit({ type: 'backfill', collection: totals.collection, ...figures, ms });
  run.options.onProgress?.(progress);
}

function resultOf(
  checkpoint: BackfillCheckpoint,
  end: Exclude<PipelineEnd, 'lost'>,
  durationMs: number,
): BackfillResult {
  const reason: BackfillStop | null = end === 'finished' ? null : end;
  return {
    collection: checkpoint.collection,
    outcome: reason === null ? 'finished' : 'stopped',
    reason,
    rowsRead: checkpoint.rowsRead,
    rowsInserted: checkpoint.rowsInserted,
    rowsDead: checkpoint.rowsDead,
    durationMs,
  };
}
