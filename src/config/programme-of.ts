import { type Phase, phases } from '../migration/index.ts';
import type { Programme } from '../report/index.ts';
import type { MigrationOptions } from './options.ts';
import { stalledAfterDaysDefault } from './programme-options.ts';

/** What was promised of a migration, every phase with its days. */
export function programmeOf({ programme }: MigrationOptions): Programme {
  const { stalledAfterDays, ...rest } = programme;
  const daysOf = (phase: Phase): number => {
    // One number is for what is under way: before and after it nothing can be late.
    if (typeof stalledAfterDays === 'number')
      return phase === 'off' || phase === 'retired' ? 0 : stalledAfterDays;
    return stalledAfterDays[phase] ?? stalledAfterDaysDefault[phase];
  };
  const days = Object.fromEntries(phases.map((phase) => [phase, daysOf(phase)]));
  return { ...rest, stalledAfterDays: days as Record<Phase, number> };
}
