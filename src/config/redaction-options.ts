import * as v from 'valibot';
import { textOrNone } from './option-entry.ts';

/** How values are hidden that `redact` of a collection names. */
export const redactionOptions = {
  secret: textOrNone({
    unit: 'text',
    effect:
      'Key of the hashes that stand for redacted values, the same in every process. null: one is drawn once and kept in the control store.',
  }),
} as const;

/** Field or `child.column` of either side whose values never reach the ledger, or `'all'`. */
export type RedactedFields = readonly string[] | 'all';

export const redactedFieldsSchema = v.union(
  [v.literal('all'), v.array(v.pipe(v.string(), v.minLength(1)))],
  "has to be a list of fields, or 'all'",
);
