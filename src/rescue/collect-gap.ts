import {
  groupByCollection,
  groupByKey,
  type KeyWork,
  prepareStream,
  streamEnds,
} from '../capture/index.ts';
import { applyEvent, type GapStatus, type MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import { type Collection, collectionOf, type MigrationState } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { collectFromLog } from './gap-log.ts';
import { findGap, type OpenGap } from './open-gap.ts';
import { recordKeys } from './record-keys.ts';
import { sweepCollection } from './sweep-gap.ts';
import { endComparison, expectSealed, sealTarget } from './target-guard.ts';

export interface CollectOptions {
  readonly actor: string;
  readonly reason: string;
  /** Queue or log are lost: everything is compared instead. Default false. */
  readonly sweep?: boolean;
  readonly signal: AbortSignal;
}

export interface CollectReport {
  readonly state: MigrationState;
  /** `before`: it was collected already. `none`: no gap is open. */
  readonly outcome: 'collected' | 'before' | 'none';
  readonly counts: Readonly<Record<GapStatus, number>> | null;
}

const QUEUE_PAGE = 500;
const PREPARE_MS = 30_000;
const SEQUENCES_MS = 5_000;

/**
 * Makes safe what only the target has: seal it, write down the records that its queue and its log name, and only then say so in the state, which lets
 * forward run again. Idempotent and repeatable up to the change of state, by any process: the target is sealed, so every look at it
 * sees the same, and what is written down already stays.
 *
 * STORE_UNAVAILABLE while the target does not answer; STORE_RESTORED when its guard or log are not those that the rescue left: then with `sweep`.
 */
export async function collectGap(
  context: MigrationContext,
  options: CollectOptions,
): Promise<CollectReport> {
  const { control, migration } = context;
  const { signal } = options;
  const first = await findGap(context);
  if (first === null)
    return { state: await control.load(migration.name), outcome: 'none', counts: null };
  const counts = () => control.gaps.counts(migration.name, first.gap.rescue);
  if (first.gap.stage === 'collected')
    return { state: first.state, outcome: 'before', counts: await counts() };
  const sweep = options.sweep === true;
  const sealed = await sealTarget(context, sweep);
  const restored = sealed === 'restored';
  // What stands in the queue of a backup says nothing of this gap.
  if (!restored) await collectFromQueue(first, sweep, signal);
  const log = sweep ? null : await collectFromLog(first, signal);
  for (const collection of migration.collections.values()) {
    if (sweep) await sweepCollection(first, collection, signal, sealed);
    else if (log?.truncated.has(collection.name)) await sweepCollection(first, collection, signal);
  }
  if (restored) await endComparison(first);
  await prepareForward(first);
  await raiseSequences(context);
  await expectSealed(first);
  const { rescue } = first.gap;
  const detail = { records: await counts(), sweep };
  const { actor, reason } = options;
  const event = { type: 'gap-collected', rescue } as const;
  try {
    const state = await applyEvent(context, event, { actor, reason, detail });
    return { state, outcome: 'collected', counts: detail.records };
  } catch (error) {
    // Somebody else has collected it meanwhile, and saw the same.
    const state = await control.load(migration.name);
    const before = state.gap?.rescue !== rescue || state.gap.stage === 'collected';
    if (!isChangeoverError(error, 'TRANSITION_REFUSED') || !before) throw error;
    return { state, outcome: 'before', counts: await counts() };
  }
}

/** Every entry, whoever has claimed it, and dead ones: its key, not its payload, is what it tells. */
async function collectFromQueue(gap: OpenGap, sweep: boolean, signal: AbortSignal): Promise<void> {
  const { queue } = gap.context.stores.target;
  if (!queue.entries) {
    if (sweep) return;
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      'The target cannot list its queue: `changeover rescue collect --sweep` compares everything instead.',
    );
  }
  let after: bigint | null = null;
  for (;;) {
    signal.throwIfAborted();
    const page = await queue.entries(after, QUEUE_PAGE);
    for (const [name, works] of groupByCollection(groupByKey(page))) {
      const collection = collectionOf(gap.context.migration, name);
      const keys = (await notApplied(gap, collection, works)).map(({ key }) => key);
      await recordKeys(gap, collection, keys, 'queue');
    }
    const last = page.at(-1);
    if (last === undefined || page.length < QUEUE_PAGE) return;
    after = last.id;
  }
}

/**
 * Without the entries that stand there only because nobody has come to remove them: the source's fence of that epoch says that it has the write. Of an intent it
 * does not say so; nor where others write: the number of an insert that is not seen yet may be lower than that of a look at the absent record (found by the
 * simulation), and what comes from a log is numbered otherwise.
 */
async function notApplied(
  { context, gap }: OpenGap,
  { name, capture }: Collection,
  works: readonly KeyWork[],
): Promise<readonly KeyWork[]> {
  if (capture !== 'app') return works;
  const keys = works.map(({ key }) => key);
  const fences = await context.stores.source.door.fences(name, keys);
  return works.filter(({ ids, intent }, at) => {
    const fence = fences[at] ?? null;
    const newest = ids.reduce((a, b) => (a > b ? a : b));
    return intent || fence === null || fence.epoch !== gap.epoch || fence.sequence < newest;
  });
}

/** A target that did not answer at the rescue does not know yet where the source's log begins for it. */
async function prepareForward({ context, state }: OpenGap): Promise<void> {
  const forward = streamEnds(context, 'source', state.epoch);
  if (forward) await prepareStream(forward, PREPARE_MS);
}

/** So that the source does not give a number again that a record of the gap has. Only comfort: if it does, that record is a conflict. */
async function raiseSequences({ runtime, stores }: MigrationContext): Promise<void> {
  const raise = async (): Promise<void> => {
    const values = await stores.target.guard.sequenceValues();
    if (values.size > 0) await stores.source.guard.raiseSequences(values);
  };
  await withDeadline(runtime.clock, SEQUENCES_MS, 'raising sequences', raise()).catch(
    (error: unknown) => messageOf(error),
  );
}
