import type { Shape, Side } from '../../migration/index.ts';
import { type DataRecord, encodeKey, type Key } from '../../record/index.ts';
import { AggregateWriter, splitRecord } from './memory-aggregates.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { memoryLayout } from './memory-layout.ts';
import type { MemoryTransaction, SessionMark } from './memory-transaction.ts';

/** A program that writes to the tables without the library: no key lock, no guard row, only what the database itself does. */
export interface MemoryForeignWriter {
  /** Insert or update; given children replace theirs. Rejects with AUTHORITY_FENCED where the guard trigger refuses. */
  put(collection: string, key: Key, record: DataRecord): Promise<void>;
  delete(collection: string, key: Key): Promise<void>;
}

export interface ForeignWriterOptions {
  readonly database: MemoryDatabase;
  readonly migration: string;
  readonly side: Side;
  readonly shapes: ReadonlyMap<string, Shape>;
  readonly client: string;
  /** null: it says nothing of itself. */
  readonly mark: SessionMark | null;
  readonly timeoutMs?: number;
}

export function memoryForeignWriter(options: ForeignWriterOptions): MemoryForeignWriter {
  const { database, client, mark, timeoutMs } = options;
  const layout = memoryLayout(options.migration, options.side);
  const write = (
    collection: string,
    work: (transaction: MemoryTransaction, writer: AggregateWriter, shape: Shape) => Promise<void>,
  ): Promise<void> => {
    const shape = options.shapes.get(collection)!;
    return database.transaction({ client, mark, timeoutMs }, (transaction) =>
      work(
        transaction,
        new AggregateWriter(transaction, layout, collection, shape, database.constraints),
        shape,
      ),
    );
  };
  return {
    put: (collection, key, record) =>
      write(collection, async (transaction, writer, shape) => {
        const id = encodeKey(key);
        const { root, children } = splitRecord(shape, id, record);
        await transaction.statement('foreign/put-root', () => writer.upsertRoot(id, root));
        await transaction.statement('foreign/put-children', async () => {
          await writer.deleteChildren(id, children);
          await writer.upsertChildren(id, children);
        });
      }),
    delete: (collection, key) =>
      write(collection, async (transaction, writer) => {
        const id = encodeKey(key);
        await transaction.statement('foreign/lock-root', () => writer.lockRoot(id));
        await transaction.statement('foreign/delete-children', () => writer.deleteChildren(id));
        await transaction.statement('foreign/delete-root', () => writer.deleteRoot(id));
      }),
  };
}
