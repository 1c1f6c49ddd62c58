import { ChangeoverError } from '../../errors/index.ts';
import type { MigrationStore, StoreCapabilities, StoreConnector } from '../../store/index.ts';
import { createMemoryChangeSource } from './memory-change-source.ts';
import { MemoryDatabase } from './memory-database.ts';
import { createMemoryDigests } from './memory-digest.ts';
import { createMemoryDoor } from './memory-door.ts';
import { createMemoryGuard } from './memory-guard.ts';
import { memoryLayout } from './memory-layout.ts';
import { createMemoryLogDoor } from './memory-log-door.ts';
import { createMemoryModified } from './memory-modified.ts';
import { createMemoryQueue } from './memory-queue.ts';
import { createMemoryRecordStore } from './memory-record-store.ts';
import { createMemoryRogues } from './memory-rogues.ts';
import type { MemorySession } from './memory-session.ts';
import { createMemorySetup } from './memory-setup.ts';
import { createMemorySnapshots } from './memory-snapshot.ts';
import type { Sabotage } from './sabotage.ts';

/** What memory stores can do. */
export const memoryCapabilities: StoreCapabilities = {
  supportsTransactions: true,
  supportsGuard: true,
  supportsTriggerOutbox: true,
  supportsCopyStream: false,
  batchMax: 1000,
};

export interface MemoryStoreOptions {
  /** The data; default: a new empty database. Routers and workers that share it see one another. */
  readonly database?: MemoryDatabase;
  /** Name of the client process in steps and commits. Default `client`. */
  readonly client?: string;
  /** False: no guard triggers, so writers that do not look at the guard row are not refused. Default true. */
  readonly supportsGuard?: boolean;
  /** Deliberate defects for tests. Default none. */
  readonly sabotage?: readonly Sabotage[];
}

/** A store in this process: not durable, not for production. Same algorithms as the real adapters. */
export function memoryStore(
  options: MemoryStoreOptions = {},
): StoreConnector & { readonly database: MemoryDatabase } {
  const database = options.database ?? new MemoryDatabase();
  return {
    engine: 'memory',
    display: `memory:${database.label}`,
    database,
    async connect(context) {
      let closed = false;
      const session: MemorySession = {
        database,
        context,
        layout: memoryLayout(context.migration, context.side),
        client: options.client ?? 'client',
        sabotage: new Set(options.sabotage),
        supportsGuard: options.supportsGuard ?? true,
        assertOpen() {
          if (closed) throw new ChangeoverError('CLOSED', 'This memory store was closed.');
        },
      };
      const records = createMemoryRecordStore(session);
      const store: MigrationStore = {
        side: context.side,
        engine: 'memory',
        capabilities: { ...memoryCapabilities, supportsGuard: session.supportsGuard },
        records: { ...records, digests: createMemoryDigests(session, records.scan) },
        door: {
          ...createMemoryDoor(session, memoryCapabilities.batchMax),
          log: createMemoryLogDoor(session),
        },
        log: createMemoryChangeSource(session),
        queue: createMemoryQueue(session),
        guard: createMemoryGuard(session),
        setup: createMemorySetup(session),
        rogues: createMemoryRogues(session),
        modified: createMemoryModified(session, createMemoryRecordStore(session)),
        snapshots: createMemorySnapshots(session),
        pressure: { activeConnections: async () => database.openTransactions().length },
        async close() {
          closed = true;
        },
      };
      return store;
    },
  };
}
