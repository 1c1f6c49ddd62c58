import { createHash } from 'node:crypto';
import type { Side } from '../../migration/index.ts';
import { FENCED_SQLSTATE } from './mysql-errors.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

/** Raised with every change of the tables or procedures below that older code cannot work with. */
export const SCHEMA_FORMAT = 2;

const IDENTIFIER_MAX = 64;
/** Keys up to so many bytes are indexed as they are, longer ones by their digest. */
const KEY_ID_MAX = 200;
/** Rows of `key_lock`: a key is locked by the row `CRC32(…) % KEY_LOCK_SLOTS`. */
export const KEY_LOCK_SLOTS = 4_096;
/** Rows of `gate`. */
export const GATE_SLOTS = 64;

/** What stands in `RECORD_VARIABLE` before the encoded key; a key begins with `[`. */
export const ownRecordPrefix = (collection: string): string => `${collection} `;

/** Names of our objects in one store: a database of our own. Everything but `database` is quoted and qualified. */
export interface MysqlLayout {
  readonly migration: string;
  readonly side: Side;
  /** Bare name of our database. */
  readonly database: string;
  readonly quotedDatabase: string;
  readonly meta: string;
  /** One row: `role`, `epoch`, `attempt`. */
  readonly guard: string;
  /** One row: `open`, 1 while foreign writes are let in. See `mysql-guard`. */
  readonly admission: string;
  /** `collection`, `key_id` (`fenceId`), `key_text`, `epoch`, `sequence`, `deleted`. */
  readonly fence: string;
  readonly chunk: string;
  /** Door transactions share one row each; a chunk that begins takes them all once: see `mysql-gates`. */
  readonly gate: string;
  /** Journal, outbox, retries, dead letters. `id` is the AUTO_INCREMENT number from which all versions are drawn. */
  readonly queue: string;
  /** `slot` 0 … KEY_LOCK_SLOTS - 1: locks of keys. */
  readonly keyLock: string;
  /** `stream`, `identity`, `sequence`, `position`, `skip`. */
  readonly logCheckpoint: string;
  /** What `challenge` writes: `token`. */
  readonly challenge: string;
  /** Records that foreign keys change by themselves: `id`, `collection`, `key_text`. See `mysql-touch-triggers`. */
  readonly touched: string;
  /** Notes of foreign writes; see `mysql-rogues`. */
  readonly rogue: string;
  /** `CALL enter(role, epoch, idle_too)`: shares the guard row until the end of the transaction, then that role (or `idle`) and that epoch, else SQLSTATE CO001. */
  readonly enter: string;
  /** Name of a trigger of ours on a table, bare: triggers live in their table's database, and names are unique in all of it. `maker` tells apart those of several attempts. */
  triggerName(kind: TriggerKind, table: string, event: TriggerEvent, maker?: string): string;
}

/** `touch` and `moved`: what foreign keys do by themselves, before and after it; `rogue`: notes who is not the door. */
export type TriggerKind = 'guard' | 'capture' | 'touch' | 'moved' | 'rogue';
export type TriggerEvent = 'INSERT' | 'UPDATE' | 'DELETE';

/** `changeover_<migration>_<side>`, shortened with a digest where it would be too long. */
export function databaseName(migration: string, side: Side): string {
  return fitted(`changeover_${migration}_${side}`);
}

export function mysqlLayout(migration: string, side: Side): MysqlLayout {
  const database = databaseName(migration, side);
  const quotedDatabase = quoteIdentifier(database);
  const own = (name: string): string => `${quotedDatabase}.${quoteIdentifier(name)}`;
  return {
    migration,
    side,
    database,
    quotedDatabase,
    meta: own('meta'),
    guard: own('guard'),
    admission: own('admission'),
    fence: own('fence'),
    chunk: own('chunk'),
    gate: own('gate'),
    queue: own('queue'),
    keyLock: own('key_lock'),
    logCheckpoint: own('log_checkpoint'),
    challenge: own('challenge'),
    touched: own('touched'),
    rogue: own('rogue'),
    enter: own('enter'),
    triggerName: (kind, table, event, maker) =>
      fitted(`${database}_${kind}_${event}_${table}${maker === undefined ? '' : `_${maker}`}`),
  };
}

function fitted(name: string): string {
  if (name.length <= IDENTIFIER_MAX) return name;
  return `${name.slice(0, IDENTIFIER_MAX - 11)}_${digest(name).slice(0, 10)}`;
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What stands in `key_id` for an encoded key: the key itself, or `#` and the SHA-256 of a long one; a key begins with `[`. */
export function keyId(encodedKey: string): string {
  return Buffer.byteLength(encodedKey) <= KEY_ID_MAX ? encodedKey : `#${digest(encodedKey)}`;
}

/** The same in SQL, for an expression that gives the encoded key. */
export function keyIdSql(expression: string): string {
  return `IF(LENGTH(${expression}) <= ${KEY_ID_MAX}, ${expression}, CONCAT('#', SHA2(${expression}, 256)))`;
}

/** Enters as the authority or the follower: first statement of own writes and door transactions. */
export function enterStatement(
  layout: MysqlLayout,
  role: 'authority' | 'follower' | 'idle',
  epoch: number,
  idleToo = false,
): string {
  return `CALL ${layout.enter}('${role}', ${Math.trunc(epoch)}, ${idleToo ? 1 : 0})`;
}

const TABLE_OPTIONS =
  'ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin';
const COLLECTION = 'collection varchar(190) NOT NULL';

/**
 * Our database and its tables. Each statement is idempotent; DDL commits by itself, so `install` runs them under a lock of its own.
 *
 * @param firstNumber where versions begin on this server, microseconds since 1970: a number below those of an earlier installation would be stale
 * at the other side's fences for ever
 */
export function tableStatements(layout: MysqlLayout, firstNumber: bigint): readonly string[] {
  const { quotedDatabase, meta, guard, fence, chunk, gate, queue, keyLock } = layout;
  return [
    `CREATE DATABASE IF NOT EXISTS ${quotedDatabase} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
    `CREATE TABLE IF NOT EXISTS ${meta} (
      one tinyint NOT NULL PRIMARY KEY,
      format int NOT NULL,
      migration text NOT NULL,
      side varchar(6) NOT NULL,
      installed_at datetime(6) NOT NULL
    ) ${TABLE_OPTIONS}`,
    `INSERT INTO ${meta} VALUES (1, ${SCHEMA_FORMAT}, ${quoteLiteral(layout.migration)}, ${quoteLiteral(layout.side)}, UTC_TIMESTAMP(6))
      ON DUPLICATE KEY UPDATE one = one`,
    // The cell that decides who may write; see src/store/guard.ts. Shared by those who are let in, locked by a change of role.
    `CREATE TABLE IF NOT EXISTS ${guard} (
      one tinyint NOT NULL PRIMARY KEY,
      role varchar(9) NOT NULL,
      epoch int NOT NULL,
      attempt text
    ) ${TABLE_OPTIONS}`,
    `INSERT INTO ${guard} VALUES (1, 'idle', 0, NULL) ON DUPLICATE KEY UPDATE one = one`,
    // What the guard's triggers share for foreign writers; only ever changed together with the guard's role. A row of its own: see docs/design/guard-row.md.
    `CREATE TABLE IF NOT EXISTS ${layout.admission} (
      one tinyint NOT NULL PRIMARY KEY,
      open tinyint NOT NULL
    ) ${TABLE_OPTIONS}`,
    `INSERT INTO ${layout.admission} VALUES (1, 1) ON DUPLICATE KEY UPDATE one = one`,
    // Highest version that the door has let in; see src/store/door.ts. key_text only where key_id is a digest.
    `CREATE TABLE IF NOT EXISTS ${fence} (
      ${COLLECTION},
      key_id varbinary(255) NOT NULL,
      epoch int NOT NULL,
      sequence bigint NOT NULL,
      deleted tinyint NOT NULL,
      key_text mediumtext,
      PRIMARY KEY (collection, key_id)
    ) ${TABLE_OPTIONS}`,
    // Backfill chunks; bounds are encoded keys, NULL: no bound.
    `CREATE TABLE IF NOT EXISTS ${chunk} (
      ${COLLECTION},
      chunk bigint NOT NULL,
      owner varchar(190) NOT NULL,
      attempt int NOT NULL,
      after_key mediumtext,
      until_key mediumtext,
      state varchar(9) NOT NULL,
      began_at datetime(6) NOT NULL,
      PRIMARY KEY (collection, chunk)
    ) ${TABLE_OPTIONS}`,
    slotTable(gate, GATE_SLOTS),
    slotRows(gate, GATE_SLOTS),
    slotTable(keyLock, KEY_LOCK_SLOTS),
    slotRows(keyLock, KEY_LOCK_SLOTS),
    // A set, not a log; see src/queue/change-queue.ts. due_at: visible to workers from then on; a claim moves it past its lease.
    `CREATE TABLE IF NOT EXISTS ${queue} (
      id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
      ${COLLECTION},
      key_text mediumtext NOT NULL,
      key_id varbinary(255) GENERATED ALWAYS AS (${keyIdSql('key_text')}) STORED,
      kind varchar(6) NOT NULL DEFAULT 'change',
      due_at datetime(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
      claimed_by varchar(190),
      attempts int NOT NULL DEFAULT 0,
      error text,
      enqueued_at datetime(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
      dead_at datetime(6),
      reason text,
      KEY queue_due (dead_at, due_at, id),
      KEY queue_key (collection, key_id, dead_at)
    ) ${TABLE_OPTIONS} AUTO_INCREMENT = ${firstNumber}`,
    // What the follower of a log has applied; see `LogDoor`.
    `CREATE TABLE IF NOT EXISTS ${layout.logCheckpoint} (
      stream varchar(190) NOT NULL PRIMARY KEY,
      identity text NOT NULL,
      sequence bigint NOT NULL,
      position text NOT NULL,
      skip bigint NOT NULL
    ) ${TABLE_OPTIONS}`,
    `CREATE TABLE IF NOT EXISTS ${layout.challenge} (
      token varchar(190) NOT NULL PRIMARY KEY
    ) ${TABLE_OPTIONS}`,
    // Who wrote here without being the door; see `mysql-rogues`.
    `CREATE TABLE IF NOT EXISTS ${layout.rogue} (
      connection bigint unsigned NOT NULL,
      minute bigint NOT NULL,
      table_name varchar(190) NOT NULL,
      operation varchar(6) NOT NULL,
      user_name varchar(190) NOT NULL,
      amount bigint NOT NULL,
      at datetime(6) NOT NULL,
      PRIMARY KEY (connection, minute, table_name, operation)
    ) ${TABLE_OPTIONS}`,
  ];
}

/** Rows that are only ever locked. */
function slotTable(table: string, slots: number): string {
  return `CREATE TABLE IF NOT EXISTS ${table} (slot int NOT NULL PRIMARY KEY COMMENT '0 to ${slots - 1}') ${TABLE_OPTIONS}`;
}

function slotRows(table: string, slots: number): string {
  const digits = `(SELECT 0 AS d ${Array.from({ length: 15 }, (_, digit) => `UNION ALL SELECT ${digit + 1}`).join(' ')})`;
  return `INSERT INTO ${table} (slot)
    SELECT n.slot FROM (SELECT a.d + 16 * b.d + 256 * c.d AS slot FROM ${digits} a, ${digits} b, ${digits} c) n
    WHERE n.slot < ${slots} AND NOT EXISTS (SELECT 1 FROM ${table} t)`;
}

/**
 * The check at the entrance of every own write and every door transaction. The locking read sees the row as it is when the lock is granted, under
 * every isolation level. Fails where the procedure exists: MySQL cannot replace one, and a moment without it would look like "not installed".
 */
export function enterProcedure(layout: MysqlLayout): string {
  return `CREATE PROCEDURE ${layout.enter}(wanted_role varchar(9), wanted_epoch int, idle_too tinyint)
SQL SECURITY INVOKER
BEGIN
  DECLARE now_role varchar(9);
  DECLARE now_epoch int;
  DECLARE refusal varchar(128);
  SELECT role, epoch INTO now_role, now_epoch FROM ${layout.guard} WHERE one = 1 LOCK IN SHARE MODE;
  IF NOT now_epoch <=> wanted_epoch OR NOT (now_role <=> wanted_role OR (idle_too AND now_role <=> 'idle')) THEN
    SET refusal = CONCAT('this store is ', COALESCE(now_role, 'nothing'), ' of epoch ', COALESCE(now_epoch, 0), ', not ', wanted_role, ' of epoch ', wanted_epoch);
    SIGNAL SQLSTATE '${FENCED_SQLSTATE}' SET MESSAGE_TEXT = refusal;
  END IF;
END`;
}
