import { isChangeoverError, messageOf } from '../errors/index.ts';
import { type Collection, toFollower } from '../migration/index.ts';
import { type ChildKeys, type DataRecord, differences } from '../record/index.ts';
import type { Finding, MigrationStore } from '../store/index.ts';

/** Records that are tried. Enough to find what is wrong everywhere, not what is wrong in one row. */
const sampleRows = 100;

/**
 * Sends the first records of the source through `forward`, the target's own spelling, `backward` and the source's own spelling, in memory:
 * do the transforms throw, does the target know the values, and does the way back bring the same record? Changes nothing, throws nothing.
 */
export async function checkTransforms(
  collection: Collection,
  source: MigrationStore,
  target: MigrationStore,
): Promise<Finding> {
  const { name } = collection;
  const id = `transform/${name}`;
  if (collection.identity) {
    return { id, verdict: 'pass', message: `"${name}" has no transform.`, fix: '' };
  }
  let doing = `reading "${name}"`;
  try {
    const sample = await source.records.scan(name, { after: null, until: null }, sampleRows);
    if (sample.length === 0) {
      const message = `"${name}" is empty: its transforms could not be tried.`;
      return { id, verdict: 'warn', message, fix: 'Try them on real records.' };
    }
    const originals = sample.map(({ record }) => record);
    doing = `the forward transform of "${name}"`;
    const there = kept(originals, (record) => toFollower(collection, 'target', record));
    const stored = await target.records.canonicalise(
      name,
      there.map(({ result }) => result),
    );
    doing = `the backward transform of "${name}"`;
    const back = kept(stored, (record) => toFollower(collection, 'source', record));
    const spelled = await source.records.canonicalise(
      name,
      back.map(({ result }) => result),
    );
    const changed = new Set<string>();
    spelled.forEach((record, index) => {
      const original = there[back[index]?.from ?? -1]?.from;
      if (original === undefined) return;
      const before = originals[original] as DataRecord;
      for (const { field } of differences(record, before, childKeys(collection))) {
        changed.add(field.replace(/\[.*?\]/g, ''));
      }
    });
    return roundTrip(id, name, sample.length, changed);
  } catch (error) {
    return {
      id,
      verdict: 'fail',
      message: `${doing} failed on the first ${sampleRows} records: ${messageOf(error)}`,
      fix: isChangeoverError(error, 'MAPPING_REFUSED')
        ? 'Say in `columns` what becomes of such values (docs/guides/types.md), or correct the rows: each one would be a dead letter.'
        : 'Correct the transform in the configuration.',
    };
  }
}

function roundTrip(id: string, name: string, tried: number, changed: ReadonlySet<string>): Finding {
  if (changed.size === 0) {
    const message = `"${name}": ${tried} records came back unchanged through both transforms.`;
    return { id, verdict: 'pass', message, fix: '' };
  }
  return {
    id,
    verdict: 'warn',
    message: `"${name}": there and back changes ${[...changed].join(', ')}. After the write switch the source would get these values.`,
    fix: 'Make "backward" the inverse of "forward", or accept it.',
  };
}

/** The results with the index of what they were made from; null leaves a record out. */
function kept(
  records: readonly DataRecord[],
  transform: (record: DataRecord) => DataRecord | null,
): readonly { readonly from: number; readonly result: DataRecord }[] {
  return records.flatMap((record, from) => {
    const result = transform(record);
    return result === null ? [] : [{ from, result }];
  });
}

const childKeys = ({ source }: Collection): ChildKeys =>
  Object.fromEntries(Object.entries(source.children ?? {}).map(([field, { key }]) => [field, key]));
