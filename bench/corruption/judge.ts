import type { MismatchLine } from '../../src/control/index.ts';
import type { Damage } from './spoil-follower.ts';

/** What a verification made of the damage. */
export interface Judgement {
  readonly done: number;
  readonly found: number;
  /** Not in the ledger, or under another name, because traffic had written the row anew: its damage was gone. */
  readonly overwritten: number;
  /** Damage that nobody noticed. */
  readonly overlooked: readonly Damage[];
  /** Lines of the ledger that nobody damaged. */
  readonly invented: readonly MismatchLine[];
  /** Found, and called by another name. */
  readonly misnamed: readonly { readonly damage: Damage; readonly called: string }[];
  /** Of what was found, 0 … 1. */
  readonly rightlyNamed: number;
}

/** The record that a damage or a line of the ledger is about. */
export const idOf = ({ collection, key }: { collection: string; key: string }): string =>
  `${collection} ${key}`;

/**
 * Compares what was done with what the ledger says. `changed`: the rows that are not as the damage had left them. Of those that traffic writes nothing more is
 * asked; a row that nobody should have touched is no excuse.
 */
export function judge(
  all: readonly Damage[],
  lines: readonly MismatchLine[],
  changed: readonly Damage[] = [],
): Judgement {
  const seen = new Map(lines.map((line) => [idOf(line), line]));
  const done = new Set(all.map(idOf));
  const rewritten = new Set(changed.filter(({ hot }) => hot).map(idOf));
  const overwritten = all.filter(
    (damage) => rewritten.has(idOf(damage)) && seen.get(idOf(damage))?.class !== damage.class,
  );
  const damages = all.filter((damage) => !overwritten.includes(damage));
  const found = damages.filter((damage) => seen.has(idOf(damage)));
  const misnamed = found.flatMap((damage) => {
    const called = seen.get(idOf(damage))?.class ?? 'nothing';
    return called === damage.class ? [] : [{ damage, called }];
  });
  return {
    done: all.length,
    found: found.length,
    overwritten: overwritten.length,
    overlooked: damages.filter((damage) => !seen.has(idOf(damage))),
    invented: lines.filter((line) => !done.has(idOf(line))),
    misnamed,
    rightlyNamed: found.length === 0 ? 1 : 1 - misnamed.length / found.length,
  };
}

/** How many of each way. */
export function damageCounts(damages: readonly Damage[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { how } of damages) counts[how] = (counts[how] ?? 0) + 1;
  return counts;
}
