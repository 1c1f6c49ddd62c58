import { type AuditEntry, comparatorsOf, rogueWriteNote } from '../control/index.ts';
import { followerOf } from '../migration/index.ts';
import { counted, fail, pass, unknown } from './answers.ts';
import { followingBegan } from './following-began.ts';
import type { Gate } from './gate.ts';
import { verifiedSince } from './progress-gates.ts';

const SHOWN = 3;

/**
 * Nobody but the door writes to the follower. What is noted fails the gate until a full comparison that began after it found both stores equal, or until
 * somebody acknowledges it with a reason: what a foreign writer changed there, nothing of ours puts right.
 */
export const noRogueWrites: Gate = {
  name: 'rogue-writes',
  question: 'Does nobody but the door write to the follower?',
  overridable: true,
  async evaluate({ context, state }) {
    const side = followerOf(state.phase);
    const { rogues, engine } = context.stores[side];
    if (!rogues) return unknown(`A ${engine} store does not tell who writes to it.`);
    const { blind, total, writes } = await rogues.look(SHOWN);
    const evidence = {
      side,
      total,
      writes: writes.map(({ table, operation, user, application, agoMs }) => ({
        table,
        operation,
        user,
        application,
        agoMs,
      })),
    };
    if (blind !== null && total === 0) return unknown(blind, evidence);
    if (total === 0) return pass(`Nobody but the door writes to the ${side}.`, evidence);
    const began = await followingBegan(context, state);
    const note = began?.since.find(({ action }) => action === rogueWriteNote);
    const told = note !== undefined && isOf(note, side, total, writes[0]?.atMs ?? 0);
    const comparators = comparatorsOf(context.migration, context.runtime.clock.now());
    const verified = (sinceMs: number): boolean =>
      began !== null && verifiedSince(began.since, state.generation, comparators, sinceMs);
    if (told && verified(note.atMs))
      return pass(
        `${counted(total, 'foreign write')} to the ${side}, and a full comparison since then found both stores equal.`,
        evidence,
      );
    const who = writes.map(
      ({ operation, table, user, application, process }) =>
        `${operation} on ${table} by ${[user, application].filter((word) => word !== '').join(' / ')} (${process})`,
    );
    return fail(
      `Noted on the ${side}: ${counted(total, 'foreign write')}, the newest ${who.join(', ')}. Stop whoever it is, run verify (and mismatch repair), or acknowledge it: changeover rogues acknowledge --reason TEXT.`,
      evidence,
    );
  },
};

/** The worker noted exactly what is there now: all of it had committed by then. */
function isOf({ detail }: AuditEntry, side: string, total: number, newestMs: number): boolean {
  return detail['side'] === side && detail['total'] === total && detail['newestMs'] === newestMs;
}
