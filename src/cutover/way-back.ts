import type { MigrationContext } from '../control/index.ts';
import type { MigrationState } from '../migration/index.ts';
import type { CutoverLimits } from './cutover-options.ts';
import { rehearseSwitch, type SwitchRehearsal } from './switch-rehearsal.ts';

/** What keeps writes from going back to the source, and what to do about it. */
export interface Obstacle {
  readonly reason: string;
  readonly fix: string;
}

/** How the way back stands after the write switch. */
export interface WayBack {
  readonly ready: boolean;
  /** Until writes are on the source: what drains before the hold, and the hold. null: not before the obstacles are gone. */
  readonly ms: number | null;
  /** Empty when it is ready. */
  readonly obstacles: readonly Obstacle[];
  readonly rehearsal: SwitchRehearsal;
}

/**
 * Looks at all that a rollback from `write-switch` needs: both guards, a worker that was heard of lately and applies, no dead letter, queue and log
 * near their end, nobody in the way of the guard, sequences and traffic. Nothing is ready because it was once. CONTROL_UNAVAILABLE throws.
 */
export async function wayBack(
  context: MigrationContext,
  state: MigrationState,
  limits: CutoverLimits,
): Promise<WayBack> {
  const rehearsal = await rehearseSwitch(context, state, {
    ...limits,
    to: 'source',
    phaseAfter: 'read-switch',
    growthMs: 0,
    needsWorker: true,
  });
  const { prediction, following, checks } = rehearsal;
  const obstacles = checks
    .filter(({ verdict }) => verdict === 'fail' || verdict === 'unknown')
    .map(({ message, fix }) => ({ reason: message, fix }));
  const ready = obstacles.length === 0 && prediction !== null;
  const excess = Math.max(0, (following.queue?.waiting ?? 0) - limits.waitingMax);
  const rate = following.changesPerSecond ?? 0;
  const drainMs = excess === 0 ? 0 : rate === 0 ? null : (excess * 1_000) / rate;
  return {
    ready,
    ms: ready && drainMs !== null ? Math.round(prediction.ms + drainMs) : null,
    obstacles,
    rehearsal,
  };
}
