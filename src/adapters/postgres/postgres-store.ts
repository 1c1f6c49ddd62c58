import type {
  MigrationStore,
  StoreCapabilities,
  StoreConnector,
  StoreContext,
} from '../../store/index.ts';
import { createPostgresCatalog } from './postgres-catalog.ts';
import { createPostgresChangeQueue } from './postgres-change-queue.ts';
import { createPostgresChangeSource } from './postgres-change-source.ts';
import { displayAddress, type PostgresOptions } from './postgres-connections.ts';
import { registerCopyReader } from './postgres-copy.ts';
import { isKeyDeferred } from './postgres-deferred.ts';
import { describePostgresTables } from './postgres-describe.ts';
import { createPostgresDoor } from './postgres-door.ts';
import { postgresGrants } from './postgres-grants.ts';
import { createPostgresGuard } from './postgres-guard.ts';
import { createPostgresModified } from './postgres-modified.ts';
import { createPostgresPresence } from './postgres-presence.ts';
import { createPostgresPressure } from './postgres-pressure.ts';
import { createPostgresRecordStore } from './postgres-record-store.ts';
import { tryReplication } from './postgres-replication.ts';
import { createPostgresRogues } from './postgres-rogues.ts';
import { postgresLayout } from './postgres-schema.ts';
import { openPostgresSession } from './postgres-session.ts';
import { createPostgresSetup } from './postgres-setup.ts';
import { createPostgresSnapshots } from './postgres-snapshot.ts';
import { createPostgresSurvey } from './postgres-survey.ts';

const capabilities: StoreCapabilities = {
  supportsTransactions: true,
  supportsGuard: true,
  supportsTriggerOutbox: true,
  supportsCopyStream: true,
  batchMax: 1_000,
};

/**
 * A PostgreSQL database (14 or newer) as one side of a migration. Nothing is contacted before the first use; tables are looked up
 * then, by the names in the shapes. Throws CONFIG_INVALID at once for a url that is none.
 *
 * @example source: postgres({ url: process.env.LEGACY_URL })
 */
export function postgres(options: PostgresOptions): StoreConnector {
  const display = displayAddress(options);
  return {
    engine: 'postgres',
    display,
    connect: async (context) => openPostgresStore(options, context),
    describeTables: (runtime, wanted) => describePostgresTables(options, runtime, wanted),
    grants: (plan) => postgresGrants(options, plan),
  };
}

function openPostgresStore(options: PostgresOptions, context: StoreContext): MigrationStore {
  const layout = postgresLayout(context.migration, context.side);
  const session = openPostgresSession(options, context.runtime, layout.schema);
  const catalog = createPostgresCatalog(session, context.shapes, (collection) =>
    isKeyDeferred(session, layout, collection),
  );
  const presence = createPostgresPresence(session, layout);
  const logged = context.logged ?? new Set<string>();
  const probeLog = (): Promise<void> => tryReplication(options);
  const pooler = options.pooler ?? false;
  const parts = { session, catalog, layout, presence, logged, probeLog, pooler };
  const guard = createPostgresGuard(parts);
  const log = logged.size > 0 ? createPostgresChangeSource(parts, options) : null;
  const store: MigrationStore = {
    side: context.side,
    engine: 'postgres',
    capabilities,
    records: createPostgresRecordStore(parts),
    door: createPostgresDoor(parts),
    queue: createPostgresChangeQueue(session, layout, presence, catalog),
    guard: {
      ...guard,
      async read() {
        try {
          return await guard.read();
        } catch (error) {
          if (!presence.isMissing(error)) throw error;
          // "Not installed" is one of the meanings of idle.
          return { role: 'idle', epoch: 0, attempt: null };
        }
      },
    },
    setup: createPostgresSetup(parts),
    ...(log === null ? {} : { log }),
    snapshots: createPostgresSnapshots(parts, log),
    pressure: createPostgresPressure(session),
    modified: createPostgresModified(parts),
    survey: createPostgresSurvey(parts),
    rogues: createPostgresRogues(parts, presence),
    close: () => session.close(),
  };
  registerCopyReader(store, { session, catalog });
  return store;
}
