import type { GapFilter, GapRecord, GapStatus, MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { MigrationState } from '../migration/index.ts';
import type { Key } from '../record/index.ts';
import {
  type ApplyOptions,
  type ApplyReport,
  applyGap,
  type CollectOptions,
  type CollectReport,
  collectGap,
  giveUpGap,
  type ResolveOptions,
  type ResolveReport,
  resolveGap,
  type ShownRecord,
  settleGap,
  showGapRecord,
} from '../rescue/index.ts';
import type { Act } from './controller-types.ts';

/** What a rescue left behind, and what becomes of it. Every method looks at the state anew; all may be repeated. */
export interface GapDesk {
  /** Makes it safe, and lets the target follow again; a worker does it by itself. See `collectGap`. */
  collect(options: CollectOptions): Promise<CollectReport>;
  /** The gap that is open, or with `rescue` an earlier one. TRANSITION_REFUSED when there is none. */
  list(
    filter: GapFilter,
    rescue?: string,
  ): Promise<{
    readonly state: MigrationState;
    readonly rescue: string;
    readonly counts: Readonly<Record<GapStatus, number>>;
    readonly records: readonly GapRecord[];
  }>;
  show(collection: string, key: Key): Promise<ShownRecord>;
  /** Also the preview, by its mode. */
  apply(options: ApplyOptions): Promise<ApplyReport>;
  resolve(options: ResolveOptions): Promise<ResolveReport>;
  /** The target is lost for good before the gap was collected. */
  giveUp(act: Act): Promise<MigrationState>;
}

export function createGapDesk(context: MigrationContext): GapDesk {
  const { control, migration } = context;
  return {
    async collect(options) {
      const report = await collectGap(context, options);
      const { actor, reason } = options;
      const closed = await settleGap(context, { actor, reason });
      return closed === null ? report : { ...report, state: closed };
    },
    async list(filter, rescue) {
      const state = await control.load(migration.name);
      const of = rescue ?? state.gap?.rescue;
      if (of === undefined)
        throw new ChangeoverError(
          'TRANSITION_REFUSED',
          'No gap of a rescue is open. Earlier ones: `changeover history` shows their rescue ids (gap-closed), `changeover rescue list --rescue ID` their records.',
        );
      const [counts, records] = await Promise.all([
        control.gaps.counts(migration.name, of),
        control.gaps.list(migration.name, of, filter),
      ]);
      return { state, rescue: of, counts, records };
    },
    show: (collection, key) => showGapRecord(context, collection, key),
    apply: (options) => applyGap(context, options),
    resolve: (options) => resolveGap(context, options),
    giveUp: (act) => giveUpGap(context, act),
  };
}
