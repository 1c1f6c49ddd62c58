import type { Fleet, Instance } from '../../control/index.ts';
import type { Clock } from '../../runtime/index.ts';
import type { MemoryControl } from './memory-control-store.ts';

type Call = <T>(label: string, run: () => T) => Promise<T>;

export function createMemoryFleet(control: MemoryControl, clock: Clock, call: Call): Fleet {
  return {
    heartbeat: (migration, instance, leaseMs) =>
      call('fleet/heartbeat', () => {
        const { instances } = control.of(migration);
        const before = instances.get(instance.id)?.acknowledgedVersion ?? 0;
        const now = clock.now();
        const next: Instance = {
          ...instance,
          acknowledgedVersion: Math.max(before, instance.acknowledgedVersion),
          lastSeenMs: now,
          leaseUntilMs: now + leaseMs,
        };
        instances.set(instance.id, next);
      }),
    list: (migration) =>
      call('fleet/list', () => ({
        nowMs: clock.now(),
        instances: [...control.of(migration).instances.values()],
      })),
    remove: (migration, id) =>
      call('fleet/remove', () => {
        control.of(migration).instances.delete(id);
      }),
  };
}
