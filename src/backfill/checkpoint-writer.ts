import type { BackfillCheckpoint, MigrationContext } from '../control/index.ts';
import { encodeKey } from '../record/index.ts';
import { measured } from './checkpoint.ts';
import type { DonePrefix } from './chunk-ledger.ts';
import type { GrowthMeter } from './growth.ts';

/**
 * Saves how far the contiguous prefix has come: one save at a time, the newest wins. A control store that cannot be
 * reached does not stop the copying: what is not checkpointed is only copied again after a crash.
 */
export interface CheckpointWriter {
  /** Begins a save when none is under way; otherwise remembers that one is needed. */
  save(prefix: DonePrefix): void;
  /** Waits for the save under way and saves what is left; throws when that cannot be saved. */
  flush(prefix: DonePrefix, finishedAtMs: number | null): Promise<void>;
}

export function createCheckpointWriter(
  context: MigrationContext,
  base: BackfillCheckpoint,
  meter: GrowthMeter,
): CheckpointWriter {
  let wanted: DonePrefix | null = null;
  let running: Promise<void> | null = null;

  const write = (prefix: DonePrefix, finishedAtMs: number | null): Promise<void> =>
    context.control.saveCheckpoint(context.migration.name, {
      ...base,
      ...measured(meter),
      doneUntil: prefix.doneUntil === null ? null : encodeKey(prefix.doneUntil),
      nextChunk: prefix.nextChunk,
      rowsRead: prefix.read,
      rowsInserted: prefix.inserted,
      rowsDead: prefix.dead,
      finishedAtMs,
    });
  const drain = async (): Promise<void> => {
    while (wanted !== null) {
      const prefix = wanted;
      wanted = null;
      await write(prefix, null).catch(() => undefined);
    }
  };

  return {
    save(prefix) {
      wanted = prefix;
      running ??= drain().finally(() => {
        running = null;
      });
    },
    async flush(prefix, finishedAtMs) {
      wanted = null;
      while (running) await running;
      await write(prefix, finishedAtMs);
    },
  };
}
