import type { MigrationContext } from '../../src/control/index.ts';
import { applyEvent } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { resumeCutover, switchAuthority } from '../../src/cutover/index.ts';
import { isChangeoverError, messageOf } from '../../src/errors/index.ts';
import { demoProfile, gateTable } from '../../src/gates/index.ts';
import { authorityOf, type MigrationState, phaseOrder } from '../../src/migration/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import type { Ledger } from './ledger.ts';
import type { PlanStep } from './scenario.ts';
import type { Running, World } from './world.ts';

/** Tries of one step; then the operator goes on to the next, as people do. */
const triesMax = (world: World): number => (world.scenario.logged.length > 0 ? 16 : 8);

const act = { actor: 'operator@simulation', reason: 'the plan' } as const;

/** Where the plan stands, whoever carries it out. */
export class PlanProgress {
  at = 0;
  tries = 0;
  /** The last step was done or given up. */
  finished = false;
}

/** The operator: one step after the other, by looking at the state; a successor goes on where the predecessor died. */
export function operatorMain(world: World, ledger: Ledger, progress: PlanProgress) {
  return async (running: Running): Promise<void> => {
    const { clock } = running.runtime;
    const { plan } = world.scenario;
    for (let step = plan[progress.at]; step && !world.violation; step = plan[progress.at]) {
      const { at } = progress;
      let done = false;
      try {
        await attestDead(world, running.context);
        done = await carryOut(world, ledger, running, step);
      } catch (error) {
        world.say(`operator ${step.type}: ${messageOf(error).slice(0, 120)}`);
        judge(world, error);
      }
      // Another operator may have gone on meanwhile.
      if (progress.at !== at) continue;
      progress.tries += 1;
      if (done || progress.tries >= triesMax(world)) {
        progress.at += 1;
        progress.tries = 0;
      } else await clock.sleep(80);
    }
    progress.finished = true;
    await settle(world, running);
  };
}

/** Only the operator can know that a process is dead; here that is certain. */
async function attestDead(world: World, context: MigrationContext): Promise<void> {
  for (const name of [...world.dead]) {
    await context.control.fleet.remove(context.migration.name, name);
    world.dead.delete(name);
  }
}

async function carryOut(
  world: World,
  ledger: Ledger,
  running: Running,
  step: PlanStep,
): Promise<boolean> {
  const { context } = running;
  const controller = createController(context);
  const state = await context.control.load(context.migration.name);
  if (state.cutover !== null && step.type !== 'wait') {
    await resumeCutover(context, act);
    return false;
  }
  switch (step.type) {
    case 'wait':
      await running.runtime.clock.sleep(step.ms);
      return true;
    case 'start':
      // Two starts at once may take each other's log away: then both say so, and it has to be begun anew.
      if (running.role !== 'operator1') return state.phase !== 'off';
      if (state.phase === 'off') await controller.start(act);
      return true;
    case 'advance':
      return advance(world, running, state, step.to);
    case 'dial':
      if (state.phase === 'read-switch') {
        ledger.rolledBackAt = null;
        await controller.dial(step.basisPoints / 100, undefined, act);
        // Another operator may have gone back in between, and this has put it up again.
        ledger.rolledBackAt = null;
      }
      return true;
    case 'rollback':
      if (phaseOrder(state.phase) < phaseOrder(step.to)) return true;
      await controller.rollback({ ...act, to: step.to });
      ledger.rolledBackAt = world.now;
      return true;
    case 'switch':
      return changeAuthority(world, running, state, step.to);
  }
}

async function advance(
  world: World,
  running: Running,
  state: MigrationState,
  to: 'backfill' | 'shadow-read' | 'read-switch',
): Promise<boolean> {
  const { context } = running;
  if (phaseOrder(state.phase) >= phaseOrder(to)) return true;
  if (state.phase === 'off') return true;
  if (to !== 'backfill' && !(await backfillIsFinished(world, running))) return false;
  if (to === 'backfill' && !(await everyoneFollows(world, running, state))) return false;
  await applyEvent(context, { type: 'advance', to }, act, state.version);
  return true;
}

/**
 * Whoever believes in `off` writes to the source alone. Stores refuse that write; where they do not, only this gate keeps the copy from beginning before it
 * is over. It goes on without the gate elsewhere, so that the refusal is tried.
 */
async function everyoneFollows(
  world: World,
  { context }: Running,
  state: MigrationState,
): Promise<boolean> {
  if (world.scenario.supportsGuard) return true;
  const [gate] = gateTable.backfill;
  const input = {
    context,
    state,
    to: 'backfill',
    profile: demoProfile,
    requester: null,
    plan: '',
    lastDrill: async () => null,
  } as const;
  return (await gate?.evaluate(input))?.verdict === 'pass';
}

/** Waits for it, two seconds a try. */
async function backfillIsFinished(world: World, running: Running): Promise<boolean> {
  const { context, runtime } = running;
  for (let look = 0; look < 20 && !world.violation; look++) {
    let finished = true;
    for (const name of context.migration.collections.keys()) {
      const checkpoint = await context.control.checkpoint(context.migration.name, name);
      finished &&= checkpoint?.finishedAtMs != null;
    }
    if (finished) return true;
    await runtime.clock.sleep(100);
  }
  return false;
}

async function changeAuthority(
  world: World,
  running: Running,
  state: MigrationState,
  to: 'source' | 'target',
): Promise<boolean> {
  const { context } = running;
  if (authorityOf(state.phase) === to) return true;
  if (state.phase !== (to === 'target' ? 'read-switch' : 'write-switch')) return true;
  await switchAuthority(context, {
    to,
    phaseAfter: to === 'target' ? 'write-switch' : 'shadow-read',
    ...act,
    holdMs: 1_200,
    ackTimeoutMs: 700,
    // A reader that has died is replaced only when its lease is over.
    drainTimeoutMs: world.scenario.logged.length > 0 ? 1_200 : 600,
    lockTimeoutMs: 250,
    leaseMs: 400,
    undoMs: 1_500,
    waitingMax: 20,
    inDoubt: 'ignore',
    onStep: async (cutoverStep) => {
      await world.defect.onStep?.(cutoverStep, context, world);
      await strikeCoordinator(world, running);
    },
  });
  return true;
}

/** It dies, or sleeps beyond its lease: from here on or in the midst of the step. */
async function strikeCoordinator(world: World, { runtime, role }: Running): Promise<void> {
  const { coordinatorCrashRate, coordinatorPauseRate } = world.scenario;
  const { clock, random } = runtime;
  const dice = random.next();
  if (dice < coordinatorCrashRate) {
    world.kill(role);
    world.later(50 + random.next() * 600, () => world.start(role));
    await clock.sleep(0);
  } else if (dice < coordinatorCrashRate + coordinatorPauseRate) {
    const [inMs, ms] = [random.next() < 0.5 ? 0 : random.next() * 30, 500 + random.next() * 2_000];
    if (inMs > 0) world.later(inMs, () => world.pause(role, ms));
    else {
      world.pause(role, ms);
      await clock.sleep(0);
    }
  }
}

/** After the plan: no change of authority is left half-way. */
async function settle(world: World, running: Running): Promise<void> {
  const { clock } = running.runtime;
  while (!world.violation) {
    try {
      await resumeCutover(running.context, act);
    } catch (error) {
      judge(world, error);
    }
    await clock.sleep(200);
  }
}

function judge(world: World, error: unknown): void {
  if (isChangeoverError(error) && error.code !== 'BUG') return;
  world.violate(new Violation('H', 'operator', `the operator got ${messageOf(error)}`));
}
