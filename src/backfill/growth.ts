import type { BackfillGrowth } from '../control/index.ts';
import { encodeKey } from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { BackfillScope } from './backfill-scope.ts';

/** The first look: what is over before it needs no forecast. */
const FIRST_LOOK_MS = 500;
const LOOK_MS = 1_000;
const LOOK_DEADLINE_MS = 2_000;
const WINDOW_MS = 30_000;

/**
 * What a backfill works against. Two things make more work while it copies: rows that are inserted into its range, and changes that wait because the
 * follower takes them more slowly than they come. Rows beyond the range are no work of its own: they arrive as changes.
 *
 * The planner cannot tell rows in the range from rows behind it. So its estimate counts for as long as the largest key is still the one that
 * was frozen, and stands still from then on: keys that rise (the usual) grow behind the range only.
 */
export interface GrowthMeter {
  /** Looks, when it is time to, without being waited for. */
  look(): void;
  /** null: fewer than two looks in the last seconds. */
  growth(): BackfillGrowth | null;
  /** Rows in the range by the newest look; the estimate at the beginning before it. */
  estimatedRows(): number;
  /** Waits for the look under way. */
  close(): Promise<void>;
}

interface Look {
  readonly atMs: number;
  readonly rows: number;
  readonly waiting: number;
}

export function createGrowthMeter(
  scope: BackfillScope,
  frozenLast: string | null,
  estimatedRows: number,
): GrowthMeter {
  const { clock } = scope.context.runtime;
  const { records, queue } = scope.authority;
  let looks: readonly Look[] = [];
  let rows = estimatedRows;
  let dueAt = clock.monotonic() + FIRST_LOOK_MS;
  let running: Promise<void> | null = null;

  const lookNow = async (): Promise<void> => {
    const asked = Promise.all([records.extent(scope.collection.name), queue.depth()]);
    const [extent, { waiting }] = await withDeadline(clock, LOOK_DEADLINE_MS, 'growth', asked);
    const closed = extent.last !== null && encodeKey(extent.last) === frozenLast;
    if (closed) rows = Math.max(0, extent.estimatedRows);
    looks = [...recent(), { atMs: clock.monotonic(), rows, waiting }];
  };
  const recent = (): readonly Look[] =>
    looks.filter(({ atMs }) => clock.monotonic() - atMs < WINDOW_MS);

  return {
    look() {
      if (running !== null || clock.monotonic() < dueAt) return;
      // A look that fails is one look less: what is not known is said to be so after a while.
      running = lookNow()
        .catch(() => undefined)
        .finally(() => {
          running = null;
          dueAt = clock.monotonic() + LOOK_MS;
        });
    },
    growth() {
      const known = recent();
      const [first, last] = [known[0], known.at(-1)];
      if (!first || !last || last.atMs - first.atMs <= 0) return null;
      const seconds = (last.atMs - first.atMs) / 1_000;
      return {
        perSecond: (last.rows + last.waiting - first.rows - first.waiting) / seconds,
        waiting: last.waiting,
        measuredAtMs: clock.now() - (clock.monotonic() - last.atMs),
      };
    },
    estimatedRows: () => rows,
    async close() {
      await running;
    },
  };
}
