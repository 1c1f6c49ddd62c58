import { ChangeoverError } from '../../errors/index.ts';
import type { ChangeSource } from '../../log/index.ts';
import { encodeKey, type Key } from '../../record/index.ts';
import type {
  QueuedKey,
  RecordSnapshot,
  SnapshotOptions,
  SnapshotPlace,
  SnapshotSource,
} from '../../store/index.ts';
import { tablesOf } from './postgres-catalog.ts';
import { createPostgresDigests } from './postgres-digest.ts';
import {
  boundaryStatement,
  checkKeys,
  fenceStatement,
  firstKey,
  readFences,
  readRecords,
  readStatements,
  scannedRecords,
  scanStatements,
  toAnswers,
} from './postgres-read.ts';
import { IDLE, lookFromNow } from './postgres-reread-log.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { OpenTransaction, SqlResult } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';
import type { WriteParts } from './postgres-write.ts';

const POLL_MIN_MS = 2;
const POLL_MAX_MS = 50;

/**
 * Snapshots of one database: REPEATABLE READ transactions that only read.
 *
 * **Their place in the log.** A position read beside a snapshot proves nothing: a commit is in the log before it can be seen. So a position `from` and a transaction number are
 * drawn first; whatever has committed at or before `from` has a lower number and was running then or earlier. A snapshot in which all lower ones have ended, but for those
 * that were idle behind `from`, holds all of it. The end of the log that is read *behind* the snapshot is `until`: what can be seen is in the log.
 *
 * Not a slot with EXPORT_SNAPSHOT: docs/design/aligned-proof.md says what that would cost.
 */
export function createPostgresSnapshots(
  parts: WriteParts,
  log: Pick<ChangeSource, 'end'> | null,
): SnapshotSource {
  return {
    open: (options) =>
      options.placed
        ? openPlaced(parts, log, options)
        : options.numbered
          ? openNumbered(parts, options)
          : openBare(parts, options),
  };
}

const what = 'snapshot for a comparison';

async function beginSnapshot(
  { session, catalog }: WriteParts,
  { collections, ageMs }: SnapshotOptions,
): Promise<OpenTransaction> {
  const found = await Promise.all(collections.map((name) => catalog.collection(name)));
  const lockFirst = found.flatMap(tablesOf);
  return session.begin({ timeoutMs: ageMs, isolation: 'repeatable read', lockFirst, what });
}

async function openBare(parts: WriteParts, options: SnapshotOptions): Promise<RecordSnapshot> {
  const transaction = await beginSnapshot(parts, options);
  try {
    // The first statement is what fixes the moment.
    await transaction.query('SELECT 1');
    return readerOf(parts, transaction, null);
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
}

/** The number is asked for by the statement that fixes the moment, or a little behind it: whatever can be seen has drawn its own before. */
async function openNumbered(parts: WriteParts, options: SnapshotOptions): Promise<RecordSnapshot> {
  const { layout, presence } = parts;
  const transaction = await beginSnapshot(parts, options);
  try {
    const text = `SELECT coalesce(pg_catalog.pg_sequence_last_value($1::regclass), 0)`;
    const [drawn] = await transaction.run([{ text, values: [layout.version] }]);
    const number = BigInt(drawn?.rows[0]?.[0] ?? 0);
    return readerOf(parts, transaction, { from: number, until: number, text: `number ${number}` });
  } catch (error) {
    await transaction.rollback();
    if (!presence.isMissing(error)) throw error;
    throw new ChangeoverError('LOG_UNSUPPORTED', 'Nothing is installed that would queue changes.', {
      cause: error,
    });
  }
}

async function openPlaced(
  parts: WriteParts,
  log: Pick<ChangeSource, 'end'> | null,
  options: SnapshotOptions,
): Promise<RecordSnapshot> {
  if (log === null)
    throw new ChangeoverError('LOG_UNSUPPORTED', 'Nothing is captured from the log of this store.');
  const { session } = parts;
  const { clock } = session.runtime;
  const endsAt = clock.monotonic() + options.openMs;
  const look = await lookFromNow(session, what);
  let idle = '{}';
  for (let waitMs = POLL_MIN_MS; ; waitMs = Math.min(POLL_MAX_MS, waitMs * 2)) {
    const transaction = await beginSnapshot(parts, options);
    try {
      const [seen] = await transaction.run([look.check(idle)]);
      if (seen?.rows[0]?.[0] === 't') {
        const { sequence, text } = await log.end();
        return readerOf(parts, transaction, { from: look.sequence, until: sequence, text });
      }
    } catch (error) {
      await transaction.rollback();
      throw error;
    }
    await transaction.rollback();
    if (clock.monotonic() >= endsAt) throw await tooLate(parts, options.openMs);
    await clock.sleep(waitMs);
    const { rows } = await session.query(IDLE.text, [], { what });
    idle = rows[0]?.[0] ?? '{}';
  }
}

/** Names the oldest transaction that writes: one of those that were waited for. */
async function tooLate({ session }: WriteParts, openMs: number): Promise<ChangeoverError> {
  const { rows } = await session.query(
    `SELECT pid, ceil(extract(epoch FROM clock_timestamp() - xact_start)), coalesce(nullif(application_name, ''), 'no name'), state
     FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1`,
    [],
    { what },
  );
  const [pid, seconds, application, state] = rows[0] ?? [];
  const oldest = pid
    ? ` The oldest that is open: process ${pid} (${application}), for ${seconds} s, ${state}.`
    : '';
  return new ChangeoverError(
    'STORE_CONFLICT',
    `No snapshot knows its place in the log: transactions that write have not ended within ${openMs} ms.${oldest}`,
    { data: { pid: pid ? Number(pid) : null } },
  );
}

function readerOf(
  { catalog, layout, presence }: WriteParts,
  transaction: OpenTransaction,
  place: SnapshotPlace | null,
): RecordSnapshot {
  return {
    place,
    async read(name, keys, { withFence = false } = {}) {
      if (keys.length === 0) return [];
      const collection = await catalog.collection(name);
      checkKeys(collection, keys);
      const fenced = withFence && (await presence.check());
      const fences = fenced ? [fenceStatement(layout, collection, keys)] : [];
      const results = await transaction.run([...fences, ...readStatements(collection, keys)]);
      const records = readRecords(collection, results.slice(fences.length), keys.length);
      return toAnswers(records, fenced ? readFences(results[0], keys.length) : []);
    },
    async scan(name, range, limit) {
      const collection = await catalog.collection(name);
      return scannedRecords(
        collection,
        await transaction.run(scanStatements(collection, range, limit)),
      );
    },
    async boundary(name, range, rows) {
      const collection = await catalog.collection(name);
      const [result] = await transaction.run([boundaryStatement(collection, range, rows)]);
      return firstKey(result);
    },
    async queued(name, keys) {
      if (keys.length === 0) return [];
      const [result] = await transaction.run([queuedStatement(layout, name, keys)]);
      return queuedKeys(result, keys.length);
    },
    digests: createPostgresDigests(catalog, (statements) => transaction.run(statements)),
    close: () => transaction.rollback(),
  };
}

function queuedStatement({ queue }: PostgresLayout, collection: string, keys: readonly Key[]) {
  return {
    text: `SELECT u.n, bool_or(q.dead_at IS NOT NULL), min(q.id), max(q.id)
      FROM unnest($2::text[]) WITH ORDINALITY AS u(key, n)
      JOIN ${queue} q ON q.key = u.key AND q.collection = $1 GROUP BY u.n`,
    values: [collection, textArray(keys.map((key) => encodeKey(key)))],
  };
}

function queuedKeys(result: SqlResult | undefined, count: number): readonly QueuedKey[] {
  const keys: QueuedKey[] = new Array(count).fill({ standing: 'none', first: null, last: null });
  for (const [ordinal, dead, first, last] of result?.rows ?? []) {
    keys[Number(ordinal) - 1] = {
      standing: dead === 't' ? 'dead' : 'waiting',
      first: BigInt(first ?? 0),
      last: BigInt(last ?? 0),
    };
  }
  return keys;
}
