import type { BackfillCheckpoint } from '../control/index.ts';
import { encodeKey } from '../record/index.ts';
import type { BackfillScope } from './backfill-scope.ts';
import type { ChunkLedger } from './chunk-ledger.ts';
import type { GrowthMeter } from './growth.ts';

/** The checkpoint of this generation, or a new one with the largest key of now. */
export async function openCheckpoint(
  scope: BackfillScope,
): Promise<{ readonly checkpoint: BackfillCheckpoint; readonly resumed: boolean }> {
  const { control, migration } = scope.context;
  const { name } = scope.collection;
  const found = await control.checkpoint(migration.name, name);
  if (found && found.generation === scope.begun.generation)
    return { checkpoint: found, resumed: true };
  const { last, estimatedRows } = await scope.authority.records.extent(name);
  const checkpoint: BackfillCheckpoint = {
    ...blankCheckpoint(scope),
    frozenLast: last === null ? null : encodeKey(last),
    estimatedRows: Math.max(0, estimatedRows),
  };
  await control.saveCheckpoint(migration.name, checkpoint);
  return { checkpoint, resumed: false };
}

/** Nothing has been copied. */
export function blankCheckpoint(scope: BackfillScope): BackfillCheckpoint {
  return {
    collection: scope.collection.name,
    generation: scope.begun.generation,
    frozenLast: null,
    doneUntil: null,
    nextChunk: 1,
    rowsRead: 0,
    rowsInserted: 0,
    rowsDead: 0,
    estimatedRows: 0,
    startedAtMs: scope.context.runtime.clock.now(),
    finishedAtMs: null,
  };
}

/** The checkpoint with the totals of the run, done chunks beyond the prefix included, and with what was measured. */
export function totalsOf(
  checkpoint: BackfillCheckpoint,
  ledger: ChunkLedger,
  meter: GrowthMeter,
): BackfillCheckpoint {
  const { read, inserted, dead } = ledger.totals();
  return {
    ...checkpoint,
    ...measured(meter),
    rowsRead: read,
    rowsInserted: inserted,
    rowsDead: dead,
  };
}

/** The part of a checkpoint that is measured, not counted. */
export function measured(
  meter: GrowthMeter,
): Pick<BackfillCheckpoint, 'estimatedRows'> & Required<Pick<BackfillCheckpoint, 'growth'>> {
  return { estimatedRows: meter.estimatedRows(), growth: meter.growth() };
}
