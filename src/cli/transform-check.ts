import type { MappedColumn } from '../config/index.ts';
import { isChangeoverError, messageOf } from '../errors/index.ts';
import { type Collection, type Side, toFollower } from '../migration/index.ts';
import {
  type ChildKeys,
  type DataRecord,
  differences,
  type Row,
  type Scalar,
} from '../record/index.ts';
import type { Random } from '../runtime/index.ts';
import type { Finding, MigrationStore, TableLimits } from '../store/index.ts';
import { sampledRecords } from './record-sample.ts';
import { count } from './words.ts';

export interface TrialOptions {
  readonly random: Random;
  /** All records instead of a sample. */
  readonly exact: boolean;
  /** What the target's tables refuse; empty: not known. */
  readonly limits: readonly TableLimits[];
  /** Columns that nothing converts and whose types differ: values that the other type cannot hold are counted. Absent: none. */
  readonly unconverted?: readonly MappedColumn[];
}

/** What came of the records that were tried. */
interface Trial {
  tried: number;
  /** Fields that there and back changes. */
  readonly changed: Set<string>;
  /** Field that takes no NULL in the target → records that have one. */
  readonly nulls: Map<string, number>;
  /** Field → records whose value its column in the target cannot hold. */
  readonly unfit: Map<string, number>;
}

/**
 * Sends records of the source through `forward`, the target's own spelling, `backward` and the source's own spelling, in memory: do the transforms throw, does the
 * target know the values, may they be NULL there, and does the way back bring the same record? Also without a transform: the tables may differ. Changes nothing,
 * throws nothing.
 */
export async function checkTransforms(
  collection: Collection,
  stores: Readonly<Record<Side, MigrationStore>>,
  options: TrialOptions,
): Promise<readonly Finding[]> {
  const { name } = collection;
  const trial: Trial = { tried: 0, changed: new Set(), nulls: new Map(), unfit: new Map() };
  const step = { doing: `reading "${name}"` };
  try {
    for await (const page of sampledRecords(stores.source.records, name, options))
      await tryPage(collection, stores, page, options, trial, step);
  } catch (error) {
    return [
      {
        id: `transform/${name}`,
        verdict: isChangeoverError(error, 'STORE_UNAVAILABLE', 'DEADLINE_EXCEEDED')
          ? 'unknown'
          : 'fail',
        message: `${step.doing} failed ${trial.tried === 0 ? 'on the first records that were tried' : `after ${count(trial.tried, 'record')}`}: ${messageOf(error)}`,
        fix: isChangeoverError(error, 'MAPPING_REFUSED')
          ? 'Say in `columns` what becomes of such values (docs/guides/types.md), or correct the rows: each one would be a dead letter.'
          : collection.identity
            ? 'Correct the rows, or give the column of the target a type that holds them.'
            : 'Correct the transform in the configuration.',
      },
    ];
  }
  return [roundTrip(collection, trial), ...lossFindings(collection, trial, options.exact)];
}

async function tryPage(
  collection: Collection,
  { source, target }: Readonly<Record<Side, MigrationStore>>,
  originals: readonly DataRecord[],
  { limits, unconverted = [] }: TrialOptions,
  trial: Trial,
  step: { doing: string },
): Promise<void> {
  const { name } = collection;
  step.doing = collection.identity
    ? `giving records of "${name}" to the target's types`
    : `the forward transform of "${name}"`;
  const there = kept(originals, (record) => toFollower(collection, 'target', record));
  for (const { result } of there) {
    countNulls(result, limits, trial.nulls);
    countUnfit(result, unconverted, trial.unfit);
  }
  const stored = await target.records.canonicalise(
    name,
    there.map(({ result }) => result),
  );
  if (!collection.identity) step.doing = `the backward transform of "${name}"`;
  const back = kept(stored, (record) => toFollower(collection, 'source', record));
  const spelled = await source.records.canonicalise(
    name,
    back.map(({ result }) => result),
  );
  spelled.forEach((record, index) => {
    const original = there[back[index]?.from ?? -1]?.from;
    if (original === undefined) return;
    const before = originals[original] as DataRecord;
    for (const { field } of differences(record, before, childKeys(collection)))
      trial.changed.add(field.replace(/\[.*?\]/g, ''));
  });
  trial.tried += originals.length;
}

/** Each record counts once for each field. */
function countNulls(
  record: DataRecord,
  limits: readonly TableLimits[],
  nulls: Map<string, number>,
): void {
  for (const { field, notNull } of limits) {
    const rows = field === null ? [record as Row] : record[field];
    if (!Array.isArray(rows)) continue;
    for (const column of notNull) {
      const has = rows.some((row: Readonly<Record<string, Scalar>>) => row[column] === null);
      const told = field === null ? column : `${field}.${column}`;
      if (has) nulls.set(told, (nulls.get(told) ?? 0) + 1);
    }
  }
}

/** Between stores of one engine the text of a value goes over as it is, and the store refuses it only when it is written. */
function countUnfit(
  record: DataRecord,
  columns: readonly MappedColumn[],
  unfit: Map<string, number>,
): void {
  for (const { field, child, column, forward } of columns) {
    const rows = child === null ? [record as Row] : record[child];
    if (forward === null || !Array.isArray(rows)) continue;
    if (rows.some((row: Row) => refuses(forward.convert, row[column])))
      unfit.set(field, (unfit.get(field) ?? 0) + 1);
  }
}

function refuses(convert: (text: string) => string | null, value: Scalar | undefined): boolean {
  if (value === null || value === undefined) return false;
  try {
    convert(value);
    return false;
  } catch {
    return true;
  }
}

function roundTrip({ name, identity }: Collection, { tried, changed }: Trial): Finding {
  const id = `transform/${name}`;
  if (tried === 0) {
    const message = `"${name}" is empty: nothing could be tried.`;
    return identity
      ? { id, verdict: 'pass', message, fix: '' }
      : { id, verdict: 'warn', message, fix: 'Try the transforms on real records.' };
  }
  const records = count(tried, 'record');
  if (changed.size === 0) {
    const message = identity
      ? `"${name}": ${records} fit the target's types.`
      : `"${name}": ${records} came back unchanged through both transforms.`;
    return { id, verdict: 'pass', message, fix: '' };
  }
  return {
    id,
    verdict: 'warn',
    message: `"${name}": there and back changes ${[...changed].join(', ')} (${records} tried). After the write switch the source would get these values.`,
    fix: identity
      ? 'Give the columns of both sides the same types, or accept it.'
      : 'Make "backward" the inverse of "forward", or accept it.',
  };
}

function lossFindings(
  { name, source }: Collection,
  { nulls, unfit, tried }: Trial,
  exact: boolean,
): readonly Finding[] {
  const of = `of ${exact ? 'all' : 'the'} ${count(tried, 'record')}${exact ? '' : ' that were tried'}`;
  const values = [...unfit].map(
    ([field, records]): Finding => ({
      id: 'fit/value',
      verdict: 'fail',
      message: `"${name}": ${records} ${of} hold a value in ${field} that its column in the target does not take: each is a dead letter.`,
      fix: 'Give the column of the target as much room, or correct the rows; `changeover check --exact` counts them all.',
    }),
  );
  const empty = [...nulls].map(
    ([field, records]): Finding => ({
      id: 'fit/null',
      verdict: 'fail',
      message: `"${name}": ${records} ${of} would be NULL in ${field}, which the target does not take: each is a dead letter.`,
      fix: `Look for them (SELECT … FROM ${source.table} WHERE ${field.split('.').at(-1)} IS NULL; \`changeover check --exact\` counts them all), then let the target's column be NULL, or give them a value.`,
    }),
  );
  return [...values, ...empty];
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
