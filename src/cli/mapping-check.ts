import type { CollectionMapping, MappedColumn } from '../config/index.ts';
import { type ColumnMapping, engineLimits } from '../mapping/index.ts';
import type { Finding } from '../store/index.ts';

type Way = 'forward' | 'backward';

const WAYS: readonly Way[] = ['forward', 'backward'];
const words: Readonly<Record<Way, string>> = {
  forward: 'source → target',
  backward: 'target → source',
};

/**
 * What becomes of the columns of a collection between stores of different engines, both ways: what has no mapping, what is lost and what is
 * refused. Reasons that several columns share are one finding. What the transforms make of values nobody but they know: then only the columns of the same name are
 * looked at, and nothing fails.
 */
export function mappingFindings(mapping: CollectionMapping): readonly Finding[] {
  const { collection, columns, transformed } = mapping;
  const found = [...aloneFindings(mapping), ...columns.flatMap((one) => keyFindings(mapping, one))];
  for (const way of WAYS) {
    const direction = transformed ? `${words[way]}, before its transform` : words[way];
    const told = (fields: readonly string[], what: string): string =>
      `"${collection}", ${direction}: ${what}: ${fields.join(', ')}.`;
    const unmapped = columns.filter((one) => one[way] === null);
    if (unmapped.length > 0) {
      found.push({
        id: 'mapping/none',
        verdict: transformed ? 'pass' : 'fail',
        message: told(unmapped.map(typed(way)), 'the two types have nothing in common'),
        fix: transformed ? '' : 'Write a transform, or give the columns types that have a mapping.',
      });
    }
    for (const [what, fields] of grouped(columns, way, ({ loses }) => loses)) {
      const message = told(fields, `changed without a word are ${what}`);
      found.push({ id: 'mapping/loses', verdict: 'warn', message, fix: remedy(what) });
    }
    for (const [what, fields] of grouped(columns, way, ({ refuses }) => refuses)) {
      const message = told(fields, `refused (dead letters) are ${what}`);
      const quiet = engineLimits.has(what) || transformed;
      found.push({
        id: 'mapping/refuses',
        verdict: quiet ? 'pass' : 'warn',
        message,
        fix: quiet ? '' : remedy(what),
      });
    }
  }
  if (found.length > 0) return found;
  const message =
    columns.length === 0
      ? `"${collection}": both sides have the same columns.`
      : `"${collection}": ${columns.length} columns go over exactly, both ways.`;
  return [{ id: 'mapping/exact', verdict: 'pass', message, fix: '' }];
}

const typed =
  (way: Way) =>
  ({ field, from, to }: MappedColumn): string => {
    const [here, there] = way === 'forward' ? [from, to] : [to, from];
    return `${field} (${here.declared} → ${there.declared})`;
  };

/** Reason → columns, with their types. */
function grouped(
  columns: readonly MappedColumn[],
  way: Way,
  reasonsOf: (mapping: ColumnMapping) => readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const column of columns) {
    const mapping = column[way];
    for (const reason of mapping === null ? [] : reasonsOf(mapping)) {
      const group = groups.get(reason) ?? [];
      group.push(typed(way)(column));
      groups.set(reason, group);
    }
  }
  return groups;
}

const remedies: readonly (readonly [pattern: RegExp, fix: string])[] = [
  [
    /^zero dates \(0000/,
    'Set "zeroDate" of the column to "null" in `columns`, or correct the rows.',
  ],
  [
    /digits/,
    'Give the column as many digits, or set "digits" of the column to "round" in `columns`.',
  ],
  [/^the zone/, 'State the "offset" of the column in `columns`: "+00:00" if it is UTC.'],
  [
    /^NULL$/,
    'Let the column allow NULL, or give it a value with a transform. `changeover check --exact` counts them.',
  ],
  [/^nothing is known|^what the other store/, 'Try it, or write a transform.'],
];

function remedy(what: string): string {
  const known = remedies.find(([pattern]) => pattern.test(what));
  return (
    known?.[1] ?? 'Make the column of the other side as wide, accept it, or write a transform.'
  );
}

function aloneFindings({ collection, alone }: CollectionMapping): readonly Finding[] {
  return (['source', 'target'] as const).flatMap((side): Finding[] => {
    const fields = alone[side];
    if (fields.length === 0) return [];
    const other = side === 'source' ? 'target' : 'source';
    return [
      {
        id: 'mapping/column-missing',
        verdict: 'fail',
        message: `"${collection}": the ${other} has no column ${fields.join(', ')}, so records of the ${side} cannot be written there.`,
        fix: `Add the columns to the ${other}, leave them out with "columns" of the ${side}'s shape, or write a transform.`,
      },
    ];
  });
}

/** Keys go by their text: it has to be the same on both sides. */
function keyFindings(
  { collection, transformed }: CollectionMapping,
  { field, key, from, to, forward, backward }: MappedColumn,
): readonly Finding[] {
  if (!key) return [];
  const found: Finding[] = [];
  const types = `${from.declared} and ${to.declared}`;
  if (!(forward?.keeps ?? true) || !(backward?.keeps ?? true)) {
    const texts = [from, to].every(({ kind }) => kind === 'text' || kind === 'uuid');
    found.push({
      id: 'mapping/key',
      verdict: texts || transformed ? 'warn' : 'fail',
      message: texts
        ? `Key column ${field} of "${collection}" is ${types}: keys with blanks at the end, shorter than a char(n), or (uuid) not in lower case with dashes become dead letters.`
        : `Key column ${field} of "${collection}" is ${types}, which write one value with different texts; keys go by their text.`,
      fix: texts
        ? 'Look for such keys and correct them first.'
        : 'Give the column of the other side a type that writes the same text (docs/guides/types.md).',
    });
  }
  if ((from.folds ?? false) !== (to.folds ?? false)) {
    const folding = from.folds ? 'source' : 'target';
    found.push({
      id: 'mapping/key-collation',
      verdict: 'warn',
      message: `Key column ${field} of "${collection}" ignores case or accents in the ${folding} only: keys that the other side tells apart would be one record there.`,
      fix: `Give the column of the ${folding} a binary collation (MySQL: utf8mb4_bin), or make sure that no two keys differ by case or accent alone.`,
    });
  }
  return found;
}
