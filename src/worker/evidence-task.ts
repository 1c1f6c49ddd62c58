import { type MigrationContext, subjectsMax } from '../control/index.ts';
import type { WorkerTask } from './worker-tasks.ts';

const TURN_MS = 600_000;
/** It reads the length of all that is kept: not more often than each hour. */
const TURNS = 6;
/** Latencies are judged over a day at most (`gates.latencyMinutes`). */
const LATENCY_MINUTES = 2 * 24 * 60;

/** Forgets what no gate counts any more: the ledger of evidence would grow as long as the migration lasts. */
export function evidenceTask({ control, migration, runtime }: MigrationContext): WorkerTask {
  let turns = -1;
  return {
    name: 'evidence',
    idleMs: TURN_MS,
    holdable: false,
    async turn() {
      turns += 1;
      // Not at once: a process that begins has more pressing things to do.
      if (turns % TURNS !== 1) return 'idle';
      const latencyFromMinute = Math.floor(runtime.clock.now() / 60_000) - LATENCY_MINUTES;
      await control.evidence.prune(migration.name, { subjectsMax, latencyFromMinute });
      return 'idle';
    },
  };
}
