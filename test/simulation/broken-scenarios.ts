import type { MigrationContext } from '../../src/control/index.ts';
import type { Side } from '../../src/migration/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import type { PlanStep, Scenario } from './scenario.ts';
import type { Defect } from './world.ts';

/** A system with one deliberate defect, in a world that lets it hurt. */
export interface BrokenVariant {
  readonly name: string;
  readonly defect: Defect;
}

/** Steps of a plan. */
export const step = {
  wait: (ms: number): PlanStep => ({ type: 'wait', ms }),
  start: { type: 'start' } as const,
  advance: (to: 'backfill' | 'shadow-read' | 'read-switch'): PlanStep => ({ type: 'advance', to }),
  dial: (basisPoints: number): PlanStep => ({ type: 'dial', basisPoints }),
  switchTo: (to: Side): PlanStep => ({ type: 'switch', to }),
};

export const toReads: readonly PlanStep[] = [
  step.wait(50),
  step.start,
  step.wait(50),
  step.advance('backfill'),
  step.wait(50),
  step.advance('shadow-read'),
  step.advance('read-switch'),
];

/** Short plan with one change of authority after the other. */
export const switching: Partial<Scenario> = {
  plan: [
    ...toReads,
    step.dial(5_000),
    step.wait(100),
    step.switchTo('target'),
    step.wait(400),
    step.switchTo('source'),
    step.wait(300),
    step.advance('read-switch'),
    step.switchTo('target'),
    step.wait(300),
  ],
  thinkMs: 8,
};

/** Much is deleted and created while it is copied, in long chunks. */
export const copying: Partial<Scenario> = {
  plan: [
    step.wait(20),
    step.start,
    step.wait(20),
    step.advance('backfill'),
    step.wait(100),
    step.advance('shadow-read'),
    step.wait(200),
  ],
  keys: 8,
  chunkRows: 8,
  deleteShare: 0.5,
  readShare: 0.05,
  thinkMs: 6,
};

export const writing: Partial<Scenario> = { ...copying, keys: 3, chunkRows: 2 };

type StorePatch = (store: MigrationStore, side: Side) => MigrationStore;

/** Every store of a process, patched. */
export function withStores(context: MigrationContext, patch: StorePatch): MigrationContext {
  const { source, target } = context.stores;
  return {
    ...context,
    stores: { source: patch(source, 'source'), target: patch(target, 'target') },
  };
}
