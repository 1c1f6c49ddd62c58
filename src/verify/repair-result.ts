import type { Key } from '../record/index.ts';
import type { PairDifference } from './comparator.ts';
import type { RepairedKey, RepairOutcome } from './repair-options.ts';

/** What became of a key that differed. */
export function resultOf(
  plan: Pick<RepairedKey, 'key' | 'action'> & { readonly difference: PairDifference },
  outcome: RepairOutcome,
  note: string = plan.difference.note,
): RepairedKey {
  const { kind, fields } = plan.difference;
  return { key: plan.key, kind, action: plan.action, outcome, fields, note };
}

/** What became of a key that was not compared, or did not differ. */
export function bare(key: Key, outcome: 'equal' | 'busy'): RepairedKey {
  return { key, kind: null, action: 'none', outcome, fields: [], note: '' };
}

export function countOutcomes(
  keys: readonly RepairedKey[],
): Readonly<Record<RepairOutcome, number>> {
  const counts: Record<RepairOutcome, number> = {
    proposed: 0,
    repaired: 0,
    equal: 0,
    'extra-kept': 0,
    overtaken: 0,
    busy: 0,
    failed: 0,
  };
  for (const { outcome } of keys) counts[outcome] += 1;
  return counts;
}
