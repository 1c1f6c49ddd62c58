import type { MigrationContext } from '../control/index.ts';
import type { Side } from '../migration/index.ts';

/**
 * Tells the queues, in batches and off the callers' path, what became of journal entries: complete (the follower has it) or due now
 * (the worker shall take it). Losing a message here loses nothing: an entry that nobody settles falls due after its grace.
 */
export interface JournalSettler {
  complete(side: Side, id: bigint): void;
  release(side: Side, id: bigint, error: string): void;
  /** Everything told so far has been tried. */
  flush(): Promise<void>;
}

interface Pending {
  done: bigint[];
  due: bigint[];
  lastError: string;
}

const batchMax = 500;

export function createJournalSettler(context: MigrationContext, flushMs: number): JournalSettler {
  const pending: Record<Side, Pending> = { source: emptyPending(), target: emptyPending() };
  let scheduled: (() => void) | null = null;
  let running: Promise<void> | null = null;

  const settleSide = async (side: Side): Promise<void> => {
    const batch = pending[side];
    pending[side] = emptyPending();
    const { queue } = context.stores[side];
    for (let at = 0; at < batch.done.length; at += batchMax) {
      await queue.complete(batch.done.slice(at, at + batchMax)).catch(() => {});
    }
    for (let at = 0; at < batch.due.length; at += batchMax) {
      await queue
        .retryLater(batch.due.slice(at, at + batchMax), 0, batch.lastError, false)
        .catch(() => {});
    }
  };
  const hasWork = (side: Side): boolean => pending[side].done.length + pending[side].due.length > 0;
  const run = async (): Promise<void> => {
    while (hasWork('source') || hasWork('target')) {
      await Promise.all([settleSide('source'), settleSide('target')]);
    }
  };
  const flush = (): Promise<void> => {
    scheduled?.();
    scheduled = null;
    running ??= run().finally(() => {
      running = null;
    });
    return running;
  };
  const soon = (): void => {
    if (scheduled || running) return;
    scheduled = context.runtime.clock.schedule(flushMs, () => {
      scheduled = null;
      void flush();
    });
  };
  return {
    complete(side, id) {
      pending[side].done.push(id);
      soon();
    },
    release(side, id, error) {
      pending[side].due.push(id);
      pending[side].lastError = error;
      soon();
    },
    async flush() {
      do await flush();
      while (hasWork('source') || hasWork('target'));
    },
  };
}

function emptyPending(): Pending {
  return { done: [], due: [], lastError: '' };
}
