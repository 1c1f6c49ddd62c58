import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import { encodeKey, type Key, type Row } from '../../record/index.ts';
import type { AuthorityWrite, Written } from '../../store/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { errnoOf } from './mysql-errors.ts';
import { keySlot, spelledKey } from './mysql-key-sql.ts';
import { presenceQuery } from './mysql-presence.ts';
import { checkKeys, readRecords, readStatements } from './mysql-read.ts';
import { keyOfRow } from './mysql-rows.ts';
import { enterStatement, KEY_LOCK_SLOTS, ownRecordPrefix } from './mysql-schema.ts';
import { RECORD_VARIABLE } from './mysql-sending.ts';
import type { MysqlTransaction, SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';
import {
  forgetNumber,
  journalStatement,
  lockRoot,
  rowStatements,
  type WriteStatement,
} from './mysql-write-sql.ts';

/**
 * A write as the authority, in two round trips: everything up to the read-back in one flight, then COMMIT (kept apart, so that a hung or
 * cut connection before it is a definite "rolled back").
 *
 * Order in the flight, each its own statement: shared guard row → intent consumed → key lock → root → children → journal row (the
 * version is its AUTO_INCREMENT number, drawn with root and key locked) → read back.
 *
 * Without a journal (no follower in this phase) our database need not exist: then the write uses nothing of ours, and looks
 * in the same transaction whether that is still so.
 */
export async function writeAsAuthority(
  parts: MysqlStoreParts,
  write: AuthorityWrite,
): Promise<Written> {
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

const DUPLICATE_KEY = 1062;

/** One transaction. `guarded` false: our database is believed absent; STATE_CHANGED (rolled back) when it is not. */
async function attempt(
  parts: MysqlStoreParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
): Promise<Written> {
  const what = `write to "${collection.collection}"`;
  const work = parts.session.transaction(
    async (transaction) => {
      const settled = await revised(parts, collection, write, guarded, transaction);
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
  return work.catch((error: unknown) => {
    throw asConflict(collection, error);
  });
}

/** Somebody else has inserted this very key between our look and our insert: the next try updates it. */
function asConflict(collection: CatalogCollection, error: unknown): unknown {
  if (!isChangeoverError(error, 'STORE_REJECTED') || errnoOf(error) !== DUPLICATE_KEY) return error;
  const index = String(error.data['constraint'] ?? '');
  const { name, keyIndex } = collection.root;
  // MariaDB names the index, MySQL the table and the index; a child's index of the same name is told from it only there.
  if (
    collection.children.length > 0 ||
    (index !== keyIndex.name && index !== `${name}.${keyIndex.name}`)
  )
    return error;
  return new ChangeoverError('STORE_CONFLICT', error.message, { data: error.data });
}

/**
 * The write with the record that its `revise` makes of the present one, read under the key's lock and, for writers that do not know that
 * lock, the root's. One more round trip. What was entered and locked here is held until the end, so doing it again costs nothing.
 */
async function revised(
  parts: MysqlStoreParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
  transaction: MysqlTransaction,
): Promise<AuthorityWrite> {
  const revises = write.revise !== undefined && write.action !== 'delete';
  if (!revises && write.check === undefined) return write;
  const before = [
    entrance(parts, write, guarded),
    ...(guarded ? keyStatements(parts, collection, write.key) : []),
    lockRoot(collection, write.key),
  ];
  const results = await transaction.run([...before, ...readStatements(collection, [write.key])]);
  if (!guarded && results[0]?.rows[0]?.[0] !== null) throw setUpMeanwhile();
  const rows = results.slice(before.length);
  const current = (await readRecords(transaction.run, collection, [write.key], rows))[0] ?? null;
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
  readonly statements: readonly string[];
  readonly intentAt: number;
  /** Of a delete: the root's key, as it is spelled. */
  readonly lockedAt: number;
  readonly rowsAt: number;
  readonly rows: readonly WriteStatement[];
  readonly journalAt: number;
  readonly readAt: number;
}

function planOf(
  parts: MysqlStoreParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
): Plan {
  const { layout } = parts;
  const statements: string[] = [entrance(parts, write, guarded)];
  let intentAt = -1;
  let lockedAt = -1;
  let journalAt = -1;
  if (typeof write.journal === 'object') {
    intentAt = statements.length;
    statements.push(consume(layout.queue, write.journal.intent));
  }
  const numbered = write.journal !== 'none' && write.journal !== 'log';
  if (numbered) statements.push(...keyStatements(parts, collection, write.key));
  const addJournal = (): void => {
    if (!numbered) return;
    journalAt = statements.length;
    statements.push(journalStatement(layout, collection, write));
    if (write.journal !== 'change') statements.push(forgetNumber(layout));
  };
  if (write.action === 'delete') {
    lockedAt = statements.length;
    statements.push(lockRoot(collection, write.key));
    addJournal();
  }
  const rows = rowStatements(collection, write);
  const rowsAt = statements.length;
  statements.push(...rows.map(({ text }) => text));
  if (write.action !== 'delete') addJournal();
  const readAt = statements.length;
  if (write.action !== 'delete') statements.push(...readStatements(collection, [write.key]));
  return { statements, intentAt, lockedAt, rowsAt, rows, journalAt, readAt };
}

function entrance(
  { layout }: MysqlStoreParts,
  { journal, epoch }: AuthorityWrite,
  guarded: boolean,
): string {
  if (!guarded) return presenceQuery(layout);
  // Unjournalled writes only where nobody follows: a process that still believes in `off` is refused, and loses nothing.
  return journal === 'none'
    ? enterStatement(layout, 'idle', epoch)
    : enterStatement(layout, 'authority', epoch, true);
}

/** An intent that a healer has claimed can no longer be consumed: the healer may have read the key as it was before this write. */
function consume(queue: string, intent: bigint): string {
  return `DELETE FROM ${queue} WHERE id = ${intent} AND kind = 'intent' AND claimed_by IS NULL AND dead_at IS NULL`;
}

/** Locks the key, and tells the outbox triggers whose change this is. */
function keyStatements(
  { layout }: MysqlStoreParts,
  collection: CatalogCollection,
  key: Key,
): readonly string[] {
  const own =
    ownRecordPrefix(collection.collection) + encodeKey(spelledKey(collection.root.key, key));
  return [
    `SELECT slot FROM ${layout.keyLock} WHERE slot = ${keySlot(collection, key, KEY_LOCK_SLOTS)} FOR UPDATE`,
    `SET ${RECORD_VARIABLE} = ${quoteLiteral(own)}`,
  ];
}

async function fly(
  parts: MysqlStoreParts,
  collection: CatalogCollection,
  write: AuthorityWrite,
  guarded: boolean,
  transaction: MysqlTransaction,
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
  const rows = results.slice(plan.readAt);
  const record =
    write.action === 'delete'
      ? null
      : ((await readRecords(transaction.run, collection, [write.key], rows))[0] ?? null);
  if (record !== null) checkRows(collection, plan, results);
  const spelled = spelledKey(collection.root.key, write.key);
  const locked = results[plan.lockedAt]?.rows[0];
  const key =
    record !== null
      ? keyOfRow(collection, record as Row)
      : ((locked?.slice(0, spelled.length) as Key | undefined) ?? spelled);
  const journal = results[plan.journalAt];
  const id = journal === undefined || journal.count === 0 ? null : journal.insertId;
  // Fail-closed: the follower has it before this commits, so no entry is left to be completed.
  const journalId = write.journal === 'change' ? id : null;
  // The row spells its key otherwise: so does its entry.
  const text = encodeKey(key);
  if (journalId !== null && text !== encodeKey(spelled)) {
    await transaction.run([
      `UPDATE ${parts.layout.queue} SET key_text = ${quoteLiteral(text)} WHERE id = ${journalId}`,
    ]);
  }
  const version = id === null ? null : { epoch: write.epoch, sequence: id };
  return { key, record, version, journalId };
}

function checkRows(collection: CatalogCollection, plan: Plan, results: readonly SqlResult[]): void {
  plan.rows.forEach(({ rows, about }, index) => {
    if (rows === null) return;
    const found = Number(results[plan.rowsAt + index]?.rows[0]?.[0] ?? 0);
    if (rows === found) return;
    throw new ChangeoverError(
      'STORE_REJECTED',
      `write to "${collection.collection}": ${about} (${rows} rows given, ${found} written).`,
      { data: { collection: collection.collection, given: rows, written: found } },
    );
  });
}
