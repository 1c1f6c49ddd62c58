import type { OptionEntry } from './option-entry.ts';
import { modifiedOptions, parityOptions } from './parity-options.ts';
import { repairOptions } from './repair-options.ts';

/** Groups of options inside a collection: `parity: { mode: 'sweep' }`. */
export const collectionGroups = {
  parity: parityOptions,
  modified: modifiedOptions,
  repair: repairOptions,
} as const;

type Groups = typeof collectionGroups;
type ValueOf<E> = E extends OptionEntry<infer T> ? T : never;

/** What a user may write: every group and every option may be left out. */
export type CollectionGroupsInput = {
  readonly [G in keyof Groups]?: {
    readonly [K in keyof Groups[G]]?: ValueOf<Groups[G][K]>;
  };
};

/** Every group with every option. */
export type CollectionGroups = {
  readonly [G in keyof Groups]: { readonly [K in keyof Groups[G]]: ValueOf<Groups[G][K]> };
};

/** The groups of a collection with their defaults filled in. Frozen. */
export function groupsOf(config: CollectionGroupsInput): CollectionGroups {
  const groups = Object.entries(collectionGroups).map(([group, entries]) => {
    const given = (config[group as keyof Groups] ?? {}) as Readonly<Record<string, unknown>>;
    const values = Object.entries(entries as Readonly<Record<string, OptionEntry<unknown>>>).map(
      ([name, entry]) => [name, given[name] ?? entry.default],
    );
    return [group, Object.freeze(Object.fromEntries(values))];
  });
  return Object.freeze(Object.fromEntries(groups)) as CollectionGroups;
}
