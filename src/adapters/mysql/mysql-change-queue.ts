import { dispositionOf, isChangeoverError } from '../../errors/index.ts';
import type {
  ChangeQueue,
  DeadLetter,
  QueuedChange,
  QueueEntry,
  QueueStanding,
} from '../../queue/index.ts';
import { decodeKey, encodeKey, type Scalar } from '../../record/index.ts';
import type { MysqlCatalog } from './mysql-catalog.ts';
import { givenKeys, type QueuedKeys, spelledKeys } from './mysql-enqueue.ts';
import type { MysqlPresence } from './mysql-presence.ts';
import { keyId, type MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession, SqlResult } from './mysql-session.ts';
import { literal, quoteLiteral } from './mysql-text.ts';

const epochMs = (column: string): string =>
  `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${column}) DIV 1000`;

const later = (ms: number): string =>
  `UTC_TIMESTAMP(6) + INTERVAL ${Math.round(ms * 1000)} MICROSECOND`;

/** What every answer begins with, in the order that `toChange` expects. */
const ENTRY = `q.id, q.collection, q.key_text, q.attempts, ${epochMs('q.enqueued_at')}, q.kind`;

/** Entries in one statement. */
const BATCH_MAX = 1_000;
/** Statements lock index and row in either order, and the loser of a deadlock tries again. */
const ATTEMPTS_MAX = 5;

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
    newerWriteExists: line[8] === '1',
  };
}

function batches<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const found: (readonly Item[])[] = [];
  for (let at = 0; at < items.length; at += BATCH_MAX) found.push(items.slice(at, at + BATCH_MAX));
  return found;
}

const idList = (ids: readonly bigint[]): string => ids.map(String).join(', ');

/** Reason and error are `text`, 65 535 bytes. */
const fitting = (text: string): string => quoteLiteral(text.slice(0, 16_000));

/**
 * The queue of one store in its own server. Where our database is not installed the queue is empty: only `enqueue` fails then.
 * A dead key's later changes stay where they are, passed over by `claim` until the dead letter is resolved.
 */
export function createMysqlChangeQueue(
  session: MysqlSession,
  layout: MysqlLayout,
  presence: MysqlPresence,
  catalog: MysqlCatalog,
): ChangeQueue {
  const { queue } = layout;
  const nothing: SqlResult = { rows: [], count: 0, insertId: 0n };
  /** `work`, again when it lost a deadlock; `nothing` where our database is missing. */
  const attempt = async <Result>(
    work: () => Promise<Result>,
    missing?: Result,
  ): Promise<Result> => {
    for (let left = ATTEMPTS_MAX; ; left -= 1) {
      try {
        return await work();
      } catch (error) {
        if (missing !== undefined && presence.isMissing(error)) return missing;
        if (left <= 1 || !isChangeoverError(error, 'STORE_CONFLICT')) throw error;
      }
    }
  };
  const query = (what: string, text: string): Promise<SqlResult> =>
    attempt(() => session.query(text, { what: `queue: ${what}` }), nothing);
  const each = async (
    what: string,
    ids: readonly bigint[],
    text: (list: string) => string,
  ): Promise<number> => {
    let count = 0;
    for (const some of batches(ids)) count += (await query(what, text(idList(some)))).count;
    return count;
  };
  const insert = async (
    entries: readonly QueueEntry[],
    keysOf: () => Promise<QueuedKeys>,
  ): Promise<readonly SqlResult[]> => {
    const { looks, texts } = await keysOf();
    const statements = [
      ...looks,
      insertEntries(queue, entries, texts),
      'SELECT @@auto_increment_increment',
    ];
    const results = await attempt(() => session.run(statements, { what: 'queue: enqueue' }));
    return results.slice(looks.length);
  };

  return {
    claim: (limit, owner, leaseMs) =>
      attempt(() => claim(session, queue, limit, owner, leaseMs), []),
    async complete(ids) {
      await each('complete', ids, (list) => `DELETE FROM ${queue} WHERE id IN (${list})`);
    },
    async retryLater(ids, delayMs, error, countAttempt) {
      // An intent keeps its claim: whoever claimed it may have read the key already, so its owner must not commit any more.
      const set = `due_at = ${later(delayMs)}, error = ${fitting(error)}, attempts = attempts + ${countAttempt ? 1 : 0},
        claimed_by = IF(kind = 'intent', claimed_by, NULL)`;
      await each(
        'retryLater',
        ids,
        (list) => `UPDATE ${queue} SET ${set} WHERE id IN (${list}) AND dead_at IS NULL`,
      );
    },
    async bury(ids, reason) {
      const set = `dead_at = UTC_TIMESTAMP(6), reason = ${fitting(reason)}, error = ${fitting(reason)}`;
      await each(
        'bury',
        ids,
        (list) => `UPDATE ${queue} SET ${set} WHERE id IN (${list}) AND dead_at IS NULL`,
      );
    },
    async enqueue(entries) {
      const ids: bigint[] = [];
      for (const some of batches(entries)) {
        const [inserted, step] = await insert(some, () => spelledKeys(catalog, some)).catch(
          (error: unknown) => {
            // A key that the column cannot hold is no reason to lose an entry: whoever takes it hears of that.
            if (dispositionOf(error) !== 'reject') throw error;
            return insert(some, async () => givenKeys(some));
          },
        );
        // The number of rows is known beforehand: their numbers follow each other in every lock mode.
        const first = inserted?.insertId ?? 0n;
        const by = BigInt(step?.rows[0]?.[0] ?? 1);
        for (const index of some.keys()) ids.push(first + BigInt(index) * by);
      }
      return ids;
    },
    async depth() {
      const waiting = 'IF(dead_at IS NULL, enqueued_at, NULL)';
      const text = `SELECT COUNT(${waiting}), COUNT(dead_at),
        TIMESTAMPDIFF(MICROSECOND, MIN(${waiting}), UTC_TIMESTAMP(6)) DIV 1000 FROM ${queue}`;
      const [alive, dead, oldestMs] = (await query('depth', text)).rows[0] ?? [];
      return {
        waiting: Number(alive ?? 0),
        dead: Number(dead ?? 0),
        oldestMs: Math.max(0, Number(oldestMs ?? 0)),
      };
    },
    async deadLetters(limit) {
      const newer = `EXISTS (SELECT 1 FROM ${queue} n WHERE n.collection = q.collection AND n.key_id = q.key_id AND n.id > q.id)`;
      const text = `SELECT ${ENTRY}, q.reason, ${epochMs('q.dead_at')}, ${newer} FROM ${queue} q
        WHERE q.dead_at IS NOT NULL ORDER BY q.dead_at, q.id LIMIT ${Math.trunc(limit)}`;
      return (await query('deadLetters', text)).rows.map(toDeadLetter);
    },
    resolveDead(action, ids) {
      const redrive = `UPDATE ${queue} SET dead_at = NULL, reason = NULL, error = NULL, attempts = 0, due_at = UTC_TIMESTAMP(6),
        claimed_by = IF(kind = 'intent', COALESCE(claimed_by, 'redrive'), NULL)`;
      const statement = action === 'redrive' ? redrive : `DELETE FROM ${queue}`;
      return each(
        action,
        ids,
        (list) => `${statement} WHERE id IN (${list}) AND dead_at IS NOT NULL`,
      );
    },
    async entries(after, limit) {
      // What is missing is not empty here: nobody is to believe that there is no gap.
      const text = `SELECT ${ENTRY} FROM ${queue} q WHERE q.id > ${after ?? -1n} ORDER BY q.id LIMIT ${Math.trunc(limit)}`;
      const { rows } = await attempt(() => session.query(text, { what: 'queue: entries' }));
      return rows.map(toChange);
    },
    async standing(collection, keys) {
      const found = new Map<string, QueueStanding>();
      const encoded = keys.map((key) => encodeKey(key));
      for (const some of batches(encoded)) {
        const list = some.map((key) => quoteLiteral(keyId(key))).join(', ');
        const { rows } = await query(
          'standing',
          `SELECT key_text, COUNT(dead_at) FROM ${queue} WHERE collection = ${quoteLiteral(collection)} AND key_id IN (${list}) GROUP BY key_text`,
        );
        for (const [key, dead] of rows) found.set(key ?? '', dead === '0' ? 'waiting' : 'dead');
      }
      return encoded.map((key) => found.get(key) ?? 'none');
    },
  };
}

/**
 * Two statements in one transaction. Locked rows are being claimed or consumed by others, or not committed yet, and are passed over. The
 * index is named: in any other order more rows would be locked than are taken.
 */
function claim(
  session: MysqlSession,
  queue: string,
  limit: number,
  owner: string,
  leaseMs: number,
): Promise<readonly QueuedChange[]> {
  const look = `SELECT ${ENTRY} FROM ${queue} q FORCE INDEX (queue_due)
    WHERE q.dead_at IS NULL AND q.due_at <= UTC_TIMESTAMP(6) AND NOT EXISTS (
      SELECT 1 FROM ${queue} d WHERE d.collection = q.collection AND d.key_id = q.key_id AND d.dead_at IS NOT NULL)
    ORDER BY q.due_at, q.id LIMIT ${Math.trunc(limit)} FOR UPDATE SKIP LOCKED`;
  return session.transaction(
    async (transaction) => {
      const { rows } = await transaction.query(look);
      const changes = rows.map(toChange);
      if (changes.length === 0) return [];
      await transaction.query(
        `UPDATE ${queue} SET due_at = ${later(leaseMs)}, claimed_by = ${quoteLiteral(owner)}
          WHERE id IN (${idList(changes.map(({ id }) => id))})`,
      );
      return changes;
    },
    { timeoutMs: CLAIM_MS, what: 'queue: claim' },
  );
}

const CLAIM_MS = 10_000;

/** @param keys expressions for their keys */
function insertEntries(
  queue: string,
  entries: readonly QueueEntry[],
  keys: readonly string[],
): string {
  const rows = entries.map(({ collection, kind, graceMs, deadReason }, at) => {
    const died = deadReason === undefined ? 'NULL' : 'UTC_TIMESTAMP(6)';
    const reason = deadReason === undefined ? literal(null) : fitting(deadReason);
    return `(${quoteLiteral(collection)}, ${keys[at]}, '${kind}', ${later(graceMs)}, ${died}, ${reason})`;
  });
  return `INSERT INTO ${queue} (collection, key_text, kind, due_at, dead_at, reason) VALUES ${rows.join(', ')}`;
}
