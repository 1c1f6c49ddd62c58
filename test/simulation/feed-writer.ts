import { type MemoryForeignWriter, memoryForeignWriter } from '../../src/adapters/memory/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { routerTimes } from './ledger.ts';
import type { World } from './world.ts';

/** Writes past the library. */
export function feedWriter(
  world: World,
  client: string,
  side: Side,
  mark: { readonly kind: string; readonly epoch: number } | null,
): MemoryForeignWriter {
  const shapes = new Map(
    [...world.migration.collections.values()].map((one) => [one.name, one[side]] as const),
  );
  return memoryForeignWriter({
    database: world.databases[side],
    migration: world.migration.name,
    side,
    shapes,
    client,
    mark,
    timeoutMs: routerTimes.authorityTimeoutMs,
  });
}
