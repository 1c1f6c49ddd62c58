import { ChangeoverError } from '../../errors/index.ts';
import type { Random } from '../../runtime/index.ts';
import { GATE_SLOTS, type MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession } from './mysql-session.ts';

/** Longest wait for the door transactions that are older than a chunk. */
const OLDER_DOORS_MS = 30_000;
/** After so long without luck the wait queues like anybody else. */
const POLITE_MS = 2_000;

/*
 * A chunk that begins waits until every door transaction is over that may have looked at the chunk records before its own was there. Each door
 * transaction shares one row of `gate`, picked at random, before it looks; the chunk takes each row exclusively once, after its record has committed, and
 * gives it back at once. Whoever shares the row afterwards looks afterwards, and sees the record.
 *
 * Many rows, and SKIP LOCKED, so that nobody has to queue behind the chunk's wait for the slowest transaction: with one row, each live write would.
 */

/** Shares a gate until the end of the transaction. */
export function shareGate(layout: MysqlLayout, random: Random): string {
  const slot = Math.min(GATE_SLOTS - 1, Math.floor(random.next() * GATE_SLOTS));
  return `SELECT slot FROM ${layout.gate} WHERE slot = ${slot} LOCK IN SHARE MODE`;
}

/** Returns when the door transactions that were open when it was called have ended. STORE_CONFLICT after 30 s. */
export async function outwaitDoors(session: MysqlSession, layout: MysqlLayout): Promise<void> {
  const { clock } = session.runtime;
  const began = clock.monotonic();
  const older = new Set(Array.from({ length: GATE_SLOTS }, (_, slot) => String(slot)));
  for (let pauseMs = 2; ; pauseMs = Math.min(50, pauseMs * 2)) {
    const spentMs = clock.monotonic() - began;
    if (spentMs > OLDER_DOORS_MS) {
      throw new ChangeoverError(
        'STORE_CONFLICT',
        `Door transactions older than a chunk are still open after ${OLDER_DOORS_MS} ms.`,
      );
    }
    const polite = spentMs < POLITE_MS;
    const slots = polite ? [...older] : [...older].slice(0, 1);
    // Committed by itself: the locks are gone with the answer.
    const { rows } = await session.query(
      `SELECT slot FROM ${layout.gate} WHERE slot IN (${slots.join(', ')}) FOR UPDATE${polite ? ' SKIP LOCKED' : ''}`,
      { what: 'wait for older door transactions', timeoutMs: OLDER_DOORS_MS },
    );
    for (const [slot] of rows) older.delete(slot ?? '');
    if (older.size === 0) return;
    if (polite) await clock.sleep(pauseMs);
  }
}
