import {
  type GapRecord,
  type GapStatus,
  type MigrationContext,
  undecidedGapStatuses,
} from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import { collectionOf, type MigrationState } from '../migration/index.ts';
import { type DataRecord, encodeKey, type Key } from '../record/index.ts';
import { settleGap } from './close-gap.ts';
import { collectionOfRecord, keyOfRecord, type OpenGap, openGap } from './open-gap.ts';
import { PAGE } from './record-keys.ts';
import { weigh } from './weigh-gap.ts';
import { writeRecord } from './write-record.ts';

/** `source`: its record stands, and goes to the target. `target`: its record is written to the source. `close`: nothing is written. */
export type Take = 'source' | 'target' | 'close';

export interface ResolveOptions {
  readonly actor: string;
  readonly reason: string;
  readonly take: Take;
  /** One record, or every one that is not decided. */
  readonly which: { readonly collection: string; readonly key: Key } | 'all';
  readonly signal: AbortSignal;
}

export interface ResolveReport {
  readonly resolved: number;
  /** Not decided still, with the reason; at most 100 are named. */
  readonly left: readonly {
    readonly collection: string;
    readonly key: string;
    readonly note: string;
  }[];
  readonly leftCount: number;
  /** After it; without `gap` when everything is decided. */
  readonly state: MigrationState;
}

const LEFT_MAX = 100;

/**
 * Decides records by a person's word. Taking the target's record overwrites what the source holds, but only what somebody has looked at: one that was written again since
 * `rescue show` (or since it became a conflict) is left, with its new value to be looked at. The word stands in the audit before anything is done.
 */
export async function resolveGap(
  context: MigrationContext,
  options: ResolveOptions,
): Promise<ResolveReport> {
  const gap = await openGap(context, 'collected');
  const { control, migration } = context;
  const { which, take, actor, reason } = options;
  const detail = {
    rescue: gap.gap.rescue,
    take,
    ...(which === 'all' ? { all: true } : { collection: which.collection, key: which.key }),
  };
  const one = which === 'all' ? null : await undecided(gap, which.collection, which.key);
  await control.note(migration.name, { actor, reason, action: 'rescue-resolve', detail });
  const left: { collection: string; key: string; note: string }[] = [];
  let resolved = 0;
  let leftCount = 0;
  const settle = async (record: GapRecord): Promise<void> => {
    const note = await decide(gap, record, take, actor);
    if (note === null) {
      resolved += 1;
      return;
    }
    leftCount += 1;
    const { collection, key } = record;
    if (left.length < LEFT_MAX) left.push({ collection, key, note });
  };
  if (one !== null) await settle(one);
  else await everyUndecided(gap, options.signal, settle);
  await settleGap(context, { actor, reason });
  return { resolved, left, leftCount, state: await control.load(migration.name) };
}

/** CONFIG_INVALID when the gap has no such record, or it is decided. */
async function undecided(gap: OpenGap, collection: string, key: Key): Promise<GapRecord> {
  const record = await findRecord(gap, collection, key);
  if ((undecidedGapStatuses as readonly GapStatus[]).includes(record.status)) return record;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `The record ${collection} ${key.join(' ')} of the gap is decided already: ${record.status}.`,
  );
}

async function findRecord(
  { context, gap }: OpenGap,
  collection: string,
  key: Key,
): Promise<GapRecord> {
  collectionOf(context.migration, collection);
  const { gaps } = context.control;
  const { name } = context.migration;
  const record = await gaps.find(name, gap.rescue, collection, encodeKey(key));
  if (record !== null) return record;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `The gap has no record ${collection} ${key.join(' ')}.`,
  );
}

async function everyUndecided(
  { context, gap }: OpenGap,
  signal: AbortSignal,
  settle: (record: GapRecord) => Promise<void>,
): Promise<void> {
  let after: GapRecord | undefined;
  for (;;) {
    signal.throwIfAborted();
    const page = await context.control.gaps.list(context.migration.name, gap.rescue, {
      statuses: undecidedGapStatuses,
      limit: PAGE,
      ...(after ? { after } : {}),
    });
    const last = page.at(-1);
    if (last === undefined) return;
    after = last;
    for (const record of page) await settle(record);
  }
}

/** null: decided. Otherwise why not. */
async function decide(
  gap: OpenGap,
  record: GapRecord,
  take: Take,
  actor: string,
): Promise<string | null> {
  const { context } = gap;
  if (take === 'target') return takeTarget(gap, record, actor);
  if (take === 'source') {
    // The target's record is not overwritten by itself where nobody has written the source's since. The entry first: doing it twice does no harm.
    const { queue } = context.stores.source;
    const key = keyOfRecord(record);
    await queue.enqueue([{ collection: record.collection, key, kind: 'change', graceMs: 0 }]);
  }
  return noteDecision(gap, record, take === 'source' ? 'taken-source' : 'closed', actor);
}

async function takeTarget(gap: OpenGap, record: GapRecord, actor: string): Promise<string | null> {
  const [weighed] = await weigh(gap, collectionOfRecord(gap, record), [record]);
  if (weighed === undefined) return 'it could not be weighed';
  if (weighed.verdict === 'equal') return noteDecision(gap, record, 'taken-target', actor);
  if (weighed.verdict === 'refused') return weighed.note;
  const { outcome, note } = await writeRecord(gap, weighed, record.source, true);
  if (outcome === 'written') return noteDecision(gap, record, 'taken-target', actor);
  if (outcome !== 'conflict') return note;
  // Of a conflict alone `show` notes what it has shown, and what may be overwritten then.
  const { collection, key } = record;
  const { context, gap: open } = gap;
  await context.control.gaps.decide(context.migration.name, open.rescue, undecidedGapStatuses, [
    { collection, key, status: 'conflict', note },
  ]);
  return `${note}: look at it again (changeover rescue show)`;
}

async function noteDecision(
  { context, gap }: OpenGap,
  { collection, key }: GapRecord,
  status: GapStatus,
  actor: string,
): Promise<string | null> {
  const decision = { collection, key, status, note: `by ${actor}` };
  const { gaps } = context.control;
  const { name } = context.migration;
  const decided = await gaps.decide(name, gap.rescue, undecidedGapStatuses, [decision]);
  return decided === 1 ? null : 'somebody else has decided it meanwhile';
}

/** One record with both stores' values, as they stand. */
export interface ShownRecord {
  readonly record: GapRecord;
  /** The target's record as the source would hold it; null: it would not exist there. */
  readonly wanted: DataRecord | null;
  readonly current: DataRecord | null;
  readonly note: string;
}

/** Shows one record; of a conflict, what is shown is what a decision may overwrite from then on. */
export async function showGapRecord(
  context: MigrationContext,
  collection: string,
  key: Key,
): Promise<ShownRecord> {
  const gap = await openGap(context);
  const record = await findRecord(gap, collection, key);
  const [weighed] = await weigh(gap, collectionOfRecord(gap, record), [record]);
  const current = weighed?.current ?? null;
  if (record.status === 'conflict') {
    const { status, note } = record;
    const { gaps } = context.control;
    const looked = { collection, key: record.key, status, note, source: current };
    await gaps.decide(context.migration.name, gap.gap.rescue, ['conflict'], [looked]);
  }
  return { record, wanted: weighed?.wanted ?? null, current, note: weighed?.note ?? '' };
}
