import type { Following } from '../capture/index.ts';
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
  const drain = drainBefore(following, limits);
  if (drain.obstacle !== null) obstacles.push(drain.obstacle);
  const ready = obstacles.length === 0 && prediction !== null;
  return {
    ready,
    ms: ready ? Math.round(prediction.ms + drain.ms) : null,
    obstacles,
    rehearsal,
  };
}

/** What has to be applied before the hold begins, while writes flow; a rollback waits for that no longer than `drainTimeoutMs`. */
function drainBefore(
  { queue, changesPerSecond, side }: Following,
  { waitingMax, drainTimeoutMs }: CutoverLimits,
): { readonly ms: number; readonly obstacle: Obstacle | null } {
  const excess = Math.max(0, (queue?.waiting ?? 0) - waitingMax);
  if (excess === 0) return { ms: 0, obstacle: null };
  const rate = changesPerSecond ?? 0;
  const ms = (excess * 1_000) / rate;
  if (ms <= drainTimeoutMs) return { ms, obstacle: null };
  const told =
    rate === 0
      ? 'how fast they are applied is not known yet'
      : `at ${Math.round(rate)} a second they come down to ${waitingMax} in ${Math.ceil(ms / 1_000)} s`;
  return {
    ms,
    obstacle: {
      reason: `${queue?.waiting ?? 0} changes wait in the queue of the ${side}, and ${told}; a rollback waits ${Math.round(drainTimeoutMs / 1_000)} s for that.`,
      fix: 'Wait, add workers, or allow more (switch.drainTimeoutMs).',
    },
  };
}
