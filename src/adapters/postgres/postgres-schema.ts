import { createHash } from 'node:crypto';
import type { Side } from '../../migration/index.ts';
import { FENCED_SQLSTATE } from './postgres-errors.ts';
import { checkpointTable } from './postgres-log-checkpoint.ts';
import { rogueTable } from './postgres-rogues.ts';
import { quoteIdentifier, quoteLiteral } from './postgres-text.ts';

/** Raised with every change of the tables or functions below that older code cannot work with. */
export const SCHEMA_FORMAT = 1;

const IDENTIFIER_MAX = 63;

/** Names of our objects in one store; quoted and schema-qualified where they are used in statements. */
export interface PostgresLayout {
  readonly migration: string;
  readonly side: Side;
  /** Bare name of our schema. */
  readonly schema: string;
  readonly quotedSchema: string;
  readonly meta: string;
  readonly guard: string;
  readonly fence: string;
  /** Its index of the deleted ones. */
  readonly fenceDeleted: string;
  readonly chunk: string;
  /** Where this store stands in the streams that it follows. */
  readonly logCheckpoint: string;
  readonly queue: string;
  /** Indexes that are taken down for a copy; see postgres-deferred.ts. */
  readonly deferred: string;
  /** Notes of foreign writes; see postgres-rogues.ts. */
  readonly rogue: string;
  /** The sequence of versions and queue ids. */
  readonly version: string;
  /** `enter(role, epoch, idle_too)`: shared role lock until the end of the transaction, then the check of the guard row: that role (or `idle`) and that epoch, else CO001. */
  readonly enter: string;
  /** Advisory lock id: shared by everything that the present role lets in, exclusive for a change of role. */
  readonly roleLock: bigint;
  /** `record_change(collection, key)`. */
  readonly recordChange: string;
  /** An object of a collection, e.g. `capture_orders`; quoted and qualified. Long names end in a digest. */
  object(prefix: string, collection: string): string;
  /** The same, bare (for triggers, which live in their table's schema). */
  bareName(prefix: string, collection: string): string;
  /** Seed that keeps the key locks of different collections apart. */
  keySeed(collection: string): bigint;
}

/** Setting that names the record which an own write journals by itself; the outbox triggers leave that one alone. */
export const OWN_RECORD = 'changeover.record';

/** What stands in `OWN_RECORD` before the encoded key; a key begins with `[`. */
export const ownRecordPrefix = (collection: string): string => `${collection} `;

/** `changeover_<migration>_<side>`, shortened with a digest where PostgreSQL would cut it off. */
export function schemaName(migration: string, side: Side): string {
  return fitted(`changeover_${migration}_${side}`);
}

export function postgresLayout(migration: string, side: Side): PostgresLayout {
  const schema = schemaName(migration, side);
  const quotedSchema = quoteIdentifier(schema);
  const own = (name: string): string => `${quotedSchema}.${quoteIdentifier(name)}`;
  const bareName = (prefix: string, collection: string): string =>
    fitted(`${prefix}_${collection}`);
  return {
    migration,
    side,
    schema,
    quotedSchema,
    meta: own('meta'),
    guard: own('guard'),
    fence: own('fence'),
    fenceDeleted: own('fence_deleted'),
    chunk: own('chunk'),
    logCheckpoint: own('log_checkpoint'),
    queue: own('queue'),
    deferred: own('deferred'),
    rogue: own('rogue'),
    version: own('version'),
    enter: own('enter'),
    recordChange: own('record_change'),
    roleLock: lockId(`${schema} role`),
    bareName,
    object: (prefix, collection) => own(bareName(prefix, collection)),
    keySeed: (collection) => lockId(`${schema} key ${collection}`),
  };
}

function fitted(name: string): string {
  const bytes = Buffer.from(name);
  if (bytes.length <= IDENTIFIER_MAX) return name;
  // Cut at a character, not inside one.
  const head = bytes
    .subarray(0, IDENTIFIER_MAX - 11)
    .toString()
    .replace(/\uFFFD+$/, '');
  return `${head}_${createHash('sha256').update(name).digest('hex').slice(0, 10)}`;
}

function lockId(name: string): bigint {
  return createHash('sha256').update(name).digest().readBigInt64BE(0);
}

/** Many small short-lived rows: dead ones have to go at once, or the claim scans them. */
const QUEUE_STORAGE = [
  'fillfactor = 80',
  'autovacuum_vacuum_scale_factor = 0.01',
  'autovacuum_vacuum_threshold = 500',
  'autovacuum_vacuum_cost_delay = 0',
  'autovacuum_analyze_scale_factor = 0.1',
].join(', ');

/** Tables of ours. Each statement is idempotent; `install` runs them in one transaction. */
export function tableStatements(layout: PostgresLayout): readonly string[] {
  const { schema, quotedSchema, meta, guard, fence, chunk, queue, version, deferred } = layout;
  const own = quoteLiteral(`changeover: migration ${layout.migration}, ${layout.side}`);
  return [
    `CREATE SCHEMA IF NOT EXISTS ${quotedSchema}`,
    `COMMENT ON SCHEMA ${quotedSchema} IS ${own}`,
    `CREATE TABLE IF NOT EXISTS ${meta} (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      format int NOT NULL,
      migration text NOT NULL,
      side text NOT NULL,
      installed_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`,
    `INSERT INTO ${meta} (format, migration, side)
      VALUES (${SCHEMA_FORMAT}, ${quoteLiteral(layout.migration)}, ${quoteLiteral(layout.side)})
      ON CONFLICT (one) DO NOTHING`,
    // The cell that decides who may write; see src/store/guard.ts. Read under the shared role lock, changed under the exclusive one.
    `CREATE TABLE IF NOT EXISTS ${guard} (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      role text NOT NULL CHECK (role IN ('idle', 'authority', 'follower', 'sealed')),
      epoch int NOT NULL CHECK (epoch >= 0),
      attempt text
    )`,
    `INSERT INTO ${guard} (role, epoch) VALUES ('idle', 0) ON CONFLICT (one) DO NOTHING`,
    // Highest version that the door has let in; see src/store/door.ts.
    `CREATE TABLE IF NOT EXISTS ${fence} (
      collection text COLLATE "C" NOT NULL,
      key text COLLATE "C" NOT NULL,
      epoch int NOT NULL,
      sequence bigint NOT NULL,
      deleted boolean NOT NULL,
      PRIMARY KEY (collection, key)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)`,
    // Each chunk asks whether anything was deleted; there may be a fence for every record.
    `CREATE INDEX IF NOT EXISTS fence_deleted ON ${fence} (collection) WHERE deleted`,
    // Backfill chunks; range bounds are key parts as text, NULL: no bound.
    `CREATE TABLE IF NOT EXISTS ${chunk} (
      collection text COLLATE "C" NOT NULL,
      chunk bigint NOT NULL,
      owner text NOT NULL,
      attempt int NOT NULL,
      after_key text[] COLLATE "C",
      until_key text[] COLLATE "C",
      state text NOT NULL CHECK (state IN ('in-flight', 'done', 'abandoned')),
      began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (collection, chunk)
    )`,
    `CREATE INDEX IF NOT EXISTS chunk_in_flight ON ${chunk} (collection) WHERE state = 'in-flight'`,
    checkpointTable(layout),
    // CACHE 1: a cached value would be drawn before the key is locked, and versions would no longer follow the commit order.
    `CREATE SEQUENCE IF NOT EXISTS ${version} AS bigint CACHE 1 NO CYCLE`,
    // A set, not a log; see src/queue/change-queue.ts. due_at: visible to workers from then on; a claim moves it past its lease.
    `CREATE TABLE IF NOT EXISTS ${queue} (
      id bigint PRIMARY KEY DEFAULT nextval(${quoteLiteral(`${quotedSchema}.version`)}),
      collection text COLLATE "C" NOT NULL,
      key text COLLATE "C" NOT NULL,
      kind text NOT NULL DEFAULT 'change' CHECK (kind IN ('change', 'intent')),
      due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      claimed_by text,
      attempts int NOT NULL DEFAULT 0,
      error text,
      enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      dead_at timestamptz,
      reason text
    ) WITH (${QUEUE_STORAGE})`,
    `CREATE INDEX IF NOT EXISTS queue_due ON ${queue} (due_at, id) WHERE dead_at IS NULL`,
    `CREATE INDEX IF NOT EXISTS queue_key ON ${queue} (key, collection)`,
    `CREATE INDEX IF NOT EXISTS queue_dead ON ${queue} (key, collection) WHERE dead_at IS NOT NULL`,
    // Indexes that are down while an empty table is filled; statements: what makes one again.
    `CREATE TABLE IF NOT EXISTS ${deferred} (
      collection text COLLATE "C" NOT NULL,
      name text NOT NULL,
      kind text NOT NULL CHECK (kind IN ('key', 'secondary')),
      table_name text NOT NULL,
      statements text[] NOT NULL,
      deferred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (collection, name)
    )`,
    rogueTable(layout),
    `REVOKE ALL ON ALL TABLES IN SCHEMA ${quoteIdentifier(schema)} FROM PUBLIC`,
  ];
}

/**
 * The check at the entrance of every own write and every door transaction. Inside a function under READ COMMITTED each statement has its own
 * snapshot, so the row that is read is the one after the lock was granted.
 */
export function enterFunction(layout: PostgresLayout): string {
  return `CREATE OR REPLACE FUNCTION ${layout.enter}(wanted_role text, wanted_epoch int, idle_too boolean)
RETURNS text LANGUAGE plpgsql VOLATILE AS $enter$
DECLARE
  now_role text;
  now_epoch int;
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(${layout.roleLock});
  SELECT role, epoch INTO now_role, now_epoch FROM ${layout.guard};
  IF now_epoch IS DISTINCT FROM wanted_epoch
    OR (now_role IS DISTINCT FROM wanted_role AND NOT (idle_too AND now_role = 'idle')) THEN
    RAISE EXCEPTION 'this store is % of epoch %, not % of epoch %', now_role, now_epoch, wanted_role, wanted_epoch
      USING ERRCODE = '${FENCED_SQLSTATE}';
  END IF;
  RETURN now_role;
END
$enter$`;
}
