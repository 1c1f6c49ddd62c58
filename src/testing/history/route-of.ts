import { type MigrationState, routingTable } from '../../migration/index.ts';
import type { ReadOperation } from './history.ts';

/** Where a router sent a read without a segment that it carried out between these two answers of `router.state()`. */
export function routeOf(before: MigrationState, after: MigrationState): ReadOperation['route'] {
  const { phase, dialBasisPoints, version } = before;
  const undialled = routingTable[phase].reads === 'authority' || dialBasisPoints === 0;
  return undialled && after.version === version ? 'authority' : 'any';
}
