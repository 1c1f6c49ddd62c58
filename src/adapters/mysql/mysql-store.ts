import type {
  MigrationStore,
  StoreCapabilities,
  StoreConnector,
  StoreContext,
} from '../../store/index.ts';
import { createMysqlCatalog } from './mysql-catalog.ts';
import { createMysqlChangeQueue } from './mysql-change-queue.ts';
import { createMysqlChangeSource } from './mysql-change-source.ts';
import { describeMysqlTables } from './mysql-describe.ts';
import { createMysqlDoor } from './mysql-door.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { mysqlGrants } from './mysql-grants.ts';
import { createMysqlGuard } from './mysql-guard.ts';
import { createMysqlModified } from './mysql-modified.ts';
import { displayAddress, type MysqlOptions } from './mysql-options.ts';
import { createMysqlPresence } from './mysql-presence.ts';
import { createMysqlPressure } from './mysql-pressure.ts';
import { createMysqlRecordStore } from './mysql-record-store.ts';
import { createMysqlRogues } from './mysql-rogues.ts';
import { mysqlLayout } from './mysql-schema.ts';
import { openMysqlSession } from './mysql-session.ts';
import { createMysqlSetup } from './mysql-setup.ts';
import { createMysqlSnapshots } from './mysql-snapshot.ts';
import { createMysqlSurvey } from './mysql-survey.ts';
import { createMysqlTextSource } from './mysql-text-source.ts';

const capabilities: StoreCapabilities = {
  supportsTransactions: true,
  supportsGuard: true,
  supportsTriggerOutbox: true,
  supportsCopyStream: false,
  batchMax: 1_000,
};

/**
 * A MariaDB (10.6 or newer) or MySQL (8.0 or newer; written from its documentation, not run) database as one side of a migration. Tables have to be
 * InnoDB. Nothing is contacted before the first use; tables are looked up then, by the names in the shapes (`table` or
 * `database.table`). Throws CONFIG_INVALID at once for a url that is none.
 *
 * @example source: mysql({ url: process.env.LEGACY_URL })
 */
export function mysql(options: MysqlOptions): StoreConnector {
  return connector('mysql', options);
}

/** The same as `mysql`, for those who read the configuration: which of the two a server is, it says itself. */
export function mariadb(options: MysqlOptions): StoreConnector {
  return connector('mariadb', options);
}

function connector(engine: 'mysql' | 'mariadb', options: MysqlOptions): StoreConnector {
  return {
    engine,
    display: displayAddress(options),
    connect: async (context) => openMysqlStore(engine, options, context),
    describeTables: (runtime, wanted) => describeMysqlTables(options, runtime, wanted),
    grants: (plan) => mysqlGrants(options, plan),
  };
}

function openMysqlStore(
  engine: string,
  options: MysqlOptions,
  context: StoreContext,
): MigrationStore {
  const layout = mysqlLayout(context.migration, context.side);
  const session = openMysqlSession(options, context.runtime, layout.database);
  const catalog = createMysqlCatalog(session, context.shapes);
  const presence = createMysqlPresence(session, layout);
  const logged = context.logged ?? new Set<string>();
  const parts: MysqlStoreParts = { session, catalog, layout, presence, logged };
  const guard = createMysqlGuard(parts);
  const shapes = [...context.shapes].flatMap(([name, shape]) => (logged.has(name) ? [shape] : []));
  const collections = () => Promise.all([...logged].map((name) => catalog.collection(name)));
  return {
    side: context.side,
    engine,
    capabilities,
    records: createMysqlRecordStore(parts),
    door: createMysqlDoor(parts),
    queue: createMysqlChangeQueue(session, layout, presence, catalog),
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
    setup: createMysqlSetup(parts),
    log: createMysqlChangeSource({ options, session, layout, shapes, collections }),
    text: createMysqlTextSource(parts),
    snapshots: createMysqlSnapshots(parts),
    pressure: createMysqlPressure(session),
    modified: createMysqlModified(parts),
    survey: createMysqlSurvey(parts),
    rogues: createMysqlRogues(parts),
    close: () => session.close(),
  };
}
