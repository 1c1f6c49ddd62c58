import { type MigrationContext, undecidedGapStatuses } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { Collection, GapState, MigrationState, Side } from '../migration/index.ts';
import { compareVersions, type DataRecord, type Key, keyOf } from '../record/index.ts';
import { everySubject, type TokenEntry, tokenSubject } from './token.ts';

/** Entries of a token that stand for writes which a rescue may have left behind; none while no gap is open. */
export function lostIn(
  { gap }: MigrationState,
  entries: readonly TokenEntry[],
): readonly TokenEntry[] {
  return gap === undefined ? [] : entries.filter(({ version }) => version.epoch === gap.epoch);
}

/**
 * The source's record for a bearer of such a token, or TOKEN_GAP: never an older one. The source has the write when its fence of the epoch that ended says so, or
 * when the gap is collected and has no undecided record of the key. The ledger is asked *before* the record is read: a decision in between makes the
 * record newer, not older.
 */
export async function readBehindGap(
  context: MigrationContext,
  state: MigrationState,
  lost: readonly TokenEntry[],
  at: { readonly collection: Collection; readonly side: Side; readonly key: Key },
): Promise<DataRecord | null> {
  const { collection, side, key } = at;
  const own = tokenSubject(collection.name, key);
  const every = lost.some(({ subject }) => subject === everySubject);
  const asked = [own, ...lost.map(({ subject }) => subject)];
  const undecided = await undecidedOf(context, state.gap, asked);
  const { records } = context.stores[side];
  const [answer] = await records.read(collection.name, [key], { withFence: true });
  const record = answer?.record ?? null;
  const spelled =
    record === null ? own : tokenSubject(collection.name, keyOf(record, collection[side].key));
  const relevant = lost.filter(({ subject }) => [everySubject, own, spelled].includes(subject));
  if (relevant.length === 0 && record !== null) return record;
  const fence = answer?.fence ?? null;
  const reached = (entry: TokenEntry): boolean =>
    fence !== null && compareVersions(fence, entry.version) >= 0;
  if (relevant.length > 0 && relevant.every(reached)) return record;
  if (undecided === null) throw behindGap();
  // Without a record nobody knows how the store spells the key: it may be any that the bearer has written.
  const suspects = record === null ? asked : [own, spelled];
  if (suspects.some((subject) => undecided.has(subject))) throw behindGap();
  if (!every || asked.includes(spelled)) return record;
  // The caller spells the key otherwise than the store: asked again by its spelling, and read after that.
  if ((await undecidedOf(context, state.gap, [spelled]))?.size !== 0) throw behindGap();
  return (await records.read(collection.name, [key]))[0]?.record ?? null;
}

/** For closures, whose answers have no key: TOKEN_GAP while any write of the bearer may be in the gap. */
export async function refuseBehindGap(
  context: MigrationContext,
  state: MigrationState,
  lost: readonly TokenEntry[],
): Promise<void> {
  if (lost.length === 0 || state.gap === undefined) return;
  const subjects = lost.map(({ subject }) => subject);
  const undecided = await undecidedOf(context, state.gap, subjects);
  if (undecided === null || undecided.size > 0) throw behindGap();
  if (!subjects.includes(everySubject)) return;
  const counts = await context.control.gaps.counts(context.migration.name, state.gap.rescue);
  if (undecidedGapStatuses.some((status) => counts[status] > 0)) throw behindGap();
}

/** null: not collected, so nobody knows what is in it. */
async function undecidedOf(
  { control, migration }: MigrationContext,
  gap: GapState | undefined,
  subjects: readonly string[],
): Promise<ReadonlySet<string> | null> {
  if (gap === undefined || gap.stage === 'uncollected') return null;
  return control.gaps.undecided(migration.name, gap.rescue, [...new Set(subjects)]);
}

function behindGap(): ChangeoverError {
  return new ChangeoverError(
    'TOKEN_GAP',
    'The token names a write that is in the gap of a rescue and not decided yet; an older record is refused.',
  );
}
