import { type MigrationContext, rogueAcknowledged } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import { followerOf, type MigrationState, routingTable, type Side } from '../migration/index.ts';
import type { RogueLook } from '../store/index.ts';
import type { Act } from './controller-types.ts';

/** Acknowledged in one go, at most; the rest stays for the next. */
const NOTES_MAX = 200_000;

/** See `Controller.rogueWrites`. */
export async function rogueWrites(
  { stores }: MigrationContext,
  { phase }: MigrationState,
  limit: number,
): Promise<(RogueLook & { readonly side: Side }) | null> {
  const side = followerOf(phase);
  const { rogues } = stores[side];
  if (!rogues || routingTable[phase].follow !== 'apply') return null;
  return { ...(await rogues.look(limit)), side };
}

/** See `Controller.acknowledgeRogueWrites`. */
export async function acknowledgeRogueWrites(context: MigrationContext, act: Act): Promise<number> {
  if (act.reason.trim() === '')
    throw new ChangeoverError(
      'CONFIG_INVALID',
      'An acknowledgement needs a reason: it is recorded.',
    );
  const { control, migration } = context;
  const state = await control.load(migration.name);
  const seen = await rogueWrites(context, state, NOTES_MAX);
  if (seen === null || seen.writes.length === 0) return 0;
  const { side, total, writes } = seen;
  const tables = [...new Set(writes.map(({ table }) => table))];
  const users = [...new Set(writes.map(({ user, application }) => `${user} / ${application}`))];
  // The word first, then the deed. What comes meanwhile is no part of it and stays.
  await control.note(migration.name, {
    ...act,
    action: rogueAcknowledged,
    detail: { side, total, notes: writes.length, tables, users },
  });
  return (await context.stores[side].rogues?.forget(writes)) ?? 0;
}
