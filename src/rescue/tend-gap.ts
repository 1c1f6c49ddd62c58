import type { MigrationContext } from '../control/index.ts';
import { settleGap } from './close-gap.ts';
import { collectGap } from './collect-gap.ts';
import { findGap } from './open-gap.ts';

/**
 * A worker's part: collects the gap as soon as the target answers, opens the target, closes the gap once everything is decided. What to do about each record
 * is not its business. Cheap when no gap is open.
 */
export async function tendGap(context: MigrationContext, signal: AbortSignal): Promise<void> {
  const found = await findGap(context);
  if (found === null) return;
  const act = { actor: context.instance, reason: 'the target answers' };
  if (found.gap.stage === 'uncollected') await collectGap(context, { ...act, signal });
  await settleGap(context, { actor: context.instance, reason: 'every record is decided' });
}
