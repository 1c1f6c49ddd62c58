import * as v from 'valibot';
import { type Phase, phases } from '../migration/index.ts';
import { type OptionEntry, share, textOrNone, whole } from './option-entry.ts';

const DAYS_MAX = 3_650;

/** Days for all phases, or for each of those that are named. */
export type DaysByPhase = number | { readonly [P in Phase]?: number };

const days = v.pipe(
  v.number(`has to be a number of days, 0 … ${DAYS_MAX}`),
  v.minValue(0, 'has to be at least 0 (days)'),
  v.maxValue(DAYS_MAX, `may be at most ${DAYS_MAX} (days)`),
);
const daysOfPhases = v.strictObject(
  Object.fromEntries(phases.map((phase) => [phase, v.optional(days)])),
);

/** After so many days without progress a phase counts as stalled, where the configuration says nothing else. 0: never. */
export const stalledAfterDaysDefault: Readonly<Record<Phase, number>> = {
  off: 0,
  'shadow-write': 14,
  'dual-write': 7,
  backfill: 7,
  'shadow-read': 14,
  'read-switch': 14,
  'write-switch': 30,
  retired: 0,
};

const stalledAfterDays: OptionEntry<DaysByPhase> = {
  default: stalledAfterDaysDefault,
  unit: 'days',
  range: `0 … ${DAYS_MAX} | { phase: days }`,
  effect:
    'Without an advance, a copied row or a comparison for so long, `status` and `zombie` call the phase stalled; 0: never. One number for every phase but `off` and `retired`, or one for each that is named.',
  schema: v.lazy(
    (input): v.GenericSchema<unknown, DaysByPhase> =>
      typeof input === 'number' ? days : (daysOfPhases as v.GenericSchema<unknown, DaysByPhase>),
  ),
};

const isoDate = (effect: string): OptionEntry<string | null> => ({
  ...textOrNone({ unit: 'date', effect }),
  range: 'YYYY-MM-DD | null',
  schema: v.nullable(
    v.pipe(
      v.string('has to be an ISO date, 2026-01-31'),
      v.isoDate('has to be an ISO date, 2026-01-31'),
    ),
  ),
});

/** What was promised to whoever pays: nothing here starts, stops or advances anything; `status`, `zombie` and the report say how it stands. */
export const programmeOptions = {
  killDate: isoDate(
    'By the end of this day (UTC) the migration is to be over; past it `zombie` says no. null: none was set.',
  ),
  killDateNearDays: whole({
    unit: 'days',
    default: 7,
    min: 0,
    max: DAYS_MAX,
    effect: 'So long before `programme.killDate` it is called near.',
  }),
  pointOfNoReturn: textOrNone({
    unit: 'phase, date or text',
    effect:
      'From when on going back is out of the question, as was agreed: a phase, a date, or in words. It is shown, and with a phase or a date also whether it is passed; a rollback stays possible.',
  }),
  costPerDay: share({
    unit: 'money per day',
    default: 0,
    min: 0,
    max: 1e12,
    effect: 'What a day of this migration costs; what it has cost so far is shown. 0: not shown.',
  }),
  currency: textOrNone({ unit: 'text', effect: 'Currency of `programme.costPerDay`, `EUR`.' }),
  stalledAfterDays,
} as const;

/** How a report is made. */
export const reportOptions = {
  signingKey: textOrNone({
    unit: 'text',
    effect:
      'Signs reports (HMAC-SHA-256), and `report --check` verifies the signature with it. The environment variable CHANGEOVER_REPORT_KEY goes before it. null: unsigned.',
  }),
} as const;
