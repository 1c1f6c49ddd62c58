import type { BackfillOptions } from './backfill-options.ts';
import type { BackfillScope } from './backfill-scope.ts';
import type { ThrottleCheck } from './throttle.ts';

/** The follower's indexes during one run. */
export interface IndexDeferral {
  /** The key is down: no live change gets in, on purpose. */
  readonly keyless: boolean;
  /** Takes down what may be taken down; a follower that is not empty keeps all it has. */
  begin(): Promise<void>;
  /** Makes everything again, also what an earlier run with other options took down. */
  end(): Promise<void>;
}

/** Lifecycle: begin → copy → end; a run that died in between is followed by one that finds the indexes still down, and ends them. */
export function createIndexDeferral(
  { follower, collection }: Pick<BackfillScope, 'follower' | 'collection'>,
  wanted: NonNullable<BackfillOptions['deferIndexes']>,
): IndexDeferral {
  const { setup } = follower;
  let keyless = false;
  return {
    get keyless() {
      return keyless;
    },
    async begin() {
      if (wanted === 'none' || collection.failureMode === 'fail-closed') return;
      keyless = (await setup.deferIndexes?.(collection.name, wanted))?.key ?? false;
    },
    async end() {
      await setup.restoreIndexes?.(collection.name);
      keyless = false;
    },
  };
}

/** The check, silent about waiting changes while it is the copy that makes them wait. */
export function besideDeferral(
  check: ThrottleCheck,
  deferral: Pick<IndexDeferral, 'keyless'>,
): ThrottleCheck {
  if (check.ofWaiting !== true) return check;
  return { ...check, ask: () => (deferral.keyless ? { ok: true } : check.ask()) };
}
