import { ChangeoverError } from '../../src/errors/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { step, toReads, withStores } from './broken-scenarios.ts';
import { calmNetwork, noFaults, roughNetwork, type Scenario } from './scenario.ts';
import type { Defect, World } from './world.ts';

/** How the reverse direction fails before the rescue, drawn from the seed. */
export type Breakage = 'refuses' | 'silent' | 'target-down';

/** What a seed makes of a rescue. */
export interface RescuePlan {
  readonly breakage: Breakage;
  /** From the failure of the reverse direction to the rescue. */
  readonly failingMs: number;
  readonly rough: boolean;
}

export function rescuePlanOf(seed: number): RescuePlan {
  const breakages: readonly Breakage[] = ['refuses', 'silent', 'target-down'];
  return {
    breakage: breakages[seed % 3] ?? 'refuses',
    failingMs: 100 + ((seed * 37) % 5) * 60,
    rough: seed % 2 === 0,
  };
}

/** To the write switch; what comes then is the rescuer's. */
export function rescueScenario(seed: number): Partial<Scenario> {
  const { rough } = rescuePlanOf(seed);
  const logged = seed % 4 === 3 ? (['items', 'orders', 'feed'] as const) : [];
  return {
    plan: [...toReads, step.dial(4_000), step.wait(60), step.switchTo('target'), step.wait(100)],
    refuseEvery: 0,
    operators: 1,
    coordinatorPauseRate: 0,
    coordinatorCrashRate: 0,
    rogue: false,
    direct: false,
    supportsGuard: true,
    logged,
    // Many keys: most of what is left behind is not written again before it is brought back.
    keys: seed % 5 < 3 ? 24 : 4,
    thinkMs: seed % 5 < 3 ? 25 : 12,
    readShare: 0.35,
    network: rough && logged.length === 0 ? { ...roughNetwork, inDoubtRate: 0.002 } : calmNetwork,
    faults: rough ? { ...noFaults, crashMs: 1_500, pauseMs: 1_200 } : noFaults,
    faultsHit: 'all',
  };
}

/** While `world.reverseIsBroken` says so, the source's door lets nothing in. */
export const withBreakage = (
  plan: RescuePlan,
  more?: Defect['wrap'],
): NonNullable<Defect['wrap']> => {
  return (context, kind, world) => {
    const broken = withStores(context, (store) =>
      store.side === 'source' ? withBrokenDoor(store, plan, world) : store,
    );
    return more ? more(broken, kind, world) : broken;
  };
};

/** A world whose reverse direction can be broken. */
export interface Breakable {
  reverseIsBroken: boolean;
}

function withBrokenDoor(store: MigrationStore, plan: RescuePlan, world: World): MigrationStore {
  const { door } = store;
  const broken = <A extends readonly unknown[], R>(work: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (!(world as World & Partial<Breakable>).reverseIsBroken) return work(...args);
      throw plan.breakage === 'refuses'
        ? new ChangeoverError('STORE_REJECTED', 'The source refuses everything.')
        : new ChangeoverError('STORE_UNAVAILABLE', 'The source takes nothing in.');
    };
  };
  const { log } = door;
  return {
    ...store,
    door: {
      ...door,
      apply: broken(door.apply),
      open: broken(door.open),
      ...(log ? { log: { ...log, apply: broken(log.apply) } } : {}),
    },
  };
}
