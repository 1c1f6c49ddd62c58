import { applyEvent, type MigrationContext, undecidedGapStatuses } from '../control/index.ts';
import { ChangeoverError, isChangeoverError } from '../errors/index.ts';
import type { MigrationState } from '../migration/index.ts';
import { findGap, type OpenGap, openGap } from './open-gap.ts';
import { openTarget } from './target-guard.ts';

const QUEUE_PAGE = 500;

/** Who acts and why. */
interface Act {
  readonly actor: string;
  readonly reason: string;
}

/** Records of the gap that are not decided. */
export async function undecidedRecords({ context, gap }: OpenGap): Promise<number> {
  const counts = await context.control.gaps.counts(context.migration.name, gap.rescue);
  return undecidedGapStatuses.reduce((sum, status) => sum + counts[status], 0);
}

/**
 * What is left once the gap is collected: the target follows, its queue of the epoch that ended goes (each entry stands in the ledger), and when every record is
 * decided the gap is closed. Idempotent; any process may do it, again and again. The state when it was closed, else null.
 */
export async function settleGap(
  context: MigrationContext,
  act: Act,
): Promise<MigrationState | null> {
  const found = await findGap(context);
  if (found?.gap.stage !== 'collected') return null;
  await openTarget(context);
  await emptyTargetQueue(found);
  if ((await undecidedRecords(found)) > 0) return null;
  return close(found, act, {});
}

/**
 * Only what was there while this gap was open: in a later epoch the target may be the authority again, and this process may have been asleep. So the look at the
 * state comes between the list and the deletion.
 */
async function emptyTargetQueue({ context, gap }: OpenGap): Promise<void> {
  const { queue } = context.stores.target;
  if (!queue.entries) return;
  for (;;) {
    const page = await queue.entries(null, QUEUE_PAGE);
    const still = await findGap(context);
    if (page.length === 0 || still?.gap.rescue !== gap.rescue) return;
    await queue.complete(page.map(({ id }) => id));
  }
}

async function close(
  { context, gap }: OpenGap,
  act: Act,
  more: Readonly<Record<string, unknown>>,
  expectedVersion?: number,
): Promise<MigrationState> {
  const { control, migration } = context;
  const records = await control.gaps.counts(migration.name, gap.rescue);
  const event = { type: 'gap-closed', rescue: gap.rescue } as const;
  try {
    return await applyEvent(
      context,
      event,
      { ...act, detail: { records, ...more } },
      expectedVersion,
    );
  } catch (error) {
    // A worker and a person may close it at the same moment.
    const state = await control.load(migration.name);
    const closed = state.gap?.rescue !== gap.rescue;
    if (isChangeoverError(error, 'TRANSITION_REFUSED') && closed) return state;
    throw error;
  }
}

/**
 * The target will never answer again: what only it had is lost, and that is somebody's word. Only while the gap is not collected; the migration cannot
 * go on with that target, `abort` ends it. TRANSITION_REFUSED otherwise; STATE_CHANGED when it may have been collected meanwhile.
 */
export async function giveUpGap(context: MigrationContext, act: Act): Promise<MigrationState> {
  const found = await openGap(context);
  if (found.gap.stage === 'collected')
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      'The gap is collected, nothing of it is lost: decide its records (`changeover rescue resolve --all --take source` lets the source stand everywhere).',
    );
  return close(found, act, { givenUp: true }, found.state.version);
}
