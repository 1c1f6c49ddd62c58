import type { MigrationContext } from '../control/index.ts';

/**
 * One process at a time does a piece of background work: a memo with a holder and an end. It is for peace, so that two workers do not compare the same; what they would write
 * is safe either way, so clocks that differ do no harm.
 */
export interface WorkLease {
  /** True while this process has it; renews it when half of it is gone. */
  hold(): Promise<boolean>;
  /** Lets another one begin at once. Never throws. */
  release(): Promise<void>;
}

export function createWorkLease(
  { control, migration, runtime: { clock }, instance }: MigrationContext,
  work: string,
  leaseMs: number,
): WorkLease {
  const name = `lease ${work}`;
  let untilMs = Number.NEGATIVE_INFINITY;
  return {
    async hold() {
      const now = clock.now();
      if (untilMs - now > leaseMs / 2) return true;
      const memo = await control.memos.read(migration.name, name);
      const { holder, untilMs: taken } = (memo?.body ?? {}) as Partial<Held>;
      // One that ends later than any can was written by a clock that was ahead: it would stand in everybody's way for as long.
      const held = (taken ?? 0) > now && (taken ?? 0) <= now + leaseMs;
      if (holder !== undefined && holder !== instance && held) return false;
      const body: Held = { holder: instance, untilMs: now + leaseMs };
      const ours = await control.memos.write(migration.name, name, { ...body }, memo?.version ?? 0);
      untilMs = ours ? body.untilMs : Number.NEGATIVE_INFINITY;
      return ours;
    },
    async release() {
      if (untilMs === Number.NEGATIVE_INFINITY) return;
      untilMs = Number.NEGATIVE_INFINITY;
      try {
        const memo = await control.memos.read(migration.name, name);
        if ((memo?.body as Partial<Held> | undefined)?.holder !== instance) return;
        await control.memos.write(migration.name, name, { untilMs: 0 }, memo?.version ?? 0);
      } catch {
        // It ends by itself.
      }
    },
  };
}

interface Held {
  readonly holder: string;
  readonly untilMs: number;
}
