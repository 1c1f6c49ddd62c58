import { isChangeoverError } from '../../errors/index.ts';
import type { Change } from '../../record/index.ts';
import type { CopyHabit } from './postgres-copy-habit.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { sqlStateOf } from './postgres-errors.ts';
import { copyPart, isStale, type LogPart, raiseLogFences, rowsOf } from './postgres-log-batch.ts';
import type { PostgresTransaction, SqlResult, Statement } from './postgres-session.ts';

/** How a batch is tried; each way gives way to the next when the server refuses it. */
export interface Way {
  /** Collections that are copied in. */
  readonly copied: ReadonlySet<string>;
  /** Fences first, and rows when it is known which were raised. */
  readonly inSteps: boolean;
  readonly deletesLast: boolean;
  /** Deletes and upserts are not to change places (any more). */
  readonly turned: boolean;
}

/** null: there is none for this error. */
export function otherWay(way: Way, changes: readonly Change[], error: unknown): Way | null {
  if (isStale(error)) return { ...way, copied: new Set(), inSteps: true };
  const refused = isChangeoverError(error, 'STORE_REJECTED');
  if (refused && way.copied.size > 0) return { ...way, copied: new Set() };
  // Foreign key and unique value: each may be satisfied by the other order.
  const turns = refused && sqlStateOf(error) === (way.deletesLast ? '23505' : '23503');
  const deletes = changes.some(({ value }) => value === null);
  if (!turns || way.turned || !deletes) return null;
  return { ...way, deletesLast: !way.deletesLast, turned: true };
}

/** Whether a delete of these changes may set a foreign key off in any table of the collections; the rows of a record go with it in any case. */
export async function isActing(
  { catalog }: PostgresStoreParts,
  found: readonly LogPart[],
): Promise<boolean> {
  const deleting = found.filter(({ changes }) => changes.some(({ value }) => value === null));
  if (deleting.length === 0) return false;
  const tables = deleting.flatMap(({ collection: { root, children } }) => [root, ...children]);
  const gone = new Set(tables.map(({ quoted }) => quoted));
  const looks = await Promise.allSettled(catalog.collections.map((one) => catalog.collection(one)));
  return looks.some((look) => {
    // A collection that cannot be resolved has no changes here.
    if (look.status === 'rejected') return false;
    const { root, children } = look.value;
    return [root, ...children].some((table) =>
      table.foreignKeys.some(({ references, onDelete }) => {
        const own = table !== root && references === root.quoted;
        return gone.has(references) && !own && onDelete !== 'no action' && onDelete !== 'restrict';
      }),
    );
  });
}

/** Whether constraints can wait for the end of the transaction. */
export const isDeferrable = ({ root, children }: LogPart['collection']): boolean =>
  [root, ...children].some(({ foreignKeys }) => foreignKeys.some(({ deferrable }) => deferrable));

/** Fences and rows in one flight; it fails where a fence is higher. */
export interface AtOnce {
  readonly statements: readonly Statement[];
  /** Whom to copy next time. */
  learn(results: readonly SqlResult[]): void;
}

export function atOnce(
  { layout }: PostgresStoreParts,
  habit: CopyHabit,
  found: readonly LogPart[],
  { copied, deletesLast }: Way,
): AtOnce {
  const copies = new Map<LogPart, ReturnType<typeof copyPart>>();
  for (const part of found)
    if (copied.has(part.collection.collection)) copies.set(part, copyPart(layout, part));
  const questions = found.flatMap((part) => {
    const statement = habit.question(part);
    return statement === null ? [] : [{ part, statement }];
  });
  const others = found.filter((part) => !copies.has(part));
  const copiedRows = new Map([...copies].map(([part, { rows }]) => [part, rows]));
  return {
    statements: [
      ...questions.map(({ statement }) => statement),
      ...(others.length > 0 ? [raiseLogFences(layout, others, 'strict')] : []),
      ...[...copies.values()].map(({ fences }) => fences),
      ...rowsOf(layout, found, copiedRows, deletesLast),
    ],
    learn(results) {
      questions.forEach(({ part }, at) => {
        habit.answer(part, results[at]?.rows[0]?.[0] !== 'f');
      });
    },
  };
}

/** Fences, then the rows of those that were raised; how many. */
export async function inSteps(
  { layout }: PostgresStoreParts,
  found: readonly LogPart[],
  transaction: PostgresTransaction,
  before: readonly Statement[],
  { deletesLast }: Way,
): Promise<number> {
  const results = await transaction.run([...before, raiseLogFences(layout, found, 'telling')]);
  const raised = new Set(results.at(-1)?.rows.map(([collection, key]) => `${collection} ${key}`));
  const accepted = found.map((part): LogPart => {
    const name = part.collection.collection;
    const taken = part.changes.filter((_, at) => raised.has(`${name} ${part.fenceKeys[at]}`));
    return { collection: part.collection, changes: taken, fenceKeys: [] };
  });
  const rows = rowsOf(layout, accepted, new Map(), deletesLast);
  if (rows.length > 0) await transaction.run(rows);
  return raised.size;
}
