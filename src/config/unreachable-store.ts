import type { Side } from '../migration/index.ts';
import type { MigrationStore } from '../store/index.ts';

/**
 * Stands for a store whose shapes could not be looked up because it does not answer: every call fails with that error. Even if the store
 * comes back meanwhile nothing may work on it without its shapes (a guard would leave out child tables).
 */
export function unreachableStore(side: Side, engine: string, error: unknown): MigrationStore {
  const fails = <T extends object>(): T =>
    new Proxy({} as T, {
      get: (_, property) => (property === 'then' ? undefined : () => Promise.reject(error)),
    });
  return {
    side,
    engine,
    capabilities: {
      supportsTransactions: false,
      supportsGuard: false,
      supportsTriggerOutbox: false,
      supportsCopyStream: false,
      batchMax: 1,
    },
    records: fails(),
    door: fails(),
    queue: fails(),
    guard: fails(),
    setup: fails(),
    pressure: fails(),
    close: async () => {},
  };
}
