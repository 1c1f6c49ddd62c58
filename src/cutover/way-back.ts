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
  const drain = await drainBefore(context, following, limits);
  if (drain.obstacle !== null) obstacles.push(drain.obstacle);
  const ready = obstacles.length === 0 && prediction !== null;
  return {
    ready,
    ms: ready ? Math.round(prediction.ms + drain.ms) : null,
    obstacles,
    rehearsal,
  };
}

/** Between two looks at a queue that is too long. */
const GROWTH_MS = 500;

/**
 * What has to be applied before the hold begins, while writes flow; a rollback waits for that no longer than `drainTimeoutMs`. Computed from how fast the queue
 * becomes shorter: what workers apply says nothing where as much comes in.
 */
async function drainBefore(
  { runtime, stores }: MigrationContext,
  { queue, changesPerSecond, side }: Following,
  { waitingMax, drainTimeoutMs }: CutoverLimits,
): Promise<{ readonly ms: number; readonly obstacle: Obstacle | null }> {
  const { clock } = runtime;
  const waiting = queue?.waiting ?? 0;
  if (waiting <= waitingMax) return { ms: 0, obstacle: null };
  const began = clock.monotonic();
  const first = await stores[side].queue.depth();
  await clock.sleep(GROWTH_MS);
  const last = await stores[side].queue.depth();
  const perSecond = ((first.waiting - last.waiting) * 1_000) / (clock.monotonic() - began);
  const excess = Math.max(0, last.waiting - waitingMax);
  const ms = excess === 0 ? 0 : perSecond > 0 ? (excess * 1_000) / perSecond : Infinity;
  if (ms <= drainTimeoutMs) return { ms, obstacle: null };
  const applied =
    changesPerSecond === null ? '' : `, although ${Math.round(changesPerSecond)} are applied`;
  const told =
    perSecond > 0
      ? `at ${Math.round(perSecond)} fewer a second they come down to ${waitingMax} in ${Math.ceil(ms / 1_000)} s`
      : perSecond === 0
        ? `they do not become fewer${applied && `${applied} a second`}`
        : `they grow by ${Math.round(-perSecond)} a second${applied}`;
  return {
    ms,
    obstacle: {
      reason: `${last.waiting} changes wait in the queue of the ${side}, and ${told}; a rollback waits ${Math.round(drainTimeoutMs / 1_000)} s for that.`,
      fix: 'Wait, add workers, or allow more (switch.drainTimeoutMs).',
    },
  };
}
