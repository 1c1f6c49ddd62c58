import type { Collection } from '../migration/index.ts';
import type { Finding, TableLimits } from '../store/index.ts';

/**
 * What the target's tables refuse and the source's do not: unique indexes and CHECK conditions. Where the columns of both sides have nothing to do with each
 * other (a transform of the application's) only a person can compare them, and nothing is said.
 */
export function limitFindings(
  collection: Pick<Collection, 'name' | 'identity' | 'columnwise' | 'capture' | 'source'>,
  source: readonly TableLimits[],
  target: readonly TableLimits[],
): readonly Finding[] {
  const { name, identity, columnwise = identity } = collection;
  if (!columnwise) return [];
  const found: Finding[] = [];
  for (const there of target) {
    const here = source.find(({ field }) => field === there.field);
    if (here === undefined) continue;
    const key =
      there.field === null
        ? collection.source.key
        : (collection.source.children?.[there.field]?.key ?? []);
    const known = [key, ...here.unique.map(({ columns }) => columns)];
    for (const { name: index, columns } of there.unique) {
      // Unique is unique with a column more.
      if (known.some((one) => one.every((column) => columns.includes(column)))) continue;
      const list = columns.join(', ');
      found.push({
        id: 'fit/unique',
        verdict: 'warn',
        message: `"${name}": the target's ${there.table} is unique in (${list}) by "${index}", the source's ${here.table} is not: of rows that share a value the second one is a dead letter.`,
        fix: `In the source, SELECT ${list} FROM ${here.table} GROUP BY ${list} HAVING count(*) > 1 finds them; correct them, or drop the index.`,
      });
    }
    const conditions = new Set(here.checks.map(({ condition }) => plain(condition)));
    for (const { name: check, condition } of there.checks) {
      if (conditions.has(plain(condition))) continue;
      found.push({
        id: 'fit/check',
        verdict: 'warn',
        message: `"${name}": the target's ${there.table} has the condition "${check}" (${condition}), the source's ${here.table} has none that reads so: rows that do not satisfy it are dead letters.`,
        fix: `In the source, SELECT count(*) FROM ${here.table} WHERE NOT (${condition}) counts them; correct them, or drop the condition.`,
      });
    }
    if (collection.capture === 'log' && there.unique.length > 0)
      found.push({
        id: 'fit/swap',
        verdict: 'pass',
        message: `"${name}": two rows that swap a value of ${there.unique.map(({ columns }) => columns.join(', ')).join('; ')} in one transaction wait in the queue until one has another value.`,
        fix: '',
      });
  }
  return found;
}

/** The condition without what engines write around it: the same one reads alike, though not every one that is the same. */
function plain(condition: string): string {
  return condition
    .toLowerCase()
    .replace(/::[a-z ]+(\[\])?/g, '')
    .replace(/_utf8mb[34](?=')/g, '')
    .replace(/[\s()"`]/g, '');
}
