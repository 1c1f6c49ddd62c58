import type { MigrationContext } from '../control/index.ts';
import type { Side } from '../migration/index.ts';
import { leastOf } from '../runtime/index.ts';
import type { OpenTransactionSeen } from '../store/index.ts';
import type { PausePart } from './pause-part.ts';

/** A store that takes longer to answer cannot be predicted. */
export const ANSWER_MS = 5_000;

/** What the guard of the old authority takes, and whom it would wait for. What keeps it from being changed is added to `obstacles`. */
export async function guardParts(
  context: MigrationContext,
  old: Side,
  obstacles: string[],
  inTime: <T>(what: string, work: Promise<T>) => Promise<T>,
): Promise<{
  readonly parts: readonly PausePart[];
  readonly transactions: readonly OpenTransactionSeen[];
  readonly unseen: readonly string[];
}> {
  const { clock } = context.runtime;
  const { survey, guard } = context.stores[old];
  if (!survey) {
    // Two changes of some round trips each.
    const ms =
      12 *
      (await inTime(
        'the guard',
        leastOf(3, clock, () => guard.read()),
      ));
    return {
      parts: [{ part: 'guard', ms, why: 'round trips alone: this store tells no more' }],
      transactions: [],
      unseen: [],
    };
  }
  const facts = await inTime(`the survey of the ${old}`, survey.look(ANSWER_MS));
  obstacles.push(...facts.problems.map((problem) => `${old}: ${problem}`));
  for (const one of facts.transactions)
    if (one.kind === 'prepared' && one.tables.length > 0)
      obstacles.push(
        `${old}: prepared transaction ${one.id} holds ${one.tables.join(', ')} until somebody decides it: COMMIT PREPARED or ROLLBACK PREPARED.`,
      );
  const oldest = facts.transactions.find(({ kind }) => kind === 'session');
  const parts: PausePart[] = [
    {
      part: 'guard',
      ms: facts.guardMs,
      why: `triggers of ${facts.tables} ${facts.tables === 1 ? 'table' : 'tables'}, roles of both stores`,
    },
  ];
  if (oldest)
    parts.unshift({
      part: 'transactions',
      // What has lasted so long may well last as long again.
      ms: oldest.ageMs ?? 0,
      why: `${facts.transactions.length} open; the oldest is ${describeTransaction(oldest)}`,
    });
  const unseen = facts.unseen.map((what) => `${old}: ${what}`);
  return { parts, transactions: facts.transactions, unseen };
}

/** `process 4711 (app, user shop), idle in transaction for 12.3 s, on orders`. */
export function describeTransaction(seen: OpenTransactionSeen): string {
  const { id, kind, user, application, ageMs, doing, tables } = seen;
  const who = [application, user && `user ${user}`].filter((word) => word !== '').join(', ');
  const age = ageMs === null ? '' : ` for ${(ageMs / 1_000).toFixed(1)} s`;
  const on = tables.length === 0 ? '' : `, on ${tables.slice(0, 5).join(', ')}`;
  return `${kind === 'prepared' ? 'prepared transaction' : 'process'} ${id}${who ? ` (${who})` : ''}, ${doing}${age}${on}`;
}

/** Two looks at the sequences of both stores. */
export async function sequencesPart({ stores, runtime }: MigrationContext): Promise<PausePart> {
  let count = 0;
  // The first look may have to ask the catalogue; the switch comes after it.
  const least = await leastOf(2, runtime.clock, async () => {
    const [source, target] = await Promise.all([
      stores.source.guard.sequenceValues(),
      stores.target.guard.sequenceValues(),
    ]);
    count = Math.max(source.size, target.size);
  });
  const ms = count === 0 ? 0 : 2 * least;
  return { part: 'sequences', ms, why: `${count} to raise` };
}
