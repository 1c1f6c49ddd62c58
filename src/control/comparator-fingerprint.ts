import { createHash } from 'node:crypto';
import type { Collection, Migration, Shape } from '../migration/index.ts';

/**
 * Raise it with every change of what counts as equal: `differences`, the comparator, canonical spellings. Evidence of the former one then no
 * longer counts.
 */
export const comparatorNumber = 1;

/**
 * Names the way in which records of a collection are compared at `nowMs`: comparator number, shapes, `transformVersion`, mapping of the columns, and the
 * fields that are not compared *now* (an exemption that has expired is another comparator). The source text of transforms is not part of it: it differs
 * between builds of the same program. 16 hexadecimal digits, the same in every process with the same configuration and tables.
 */
export function comparatorFingerprint(collection: Collection, nowMs: number): string {
  const { name, source, target, transformVersion, mapping, ignore } = collection;
  const ignored = Object.entries(ignore)
    .filter(([, { until }]) => Date.parse(until) > nowMs)
    .map(([field]) => field)
    .sort();
  return digest([
    comparatorNumber,
    name,
    shapeText(source),
    shapeText(target),
    transformVersion,
    mapping ?? '',
    ignored,
  ]);
}

/**
 * The fingerprint by which evidence under `name` counts at `nowMs`. A name that is no collection is a pair of closures: what they read is made by the
 * transforms of all collections, so a change of any of them resets it.
 */
export function fingerprintOf(migration: Migration, name: string, nowMs: number): string {
  const collection = migration.collections.get(name);
  if (collection) return comparatorFingerprint(collection, nowMs);
  return digest([comparatorNumber, name, migrationFingerprint(migration, nowMs)]);
}

/** Collection → fingerprint at `nowMs`: what the audit line of a comparison has to name. */
export function comparatorsOf(
  migration: Migration,
  nowMs: number,
): Readonly<Record<string, string>> {
  const all = [...migration.collections.values()];
  return Object.fromEntries(all.map((one) => [one.name, comparatorFingerprint(one, nowMs)]));
}

/** All collections together. */
export function migrationFingerprint(migration: Migration, nowMs: number): string {
  const all = [...migration.collections.values()].map((one) => comparatorFingerprint(one, nowMs));
  return digest(all.sort());
}

const shapeText = ({ table, key, columns, children = {} }: Shape): readonly unknown[] => [
  table,
  key,
  columns ?? null,
  Object.entries(children)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, child]) => [name, child.table, child.key, child.parent, child.columns ?? null]),
];

/** Sixteen digits of the content's hash. */
function digest(content: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
}
