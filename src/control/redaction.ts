import { createHmac } from 'node:crypto';
import { ChangeoverError } from '../errors/index.ts';
import type { Migration } from '../migration/index.ts';
import type { FieldDifference, Scalar } from '../record/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { ControlStore } from './control-store.ts';
import type { Mismatch, MismatchLedger } from './mismatch-ledger.ts';
import { fieldName } from './mismatch-life.ts';

/** Hides values so that equal ones stay equal: a keyed hash and the order of the length. NULL and empty texts show as they are. */
export interface Redactor {
  hide(value: Scalar): Scalar;
}

const MEMO = 'redaction';
const TRIES_MAX = 10;

/** With a secret of at least some entropy nobody can try out values; 12 digits tell values apart among millions. */
export function createRedactor(secret: string): Redactor {
  return {
    hide(value) {
      if (value === null || value === '') return value;
      const hash = createHmac('sha256', secret).update(value).digest('hex').slice(0, 12);
      return `#${hash} (${lengthClass([...value].length)})`;
    },
  };
}

/** `1 character`, `2–3 characters`, `4–7 characters` …: the length itself would tell too much of a short value. */
export function lengthClass(length: number): string {
  if (length <= 1) return length === 1 ? '1 character' : 'empty';
  const low = 2 ** Math.floor(Math.log2(length));
  return `${low}–${low * 2 - 1} characters`;
}

/** True for a field that `redact` of its collection names. Fields of child rows: `child.column`. */
export function isRedacted(migration: Migration, collection: string, field: string): boolean {
  const redact = migration.collections.get(collection)?.redact ?? [];
  return redact === 'all' || redact.includes(fieldName(field));
}

/** The differences with the values of redacted fields hidden; what is hidden already stays as it is. */
export function hideValues(
  migration: Migration,
  collection: string,
  differences: readonly FieldDifference[],
  redactor: Redactor,
): readonly FieldDifference[] {
  return differences.map((one) => {
    if (one.hidden || !isRedacted(migration, collection, one.field) || isWholeRow(one.field))
      return one;
    return {
      ...one,
      expected: redactor.hide(one.expected),
      actual: redactor.hide(one.actual),
      ...(one.raw === undefined ? {} : { raw: redactor.hide(one.raw) }),
      hidden: true,
    };
  });
}

/** A child row that is there or not has no value. */
const isWholeRow = (field: string): boolean => field.endsWith(']');

/**
 * The migration's redactor: with the configured secret, else with one that is drawn once and kept in the control store, so that every process hides
 * alike. Errors: CONTROL_UNAVAILABLE.
 */
export async function openRedactor(
  control: Pick<ControlStore, 'memos' | 'display'>,
  migration: string,
  configured: string | null,
  runtime: Pick<Runtime, 'random'>,
): Promise<Redactor> {
  if (configured !== null) return createRedactor(configured);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const secret = (await control.memos.read(migration, MEMO))?.body['secret'];
    if (typeof secret === 'string') return createRedactor(secret);
    const { random } = runtime;
    const drawn = [random.id(), random.id(), random.id()].join('');
    // Another process may have been faster: its secret counts.
    await control.memos.write(migration, MEMO, { secret: drawn }, 0);
  }
  throw new ChangeoverError(
    'CONTROL_UNAVAILABLE',
    `The secret that hides values could not be kept in ${control.display}.`,
  );
}

/**
 * The ledger, with redacted values hidden before they reach the control store, whoever saw them, and lines of earlier times hidden when they are read.
 * `open` is called when there is something to hide, again after a failure.
 */
export function redactingLedger(
  ledger: MismatchLedger,
  migration: Migration,
  open: () => Promise<Redactor>,
): MismatchLedger {
  if ([...migration.collections.values()].every(({ redact }) => !redact?.length)) return ledger;
  let opened: Promise<Redactor> | null = null;
  const redactor = (): Promise<Redactor> => {
    opened ??= open().catch((error: unknown) => {
      opened = null;
      throw error;
    });
    return opened;
  };
  const hidden = async <T extends Pick<Mismatch, 'collection' | 'differences'>>(
    lines: readonly T[],
  ): Promise<readonly T[]> => {
    if (lines.every(({ differences }) => differences.length === 0)) return lines;
    const hider = await redactor();
    return lines.map((line) => ({
      ...line,
      differences: hideValues(migration, line.collection, line.differences, hider),
    }));
  };
  return {
    ...ledger,
    record: async (name, mismatches) => ledger.record(name, await hidden(mismatches)),
    decide: async (name, places, decision) => hidden(await ledger.decide(name, places, decision)),
    find: async (name, place) => {
      const line = await ledger.find(name, place);
      return line === null ? null : ((await hidden([line]))[0] ?? null);
    },
    list: async (name, filter) => hidden(await ledger.list(name, filter)),
  };
}
