import { hash } from 'node:crypto';
import { type DataRecord, encodeKey, type Key, type Row } from '../record/index.ts';

/** Characters of one subject: 48 bits in base64. */
export const subjectLength = 8;
const BYTES = 6;

/** So many subjects of each collection and detector are kept: enough for three mismatches at 99.9999 % and 95 %, in 64 MB. */
export const subjectsMax = 8_000_000;

/**
 * Names what was compared: one record in one version. The content stands for the version: a repeat of the same (key, version) has the same
 * content and so the same subject, and a key that comes back to an earlier content counts once where it might have counted twice. Two subjects that
 * collide count once. So the number of different subjects is at most the number of independent comparisons. Holds no value: it cannot be read back.
 */
export function subjectOf(key: string, content: string): string {
  // At once: an object that is fed piece by piece costs half as much again.
  return hash('sha256', `${key}\0${content}`, 'buffer').toString('base64', 0, BYTES);
}

/** The subject of a record of the authority, the same whoever compared it and in whatever order its columns came. */
export function recordSubject(key: Key, record: DataRecord): string {
  return subjectOf(encodeKey(key), JSON.stringify(inOrder(record)));
}

/** Names and values in the order of the names. As a list: JSON writes it faster than an object whose keys a replacer sorts, and this runs for each shadow read. */
function inOrder(row: DataRecord): readonly unknown[] {
  const list: unknown[] = [];
  for (const name of Object.keys(row).sort()) {
    const value = row[name];
    list.push(name, isRows(value) ? value.map(inOrder) : value);
  }
  return list;
}

const isRows = (value: DataRecord[string] | undefined): value is readonly Row[] =>
  Array.isArray(value);

/** How many different subjects there are, exact: all are sorted. 3 M take about a second, 8 M three and 64 MB. */
export function countSubjects(packed: readonly string[]): number {
  return countNewSubjects([], packed).added;
}

/** How many different ones there were before, and how many of the later ones are none of these. Each is looked at once. */
export function countNewSubjects(
  before: readonly string[],
  later: readonly string[],
): { readonly former: number; readonly added: number } {
  const [old, young] = [sortedSubjects(before), sortedSubjects(later)];
  let former = 0;
  for (let index = 0; index < old.length; index++)
    if (index === 0 || old[index] !== old[index - 1]) former += 1;
  let added = 0;
  let at = 0;
  for (let index = 0; index < young.length; index++) {
    const one = young[index] as number;
    if (index > 0 && one === young[index - 1]) continue;
    while (at < old.length && (old[at] as number) < one) at++;
    if (old[at] !== one) added += 1;
  }
  return { former, added };
}

function sortedSubjects(packed: readonly string[]): Float64Array {
  const total = packed.reduce((sum, text) => sum + Math.floor(text.length / subjectLength), 0);
  const numbers = new Float64Array(total);
  let at = 0;
  for (const text of packed) {
    const bytes = Buffer.from(text, 'base64');
    for (let offset = 0; offset + BYTES <= bytes.length; offset += BYTES)
      numbers[at++] = bytes.readUIntBE(offset, BYTES);
  }
  return numbers.subarray(0, at).sort();
}

/** A bounded memory of subjects that were sent lately, so that a hot key is not sent with each flush. What it forgets is only sent again. */
export class RecentSubjects {
  #young = new Set<string>();
  #old: ReadonlySet<string> = new Set();
  #turnedMinute = 0;
  readonly #max: number;
  readonly #minutes: number;

  /** Remembers between `max` and 2 `max` subjects, for `minutes` to twice as long. */
  constructor(max: number, minutes: number) {
    this.#max = max;
    this.#minutes = minutes;
  }

  /** True when it was not remembered; now it is. */
  isNew(subject: string, minute: number): boolean {
    if (this.#young.size >= this.#max || minute - this.#turnedMinute >= this.#minutes) {
      // After a pause longer than both halves nothing of it is recent any more.
      const long = minute - this.#turnedMinute >= 2 * this.#minutes;
      this.#old = long ? new Set() : this.#young;
      this.#young = new Set();
      this.#turnedMinute = minute;
    }
    if (this.#young.has(subject) || this.#old.has(subject)) return false;
    this.#young.add(subject);
    return true;
  }

  /** After a flush that may not have arrived: what was sent is to be sent again. */
  forget(): void {
    this.#young = new Set();
    this.#old = new Set();
  }
}
