import { ChangeoverError } from '../errors/index.ts';
import { type DataRecord, type LooseValue, toScalar } from './value.ts';

/** The key of a record: the exact text of each key column, in the declared order. Never empty, no nulls. */
export type Key = readonly string[];

/** One string per key, equal exactly when the keys are equal: the fence and the queue store this. */
export function encodeKey(key: Key): string {
  return JSON.stringify(key);
}

/** The inverse of `encodeKey`. */
export function decodeKey(text: string): Key {
  const parts: unknown = JSON.parse(text);
  if (
    !Array.isArray(parts) ||
    parts.length === 0 ||
    parts.some((part) => typeof part !== 'string')
  ) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `"${text}" is not an encoded key (a JSON array of strings).`,
    );
  }
  return parts as Key;
}

/** A key from what an application hands in: one value, an array in key order, or an object with the key columns. */
export function toKey(input: LooseValue | readonly LooseValue[], columns: readonly string[]): Key {
  const parts = keyParts(input, columns);
  if (parts.length !== columns.length) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `The key needs ${columns.length} parts (${columns.join(', ')}), ${parts.length} given.`,
    );
  }
  return parts.map((part, index) => {
    const text = toScalar(part);
    if (text === null)
      throw new ChangeoverError(
        'KEY_INVALID',
        `Key column "${columns[index]}" is NULL or missing.`,
      );
    return text;
  });
}

function keyParts(
  input: LooseValue | readonly LooseValue[],
  columns: readonly string[],
): readonly LooseValue[] {
  if (Array.isArray(input)) return input as readonly LooseValue[];
  const plain =
    typeof input === 'object' &&
    input !== null &&
    !(input instanceof Date) &&
    !(input instanceof Uint8Array);
  if (plain)
    return columns.map((column) => (input as Readonly<Record<string, LooseValue>>)[column]);
  return [input];
}

/** The key inside a record. */
export function keyOf(record: DataRecord, columns: readonly string[]): Key {
  return columns.map((column) => {
    const value = record[column];
    if (typeof value !== 'string') {
      throw new ChangeoverError(
        'KEY_INVALID',
        `Key column "${column}" is NULL or missing in a record.`,
      );
    }
    return value;
  });
}
