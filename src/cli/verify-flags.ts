import { InvalidArgumentError } from 'commander';
import type { MigrationOptions } from '../config/index.ts';
import { decodeKey, type Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';
import type { VerifyOptions } from '../verify/index.ts';

/** What was given to `verify`. */
export interface VerifyFlags {
  /** Share of the records; the whole otherwise. */
  readonly sample?: number;
  readonly scope?: KeyRange;
  readonly keys?: readonly Key[];
  readonly afresh?: boolean;
  readonly recheck?: boolean;
}

/** `1%` or `0.01`: above 0, at most the whole. */
export function share(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text.trim());
  const value = Number(match?.[1]) / (match?.[2] === '%' ? 100 : 1);
  if (!(value > 0 && value <= 1))
    throw new InvalidArgumentError('It has to be a share above 0 and at most 1: 1% or 0.01.');
  return value;
}

/** A key: its text, or all its parts as a JSON array. */
function keyOf(text: string): Key {
  if (!text.startsWith('[')) return [text];
  try {
    return decodeKey(text);
  } catch {
    throw new InvalidArgumentError(`${text} is no key: give its text, or ["part","part"].`);
  }
}

/** `FROM..UNTIL`: keys behind FROM, up to and including UNTIL; either may be left out. */
export function range(text: string): KeyRange {
  const at = text.indexOf('..');
  if (at < 0 || text === '..')
    throw new InvalidArgumentError('It has to be FROM..UNTIL, FROM.. or ..UNTIL.');
  const [after, until] = [text.slice(0, at), text.slice(at + 2)];
  return {
    after: after === '' ? null : keyOf(after),
    until: until === '' ? null : keyOf(until),
  };
}

/** Several keys, given one by one. */
export const keys = (text: string, before: readonly Key[] | undefined): readonly Key[] => [
  ...(before ?? []),
  keyOf(text),
];

/** What of the collection is compared, and how. */
export function extentOptions(
  { sample, scope, keys: only, afresh = false, recheck = false }: VerifyFlags,
  { segmentRows, snapshotMs, openMs, lagMs, resumeMinutes }: MigrationOptions['verify'],
): Pick<VerifyOptions, 'sample' | 'scope' | 'keys' | 'aligned'> {
  const resumeMs = afresh ? 0 : resumeMinutes * 60_000;
  return {
    ...(sample === undefined ? {} : { sample }),
    ...(scope === undefined ? {} : { scope }),
    ...(only === undefined ? {} : { keys: only }),
    aligned: recheck ? false : { segmentRows, snapshotMs, openMs, lagMs, resumeMs },
  };
}
