import type { LogStart } from '../../src/log/index.ts';
import type { Shape } from '../../src/migration/index.ts';
import type { Change, DataRecord } from '../../src/record/index.ts';
import type { StoredRecord } from '../../src/store/index.ts';

/** What the killed process and its judge agree on: `wares(id, name)` with `parts(id, ware)`. */
export const doorShapes: ReadonlyMap<string, Shape> = new Map<string, Shape>([
  [
    'wares',
    {
      table: 'wares',
      key: ['id'],
      children: { parts: { table: 'parts', key: ['id'], parent: ['ware'] } },
    },
  ],
]);
export const doorDdl = `CREATE TABLE wares (id int PRIMARY KEY, name text);
  CREATE TABLE parts (id text PRIMARY KEY, ware int REFERENCES wares)`;

const keys = 60;
const changesInBatch = 30;
export const chunkRows = 1_500;

export function ware(id: string, name: string): DataRecord {
  return { id, name, parts: [{ id: `${id}/${name}`, ware: id }] };
}

/** Batch `number`: some keys, each with a version that rises with the number; every fourth is a tombstone. */
export function batchOf(number: number): readonly Change[] {
  return Array.from({ length: changesInBatch }, (_, index) => {
    const id = String(((number * 11 + index * 7) % keys) + 1);
    const sequence = number * changesInBatch + index + 1;
    return {
      collection: 'wares',
      key: [id],
      version: { epoch: 1, sequence: BigInt(sequence) },
      value: sequence % 4 === 0 ? null : ware(id, `v${sequence}`),
      origin: 'live',
    };
  });
}

/** The made-up log whose transactions are the batches: the follower stands at the number of batches that it has applied. */
export const doorStream = 'changeover_kill_s_1';
export const positionOf = (applied: number): LogStart => ({
  identity: 'log of the killed',
  position: { sequence: BigInt(applied), text: `behind batch ${applied}` },
});

/** What the newest version of each key says after the batches before `until`. */
export function expectedAfter(until: number): ReadonlyMap<string, DataRecord | null> {
  const expected = new Map<string, DataRecord | null>();
  for (let number = 0; number < until; number += 1)
    for (const { key, value } of batchOf(number)) expected.set(key[0] ?? '', value);
  return expected;
}

export function chunkRecords(number: number): readonly StoredRecord[] {
  return Array.from({ length: chunkRows }, (_, index) => {
    const id = String(number * chunkRows + index + 1);
    return { key: [id], record: ware(id, 'copied') };
  });
}
