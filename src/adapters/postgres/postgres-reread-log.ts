import { ChangeoverError } from '../../errors/index.ts';
import type { LogMark } from '../../log/index.ts';
import type { DataRecord, Key } from '../../record/index.ts';
import type { Reread } from '../../store/index.ts';
import { type CatalogCollection, tablesOf } from './postgres-catalog.ts';
import type { SqlResult, Statement } from './postgres-flight.ts';
import { keyColumns, keyElements, keySpelling, keyUnnest } from './postgres-key-sql.ts';
import { readRecords, readStatements } from './postgres-read.ts';
import { checkRereadKeys, shareLock } from './postgres-reread.ts';
import { keyOfRow } from './postgres-rows.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';

/** Transactions that have committed in the log and are not seen yet are waited for so long; then the keys are busy. */
const SEEN_MS = 2_000;
const POLL_MIN_MS = 2;
const POLL_MAX_MS = 50;

/**
 * Re-reads of collections that are captured from the log: version = log position V, the record holds everything of the key that committed at or before V.
 *
 * **The trap.** A commit is in the log before it can be seen: the record is written, then the transaction leaves the list of running ones. So neither "read, then ask where the log
 * ends" nor the other way round is right by itself: between the two lies a transaction that is in the log and not in the snapshot. Three ways out:
 * - *with a mark*: the batch names its transactions. A snapshot to which all of them have ended sees all of the batch; V = the mark's.
 * - *present rows of one table, at rest*: share-lock the row (skipping those that a writer holds). Who holds it knows that no change of the row is on its
 *   way: a running transaction, also one that is committing, holds its lock until it is seen. Then ask where the log ends (V), then read. Waits for nobody.
 * - *everything else at rest* (absent records, aggregates): ask where the log ends (V) and draw a transaction number; whatever has committed before V has a lower one and was
 *   running then or earlier. Read in a snapshot in which all lower ones have ended. One that is idle in its transaction has not begun to commit, whatever its age: it is not
 *   waited for. A long statement is, up to 2 s: then the keys are busy.
 *
 * Also while the store is sealed: the rest of the log is drained then.
 */
export async function rereadLogged(
  session: PostgresSession,
  layout: PostgresLayout,
  collection: CatalogCollection,
  keys: readonly Key[],
  epoch: number,
  seen: LogMark | undefined,
): Promise<readonly Reread[]> {
  if (keys.length === 0) return [];
  checkRereadKeys(collection, keys);
  const reading: Reading = { session, layout, collection, epoch };
  if (seen) {
    const check = proven.has(seen) ? alreadySeen : markSeen(seen);
    const answers = await readWhenSeen(reading, keys, { check, sequence: seen.sequence });
    if (answers.every(({ state }) => state === 'read')) proven.add(seen);
    return answers;
  }
  const answers: (Reread | undefined)[] =
    collection.children.length === 0 ? await readHeld(reading, keys) : keys.map(() => undefined);
  const rest = keys.flatMap((_, index) => (answers[index] ? [] : [index]));
  if (rest.length > 0) {
    const restKeys = rest.map((index) => keys[index] as Key);
    const found = await readWhenSeen(
      reading,
      restKeys,
      await lookFromNow(session, whatOf(collection)),
    );
    rest.forEach((index, at) => {
      answers[index] = found[at];
    });
  }
  return answers as readonly Reread[];
}

/** What one snapshot has seen all later ones see: a batch is read again in pages of keys. */
const proven = new WeakSet<LogMark>();
const alreadySeen: Look['check'] = () => ({ text: 'SELECT true' });

interface Reading {
  readonly session: PostgresSession;
  readonly layout: PostgresLayout;
  readonly collection: CatalogCollection;
  readonly epoch: number;
}

/** When a snapshot is good enough, and for which position. */
export interface Look {
  readonly sequence: bigint;
  /** One boolean, of the snapshot in which it runs. `idle`: transactions that have not begun to commit after the position was taken. */
  check(idle: string): Statement;
  /** Wants `idle`. */
  readonly asksForIdle?: boolean;
}

/**
 * The log gives the lower half of transaction numbers; the upper half is that which brings it closest to the present. (A committing one may well be above the
 * snapshot's end, so "the largest that is not above" would be wrong.)
 */
function markSeen({ transactions }: LogMark): Look['check'] {
  const text = `SELECT coalesce(bool_and(pg_visible_in_snapshot(greatest(3, CASE WHEN near - now > 2147483648 THEN near - 4294967296
      WHEN now - near > 2147483648 THEN near + 4294967296 ELSE near END)::text::xid8, s)), true)
    FROM pg_current_snapshot() s,
      LATERAL (SELECT pg_snapshot_xmax(s)::text::bigint) AS n(now),
      unnest($1::bigint[]) AS t(low),
      LATERAL (SELECT (now >> 32 << 32) | low) AS x(near)`;
  const values = [textArray(transactions)];
  return () => ({ text, values });
}

/** A look that is good for a position of now. Also how snapshots get their place (`postgres-snapshot.ts`). */
export async function lookFromNow(session: PostgresSession, what: string): Promise<Look> {
  const [position, drawn] = await session.run(
    [
      { text: `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn - 1` },
      // Behind it, and of its own: higher than that of every transaction that is in the log by now.
      { text: 'SELECT pg_current_xact_id()' },
    ],
    { what },
  );
  const own = drawn?.rows[0]?.[0] ?? '0';
  return {
    sequence: BigInt(position?.rows[0]?.[0] ?? 0),
    asksForIdle: true,
    check: (idle) => ({
      text: `SELECT pg_snapshot_xmax(s)::text::bigint > $1::bigint AND NOT EXISTS (
          SELECT 1 FROM pg_snapshot_xip(s) AS r(xid)
          WHERE r.xid::text::bigint < $1::bigint AND r.xid::text <> ALL ($2::text[]))
        FROM pg_current_snapshot() s`,
      values: [own, idle],
    }),
  };
}

/**
 * Transactions that are idle: looked at between the position and the snapshot. One that the snapshot still sees running was the same one then, and had not begun to commit; so its
 * commit, if it comes, is behind the position. Others' are shown only to superusers and members of pg_read_all_stats.
 */
export const IDLE: Statement = {
  text: `SELECT coalesce(array_agg(pg_snapshot_xmax(n.s)::text::bigint >> 32 << 32 | backend_xid::text::bigint), '{}')
    FROM pg_catalog.pg_stat_activity, (SELECT pg_current_snapshot() AS s) n
    WHERE backend_xid IS NOT NULL AND state = 'idle in transaction'`,
};

/** Reads once the snapshot is good enough; all busy when that takes too long. */
async function readWhenSeen(
  reading: Reading,
  keys: readonly Key[],
  look: Look,
): Promise<readonly Reread[]> {
  const { session, layout, collection, epoch } = reading;
  const { clock } = session.runtime;
  const what = whatOf(collection);
  const until = clock.monotonic() + SEEN_MS;
  const reads = [spellings(collection, keys), ...readStatements(collection, keys)];
  let idle = '{}';
  for (let waitMs = POLL_MIN_MS; ; waitMs = Math.min(POLL_MAX_MS, waitMs * 2)) {
    const results = await session.run([look.check(idle), guardRow(layout), ...reads], {
      what,
      oneSnapshot: { lockFirst: tablesOf(collection) },
    });
    checkGuard(results[1], epoch);
    if (results[0]?.rows[0]?.[0] === 't') {
      const records = readRecords(collection, results.slice(3), keys.length);
      const spelled = spelledKeys(collection, results[2]);
      return keys.map((key, index) =>
        answer(collection, spelled[index] ?? key, records[index] ?? null, {
          epoch,
          sequence: look.sequence,
        }),
      );
    }
    if (clock.monotonic() >= until) return keys.map((key) => busy(key, epoch));
    await clock.sleep(waitMs);
    if (look.asksForIdle) {
      const { rows } = await session.query(IDLE.text, [], { what });
      idle = rows[0]?.[0] ?? '{}';
    }
  }
}

/** Present rows of one table, locked for a moment; undefined: absent, so nothing was proven. */
async function readHeld(
  { session, layout, collection, epoch }: Reading,
  keys: readonly Key[],
): Promise<(Reread | undefined)[]> {
  const [guard, locked, position, ...read] = await session.run(
    [
      guardRow(layout),
      shareLock(collection, keys),
      { text: `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn - 1` },
      ...readStatements(collection, keys),
    ],
    { what: whatOf(collection) },
  );
  checkGuard(guard, epoch);
  const held = new Set((locked?.rows ?? []).map(([ordinal]) => Number(ordinal) - 1));
  const sequence = BigInt(position?.rows[0]?.[0] ?? 0);
  const records = readRecords(collection, read, keys.length);
  return keys.map((key, index) => {
    const record = records[index] ?? null;
    if (record === null) return undefined;
    if (!held.has(index)) return busy(key, epoch);
    return answer(collection, key, record, { epoch, sequence });
  });
}

function answer(
  collection: CatalogCollection,
  key: Key,
  record: DataRecord | null,
  version: Reread['version'],
): Reread {
  const own =
    record === null ? key : keyOfRow(collection, record as Readonly<Record<string, string>>);
  return { key: own, state: 'read', record, version };
}

function busy(key: Key, epoch: number): Reread {
  return { key, state: 'busy', record: null, version: { epoch, sequence: 0n } };
}

/** The keys as the store spells them, for records that are absent. */
function spellings(collection: CatalogCollection, keys: readonly Key[]): Statement {
  const { key } = collection.root;
  const spelled = keySpelling(key, keyElements(key, 'k'));
  return {
    text: `SELECT ${spelled.join(', ')} FROM ${keyUnnest(key.length, 1, 'k')} ORDER BY k.n`,
    values: keyColumns(keys, key.length).map((column) => textArray(column)),
  };
}

function spelledKeys(
  collection: CatalogCollection,
  result: SqlResult | undefined,
): readonly (Key | undefined)[] {
  const parts = collection.root.key.length;
  return (result?.rows ?? []).map((line) => line.slice(0, parts) as Key);
}

const whatOf = ({ collection }: CatalogCollection): string => `re-read of "${collection}"`;

function guardRow(layout: PostgresLayout): Statement {
  return { text: `SELECT role, epoch FROM ${layout.guard}` };
}

/**
 * Without the role lock: what is read here is let in at the other side by role and epoch as they are then, so a change of authority that comes in between is
 * noticed there.
 */
function checkGuard(result: SqlResult | undefined, epoch: number): void {
  const [role, now] = result?.rows[0] ?? [];
  if (Number(now) === epoch && (role === 'authority' || role === 'sealed')) return;
  throw new ChangeoverError(
    'AUTHORITY_FENCED',
    `A re-read of epoch ${epoch} came to a store that is ${role} of epoch ${now}.`,
    { data: { epoch } },
  );
}
