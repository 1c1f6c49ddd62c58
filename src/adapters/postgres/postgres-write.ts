import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import { decodeKey, type Key } from '../../record/index.ts';
import type { AuthorityWrite, Written } from '../../store/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import type { SqlResult, Statement } from './postgres-flight.ts';
import { keyEquals, keyLockId, keyParameters, keySpelling, keyText } from './postgres-key-sql.ts';
import { type PostgresPresence, presenceQuery } from './postgres-presence.ts';
import { checkKeys, readRecords, readStatements } from './postgres-read.ts';
import { keyOfRow } from './postgres-rows.ts';
import { OWN_RECORD, ownRecordPrefix, type PostgresLayout } from './postgres-schema.ts';
import type { PostgresTransaction } from './postgres-session.ts';
import { quoteLiteral } from './postgres-text.ts';
import { journalStatement, rowStatements, type WriteStatement } from './postgres-write-sql.ts';

export interface WriteParts extends PostgresStoreParts {
  readonly presence: PostgresPresence;
  /** The configuration says that a pooler stands in between. Absent: none. */
  readonly pooler?: boolean;
}

/**
 * A write as the authority, in two round trips: everything up to the read-back in one flight, then COMMIT (kept apart, so that a hung or
 * cut connection before it is a definite "rolled back").
 *
 * Order in the flight, each its own statement: shared role lock and guard row → intent consumed → key lock → root → children → journal row (the
 * version is drawn here, with root and key locked) → deferred constraints checked → read back.
 *
 * Without a journal (no follower in this phase) our schema need not exist: then the write uses nothing of ours, and looks
 * in the same transaction whether that is still so.
 */
export async function writeAsAuthority(parts: WriteParts, write: AuthorityWrite): Promise<Written> {
  const collection = await parts.catalog.collection(write.collection);
  checkKeys(collection, [write.key]);
  if (write.journal !== 'none' || parts.presence.known) {
    try {
      return await attempt(parts, collection, write, true);
    } catch (error) {
      const gone = write.journal === 'none' && parts.presence.isMissing(error);
      if (!gone) throw error;
    }
  }
  try {
    return await attempt(parts, collection, write, false);
  } catch (error) {
    if (!isChangeoverError(error, 'STATE_CHANGED')) throw error;
    parts.presence.found(true);
    return attempt(parts, collection, write, true);
  }
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Half of a character cannot be sent as UTF-8: Node would put U+FFFD in its place without a word. */
function checkText(write: AuthorityWrite): void {
  const whole = (value: unknown): boolean =>
    typeof value === 'string'
      ? !LONE_SURROGATE.test(value)
      : typeof value !== 'object' || value === null || Object.values(value).every(whole);
  if (whole(write.key) && whole(write.record)) return;
  throw new ChangeoverError(
    'VALUE_INVALID',
    `A text in a write to "${write.collection}" holds half of a surrogate pair.`,
  );
}

/** One transaction. `guarded` false: our schema is believed absent; STATE_CHANGED (rolled back) when it is not. */
function attempt(
  parts: WriteParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
): Promise<Written> {
  const what = `write to "${collection.collection}"`;
  return parts.session.transaction(
    async (transaction) => {
      const settled = await revised(parts, collection, write, guarded, transaction);
      checkText(settled);
      const written = await fly(parts, collection, settled, guarded, transaction);
      await write.beforeCommit?.(written);
      return written;
    },
    {
      timeoutMs: write.timeoutMs,
      what,
      // The outbox trigger leaves a write alone that brings its own journal row. Without one it must be captured.
      ...(write.journal === 'none' ? {} : { mark: `app:${write.epoch}` }),
    },
  );
}

/**
 * The write with the record that its `revise` makes of the present one, read under the key's lock and, for writers that do not know that
 * lock, the root's. One more round trip. What was entered and locked here is held until the end, so doing it again costs nothing.
 */
async function revised(
  parts: WriteParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
  transaction: PostgresTransaction,
): Promise<AuthorityWrite> {
  const revises = write.revise !== undefined && write.action !== 'delete';
  if (!revises && write.check === undefined) return write;
  const { root } = collection;
  const byKey = keyEquals(root.key, 't', keyParameters(root.key, 1));
  const before: readonly Statement[] = [
    entrance(parts.layout, write, guarded),
    keyStatement(parts.layout, collection, write.key, true),
    { text: `SELECT 1 FROM ${root.quoted} t WHERE ${byKey} FOR NO KEY UPDATE`, values: write.key },
  ];
  const results = await transaction.run([...before, ...readStatements(collection, [write.key])]);
  if (!guarded && results[0]?.rows[0]?.[0] !== null) throw setUpMeanwhile();
  const current = readRecords(collection, results.slice(before.length), 1)[0] ?? null;
  write.check?.(current);
  if (!revises) return write;
  // An update of nothing stays one; what was given is in another shape.
  const nothing = write.action === 'update' && current === null;
  return { ...write, record: nothing ? {} : (write.revise?.(current) ?? {}) };
}

function setUpMeanwhile(): ChangeoverError {
  return new ChangeoverError('STATE_CHANGED', 'The store was set up during this write.');
}

interface Plan {
  readonly statements: readonly Statement[];
  readonly intentAt: number;
  /** -1: the key comes back with the record, and is not locked. */
  readonly keyAt: number;
  readonly rowsAt: number;
  readonly rows: readonly WriteStatement[];
  readonly journalAt: number;
  readonly readAt: number;
}

function planOf(
  parts: WriteParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
): Plan {
  const { layout } = parts;
  const journalled = write.journal !== 'none';
  const rows = rowStatements(collection, write);
  const statements: Statement[] = [entrance(layout, write, guarded)];
  let intentAt = -1;
  let journalAt = -1;
  if (typeof write.journal === 'object') {
    intentAt = statements.length;
    statements.push(consume(layout, write.journal.intent));
  }
  const keyAt = journalled || write.action !== 'put' ? statements.length : -1;
  if (keyAt >= 0) statements.push(keyStatement(layout, collection, write.key, journalled));
  const addJournal = (): void => {
    // What is captured from the log finds its change there.
    if (!journalled || write.journal === 'log') return;
    journalAt = statements.length;
    statements.push(journalStatement(layout, collection, write));
  };
  if (write.action === 'delete') addJournal();
  const rowsAt = statements.length;
  statements.push(...rows);
  if (write.action !== 'delete') addJournal();
  const deferred = [collection.root, ...collection.children].some(({ hasDeferred }) => hasDeferred);
  // What deferred triggers would change at COMMIT has to be in what is read back.
  if (deferred) statements.push({ text: 'SET CONSTRAINTS ALL IMMEDIATE' });
  const readAt = statements.length;
  if (write.action !== 'delete') statements.push(...readStatements(collection, [write.key]));
  return { statements, intentAt, keyAt, rowsAt, rows, journalAt, readAt };
}

function entrance(layout: PostgresLayout, write: AuthorityWrite, guarded: boolean): Statement {
  if (!guarded) return { text: presenceQuery(layout) };
  // Unjournalled writes only where nobody follows: a process that still believes in `off` is refused, and loses nothing.
  const journalled = write.journal !== 'none';
  return {
    text: `SELECT ${layout.enter}($1, $2::int, $3::boolean)`,
    values: [journalled ? 'authority' : 'idle', String(write.epoch), String(journalled)],
  };
}

/** An intent that a healer has claimed can no longer be consumed: the healer may have read the key as it was before this write. */
function consume(layout: PostgresLayout, intent: bigint): Statement {
  return {
    text: `DELETE FROM ${layout.queue} WHERE id = $1::bigint AND kind = 'intent' AND claimed_by IS NULL AND dead_at IS NULL`,
    values: [String(intent)],
  };
}

/** Locks the key and tells the outbox triggers whose change this is, in a statement of its own: the snapshots of the statements behind it are taken after the lock was granted. */
function keyStatement(
  layout: PostgresLayout,
  collection: CatalogCollection,
  key: Key,
  lock: boolean,
): Statement {
  const parameters = keyParameters(collection.root.key, 1);
  const id = keyLockId(collection.root.key, parameters, layout.keySeed(collection.collection));
  const spelling = keySpelling(collection.root.key, parameters);
  const own = `${quoteLiteral(ownRecordPrefix(collection.collection))} || ${keyText(spelling)}`;
  const locking = lock
    ? `, pg_catalog.pg_advisory_xact_lock(${id}), pg_catalog.set_config('${OWN_RECORD}', ${own}, true)`
    : '';
  return { text: `SELECT ${spelling.join(', ')}${locking}`, values: key };
}

async function fly(
  parts: WriteParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
  transaction: PostgresTransaction,
): Promise<Written> {
  const plan = planOf(parts, collection, write, guarded);
  const results = await transaction.run(plan.statements);
  if (!guarded && results[0]?.rows[0]?.[0] !== null) throw setUpMeanwhile();
  if (plan.intentAt >= 0 && results[plan.intentAt]?.count !== 1) {
    throw new ChangeoverError(
      'STORE_CONFLICT',
      `The intent of this write to "${collection.collection}" was taken over by a healer; nothing was written.`,
    );
  }
  const record =
    write.action === 'delete'
      ? null
      : (readRecords(collection, results.slice(plan.readAt), 1)[0] ?? null);
  if (record !== null) checkRows(collection, plan, results);
  const journal = plan.journalAt < 0 ? undefined : results[plan.journalAt]?.rows[0];
  const id = journal === undefined ? null : BigInt(journal[0] ?? 0);
  // Fail-closed: the follower has it before this commits, so no entry is left to be completed.
  const journalId = write.journal === 'change' ? id : null;
  const spelled = (results[plan.keyAt]?.rows[0] ?? write.key).slice(0, write.key.length) as Key;
  const key = journal?.[1]
    ? decodeKey(journal[1])
    : record === null
      ? spelled
      : keyOfRow(collection, record as Readonly<Record<string, string>>);
  return {
    key,
    record,
    version: id === null ? null : { epoch: write.epoch, sequence: id },
    journalId,
  };
}

function checkRows(collection: CatalogCollection, plan: Plan, results: readonly SqlResult[]): void {
  plan.rows.forEach(({ rows, about }, index) => {
    const count = results[plan.rowsAt + index]?.count ?? 0;
    if (rows === null || rows === count) return;
    throw new ChangeoverError(
      'STORE_REJECTED',
      `write to "${collection.collection}": ${about} (${rows} rows given, ${count} written).`,
      { data: { collection: collection.collection, given: rows, written: count } },
    );
  });
}
