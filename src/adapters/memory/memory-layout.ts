import type { LogCheckpoint } from '../../log/index.ts';
import type { Shape, Side } from '../../migration/index.ts';
import type { Row } from '../../record/index.ts';
import type { GuardState } from '../../store/index.ts';
import { type TableRef, tableRef } from './memory-table.ts';

/** One queue entry. Row id: its id. */
export interface QueueRow {
  readonly id: bigint;
  readonly collection: string;
  /** Encoded. */
  readonly key: string;
  readonly kind: 'change' | 'intent';
  readonly attempts: number;
  readonly enqueuedAtMs: number;
  readonly dueAtMs: number;
  readonly leaseUntilMs: number;
  /** Once claimed, an intent can never be consumed by its owner again. */
  readonly claimed: boolean;
  readonly error: string;
  readonly dead: { readonly reason: string; readonly diedAtMs: number } | null;
}

/** Highest version let in. Row id: collection and encoded key. */
export interface FenceRow {
  readonly epoch: number;
  readonly sequence: bigint;
  readonly deleted: boolean;
}

/** A backfill chunk. Row id: collection and chunk number. */
export interface ChunkRow {
  readonly collection: string;
  readonly chunk: number;
  /** Encoded keys; null: no bound. */
  readonly after: string | null;
  readonly until: string | null;
  readonly owner: string;
  readonly attempt: number;
  readonly state: 'in flight' | 'done' | 'abandoned';
}

/** What our triggers on one table of the data do. Row id: the table's name. */
export interface TriggerRow {
  /** null: the guard trigger is disabled. */
  readonly guardEpoch: number | null;
  /** Journalled writes of this epoch are let in, too: the new authority of an attempt that has not committed. */
  readonly admitsOwn?: boolean;
  /** Sabotage `guard-admits-marked`. */
  readonly lax?: boolean;
  /** Collections whose changes are captured by trigger. */
  readonly captured: readonly string[];
}

/** A foreign session that wrote to a table of the follower. Row id: client and table. */
export interface RogueRow {
  readonly table: string;
  readonly user: string;
  readonly atMs: number;
}

/** Names of everything of ours in one database. */
export interface MemoryLayout {
  readonly schema: string;
  readonly guard: TableRef<GuardState>;
  readonly queue: TableRef<QueueRow>;
  readonly fences: TableRef<FenceRow>;
  readonly chunks: TableRef<ChunkRow>;
  readonly triggers: TableRef<TriggerRow>;
  readonly rogues: TableRef<RogueRow>;
  /** How far this store has come in the streams that it follows. Row id: the stream's name. */
  readonly checkpoints: TableRef<LogCheckpoint>;
  /** Source of entry ids and versions. */
  readonly sequence: string;
}

/** Row id of the one row in `guard`. */
export const guardRowId = 'guard';

export function memoryLayout(migration: string, side: Side): MemoryLayout {
  const schema = `changeover_${migration}_${side}`;
  return {
    schema,
    guard: tableRef(`${schema}.guard`),
    queue: tableRef(`${schema}.queue`),
    fences: tableRef(`${schema}.fence`),
    chunks: tableRef(`${schema}.chunk`),
    triggers: tableRef(`${schema}.trigger`),
    rogues: tableRef(`${schema}.rogue`),
    checkpoints: tableRef(`${schema}.log_checkpoint`),
    sequence: `${schema}.entry_id`,
  };
}

export function rootTable(shape: Shape): TableRef<Row> {
  return tableRef(shape.table);
}

/** Root and child tables of a shape. */
export function tablesOf(shape: Shape): readonly string[] {
  return [shape.table, ...Object.values(shape.children ?? {}).map((child) => child.table)];
}

export const fenceId = (collection: string, key: string): string => `${collection} ${key}`;
export const chunkId = (collection: string, chunk: number): string => `${collection} ${chunk}`;
export const rowLock = (table: string, id: string): string => `row ${table} ${id}`;
export const tableLock = (table: string): string => `table ${table}`;
/** The per-key advisory lock of the authority. */
export const keyLock = (layout: MemoryLayout, collection: string, key: string): string =>
  `key ${layout.schema} ${collection} ${key}`;
export const guardLock = (layout: MemoryLayout): string => `guard ${layout.schema}`;
