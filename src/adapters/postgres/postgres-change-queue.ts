import type { ChangeQueue, DeadLetter, QueuedChange, QueueStanding } from '../../queue/index.ts';
import { decodeKey, encodeKey, type Scalar } from '../../record/index.ts';
import type { PostgresCatalog } from './postgres-catalog.ts';
import { enqueueEntries } from './postgres-enqueue.ts';
import type { PostgresPresence } from './postgres-presence.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, SqlResult } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';

const epochMs = (column: string): string => `floor(extract(epoch FROM ${column}) * 1000)::bigint`;

/** What every answer begins with, in the order that `toChange` expects. */
const entry = (alias: string): string =>
  `${alias}.id, ${alias}.collection, ${alias}.key, ${alias}.attempts, ${epochMs(`${alias}.enqueued_at`)}, ${alias}.kind`;

function toChange(line: readonly Scalar[]): QueuedChange {
  const [id, collection, key, attempts, enqueuedAtMs, kind] = line.map((value) => value ?? '');
  return {
    id: BigInt(id ?? 0),
    collection: collection ?? '',
    key: decodeKey(key ?? ''),
    attempts: Number(attempts),
    enqueuedAtMs: Number(enqueuedAtMs),
    kind: kind === 'intent' ? 'intent' : 'change',
  };
}

function toDeadLetter(line: readonly Scalar[]): DeadLetter {
  return {
    ...toChange(line),
    reason: line[6] ?? '',
    diedAtMs: Number(line[7]),
    newerWriteExists: line[8] === 't',
  };
}

const idArray = (ids: readonly bigint[]): string => `{${ids.join(',')}}`;

/** Statements of the queue. `now()` where an index is to be used, `clock_timestamp()` where time is written. */
function queueSql(queue: string) {
  const later = (parameter: string): string =>
    `clock_timestamp() + ${parameter}::float8 * interval '1 millisecond'`;
  return {
    // Locked rows are being claimed or consumed by others. After the lock PostgreSQL checks due_at and dead_at again on the newest row version.
    claim: `WITH due AS (
        SELECT q.id, q.due_at FROM ${queue} q
        WHERE q.dead_at IS NULL AND q.due_at <= now()
          AND NOT EXISTS (SELECT 1 FROM ${queue} d WHERE d.key = q.key AND d.collection = q.collection AND d.dead_at IS NOT NULL)
        ORDER BY q.due_at, q.id LIMIT $1::int FOR UPDATE OF q SKIP LOCKED)
      UPDATE ${queue} q SET due_at = ${later('$3')}, claimed_by = $2 FROM due WHERE q.id = due.id
      RETURNING ${entry('q')}, extract(epoch FROM due.due_at)`,
    complete: `DELETE FROM ${queue} WHERE id = ANY($1::bigint[])`,
    // An intent keeps its claim: whoever claimed it may have read the key already, so its owner must not commit any more.
    retryLater: `UPDATE ${queue} SET due_at = ${later('$2')}, error = $3, attempts = attempts + $4::int,
        claimed_by = CASE kind WHEN 'intent' THEN claimed_by END
      WHERE id = ANY($1::bigint[]) AND dead_at IS NULL`,
    bury: `UPDATE ${queue} SET dead_at = clock_timestamp(), reason = $2, error = $2
      WHERE id = ANY($1::bigint[]) AND dead_at IS NULL`,
    depth: `SELECT count(*) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE dead_at IS NOT NULL),
        coalesce(extract(epoch FROM clock_timestamp() - min(enqueued_at) FILTER (WHERE dead_at IS NULL)) * 1000, 0)
      FROM ${queue}`,
    deadLetters: `SELECT ${entry('q')}, q.reason, ${epochMs('q.dead_at')},
        EXISTS (SELECT 1 FROM ${queue} n WHERE n.key = q.key AND n.collection = q.collection AND n.id > q.id)
      FROM ${queue} q WHERE q.dead_at IS NOT NULL ORDER BY q.dead_at, q.id LIMIT $1::int`,
    redrive: `UPDATE ${queue} SET dead_at = NULL, reason = NULL, error = NULL, attempts = 0, due_at = clock_timestamp(),
        claimed_by = CASE kind WHEN 'intent' THEN coalesce(claimed_by, 'redrive') END
      WHERE id = ANY($1::bigint[]) AND dead_at IS NOT NULL`,
    discard: `DELETE FROM ${queue} WHERE id = ANY($1::bigint[]) AND dead_at IS NOT NULL`,
    entries: `SELECT ${entry('q')} FROM ${queue} q WHERE q.id > $1::bigint ORDER BY q.id LIMIT $2::int`,
    standing: `SELECT u.n, bool_or(q.dead_at IS NOT NULL) FROM unnest($2::text[]) WITH ORDINALITY AS u(key, n)
      JOIN ${queue} q ON q.key = u.key AND q.collection = $1 GROUP BY u.n`,
  } as const;
}

/**
 * The queue of one store in its own database. Where our schema is not installed the queue is empty: only `enqueue` fails then.
 * A dead key's later changes stay where they are, passed over by `claim` until the dead letter is resolved.
 */
export function createPostgresChangeQueue(
  session: PostgresSession,
  layout: PostgresLayout,
  presence: PostgresPresence,
  catalog: PostgresCatalog,
): ChangeQueue {
  const sql = queueSql(layout.queue);
  const nothing: SqlResult = { rows: [], count: 0, command: '' };
  const query = async (
    name: keyof typeof sql,
    values: readonly Scalar[],
    missingIsEmpty = true,
  ): Promise<SqlResult> => {
    try {
      return await session.query(sql[name], values, { what: `queue: ${name}` });
    } catch (error) {
      if (missingIsEmpty && presence.isMissing(error)) return nothing;
      throw error;
    }
  };

  return {
    async claim(limit, owner, leaseMs) {
      const { rows } = await query('claim', [String(limit), owner, String(leaseMs)]);
      // RETURNING promises no order.
      return [...rows]
        .map((line) => ({ change: toChange(line), due: Number(line[6]) }))
        .sort((a, b) => a.due - b.due || (a.change.id < b.change.id ? -1 : 1))
        .map(({ change }) => change);
    },
    async complete(ids) {
      if (ids.length > 0) await query('complete', [idArray(ids)]);
    },
    async retryLater(ids, delayMs, error, countAttempt) {
      if (ids.length === 0) return;
      await query('retryLater', [idArray(ids), String(delayMs), error, countAttempt ? '1' : '0']);
    },
    async bury(ids, reason) {
      if (ids.length > 0) await query('bury', [idArray(ids), reason]);
    },
    async enqueue(entries) {
      return entries.length === 0 ? [] : enqueueEntries({ session, layout, catalog }, entries);
    },
    async depth() {
      const { rows } = await query('depth', []);
      const [waiting, dead, oldestMs] = rows[0] ?? [];
      return {
        waiting: Number(waiting ?? 0),
        dead: Number(dead ?? 0),
        oldestMs: Math.max(0, Number(oldestMs ?? 0)),
      };
    },
    async deadLetters(limit) {
      const { rows } = await query('deadLetters', [String(limit)]);
      return rows.map(toDeadLetter);
    },
    async resolveDead(action, ids) {
      if (ids.length === 0) return 0;
      return (await query(action, [idArray(ids)])).count;
    },
    async entries(after, limit) {
      // What is missing is not empty here: nobody is to believe that there is no gap.
      const { rows } = await query('entries', [String(after ?? -1n), String(limit)], false);
      return rows.map(toChange);
    },
    async standing(collection, keys) {
      const { rows } = await query('standing', [
        collection,
        textArray(keys.map((key) => encodeKey(key))),
      ]);
      const standing: QueueStanding[] = new Array(keys.length).fill('none');
      for (const [ordinal, dead] of rows) {
        standing[Number(ordinal) - 1] = dead === 't' ? 'dead' : 'waiting';
      }
      return standing;
    },
  };
}
