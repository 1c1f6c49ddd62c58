import type { GapRecord, MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import {
  type Collection,
  collectionOf,
  type GapState,
  type MigrationState,
} from '../migration/index.ts';
import { decodeKey, type Key } from '../record/index.ts';

/** The gap that is open now, and the state in which it was looked at. */
export interface OpenGap {
  readonly context: MigrationContext;
  readonly state: MigrationState;
  readonly gap: GapState;
}

/** null: no gap is open. */
export async function findGap(context: MigrationContext): Promise<OpenGap | null> {
  const state = await context.control.load(context.migration.name);
  return state.gap ? { context, state, gap: state.gap } : null;
}

/** TRANSITION_REFUSED when no gap is open, or, with `collected`, when it is not collected yet. */
export async function openGap(
  context: MigrationContext,
  stage: 'any' | 'collected' = 'any',
): Promise<OpenGap> {
  const found = await findGap(context);
  if (found === null)
    throw new ChangeoverError('TRANSITION_REFUSED', 'No gap of a rescue is open.');
  if (stage === 'collected' && found.gap.stage !== 'collected')
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      'The gap is not collected yet: a worker does that as soon as the target answers, or `changeover rescue collect`.',
    );
  return found;
}

export const collectionOfRecord = ({ context }: OpenGap, record: GapRecord): Collection =>
  collectionOf(context.migration, record.collection);

export const keyOfRecord = (record: Pick<GapRecord, 'key'>): Key => decodeKey(record.key);
