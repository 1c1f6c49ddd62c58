import { hideValues, isRedacted, openRedactor, type Redactor } from '../control/index.ts';
import type { FieldDifference, MismatchClass, Scalar } from '../record/index.ts';
import type { Session } from './session.ts';

/** A value as it may be shown: its length unless values were asked for. */
export function shown(value: Scalar, values: boolean): string {
  if (value === null) return 'NULL';
  return values ? JSON.stringify(value) : `(${[...value].length} characters)`;
}

/** A difference as it may be shown. */
export interface ShownField {
  readonly field: string;
  readonly class: MismatchClass | null;
  readonly expected: string;
  readonly actual: string;
  /** What the authority itself holds, where it spells it otherwise and values were asked for. */
  readonly raw?: string;
}

/** Differences without values, unless they were asked for; hidden ones as their hashes, which are alike exactly when the values are. */
export function shownFields(
  fields: readonly FieldDifference[],
  values: boolean,
): readonly ShownField[] {
  return fields.map(({ field, expected, actual, raw, hidden, ...one }) => {
    const text = (value: Scalar): string =>
      hidden && value !== null && value !== '' ? value : shown(value, values);
    return {
      field,
      class: one.class ?? null,
      expected: text(expected),
      actual: text(actual),
      ...(raw === undefined || !values ? {} : { raw: text(raw) }),
    };
  });
}

/** What the stores hold, hidden as the ledger hides it. */
export async function hiddenFields(
  { migration }: Session,
  collection: string,
  fields: readonly FieldDifference[],
): Promise<readonly FieldDifference[]> {
  if (!fields.some(({ field }) => isRedacted(migration.migration, collection, field)))
    return fields;
  return hideValues(migration.migration, collection, fields, await redactorOf(migration));
}

const redactorOf = (migration: Session['migration']): Promise<Redactor> =>
  openRedactor(
    migration.control,
    migration.migration.name,
    migration.options.redaction.secret,
    migration.runtime,
  );

/** Who has looked at values, and at which, goes into the audit. Errors: CONTROL_UNAVAILABLE, and then nothing is shown. */
export async function auditLook(
  { migration, act }: Session,
  detail: Readonly<Record<string, unknown>>,
): Promise<void> {
  await migration.control.note(migration.migration.name, {
    ...act,
    action: 'values-shown',
    detail,
  });
}
