import type { MigrationContext } from '../control/index.ts';
import { forwardIsShut, type MigrationState, routingTable } from '../migration/index.ts';

/**
 * True when the follower ought to hold the whole collection: it follows, and the copy of this generation is finished. Before that a comparison finds what was not copied yet. A
 * collection without a checkpoint in a phase behind the backfill was verified into it.
 */
export async function isCopied(
  { control, migration }: MigrationContext,
  state: MigrationState,
  collection: string,
): Promise<boolean> {
  const { phase, generation, cutover } = state;
  if (routingTable[phase].follow !== 'apply' || forwardIsShut(state) || cutover !== null)
    return false;
  if (phase === 'dual-write') return false;
  if (phase !== 'backfill') return true;
  const checkpoint = await control.checkpoint(migration.name, collection);
  return checkpoint?.generation === generation && checkpoint.finishedAtMs !== null;
}
