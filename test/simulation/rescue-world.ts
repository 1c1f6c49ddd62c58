import { createController } from '../../src/controller/index.ts';
import { resumeCutover } from '../../src/cutover/index.ts';
import { isChangeoverError, messageOf } from '../../src/errors/index.ts';
import { encodeKey } from '../../src/record/index.ts';
import { checkHistory } from '../../src/testing/history/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import { applicationMain } from './application.ts';
import { endFaults, loosenFaults } from './faults.ts';
import { Ledger } from './ledger.ts';
import { operatorMain, PlanProgress } from './operator.ts';
import { RescueJudge } from './rescue-judge.ts';
import { type RescuePlan, rescuePlanOf, rescueScenario, withBreakage } from './rescue-scenario.ts';
import { describeUnrest, seedRecords } from './simulate.ts';
import { workerMain } from './worker-process.ts';
import { type Defect, type Running, World } from './world.ts';

const RESCUER = 'rescuer';
const act = { actor: 'rescuer@simulation', reason: 'the reverse direction fails' } as const;
const never = new AbortController().signal;
const limits = {
  holdMs: 1_200,
  ackTimeoutMs: 700,
  drainTimeoutMs: 800,
  lockTimeoutMs: 250,
  leaseMs: 400,
  undoMs: 1_500,
};

/** A world in which the reverse direction fails after the write switch, and somebody goes back by a rescue. */
class RescueWorld extends World {
  reverseIsBroken = false;
  /** The rescue goes on without the target. */
  unsealed = false;
  readonly rescueJudge: RescueJudge;

  constructor(seed: number, defect: Defect, ledger: Ledger) {
    super(seed, defect);
    this.rescueJudge = new RescueJudge(this, ledger, RESCUER);
  }

  /** What is said of a record that the rescue left behind is judged by the rescue's own judge, which knows what became of it. */
  override violate(violation: Violation): void {
    const judge = this.rescueJudge;
    // Not made yet while the first records are written.
    if (judge?.rescued) {
      if (violation.subject.startsWith('the guard of')) return;
      // A stale process deletes in a target that nobody could seal, which holds nothing; the record that stays is the source's.
      if (this.unsealed && /acknowledged a delete of a record/.test(violation.message)) return;
      const place = [...judge.lost.keys()].find(
        (one) => one.replace(' ', '') === violation.subject,
      );
      if (place !== undefined && !(violation.guarantee === 'G6' && judge.isUndecided(place)))
        return;
    }
    // The price of going on without the target: until it is sealed a stale process is let in there. Its write has to be in the gap.
    const open = this.truth?.state?.gap?.stage === 'uncollected';
    if (this.unsealed && open && / on the target in epoch /.test(violation.message)) return;
    // What is behind then is what the judge is about to write down.
    const moves = /became the authority with/.test(violation.message);
    if (moves && this.truth?.state?.gap) return;
    super.violate(violation);
  }
}

export interface RescueResult {
  readonly seed: number;
  readonly plan: RescuePlan;
  readonly violation: Violation | null;
  /** Records whose newest write stood only in the target. */
  readonly lost: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly lastLines: (count: number, about?: string) => readonly string[];
}

/** Runs one seed to its end, or to the first broken guarantee. */
export async function simulateRescue(seed: number, defect: Defect = {}): Promise<RescueResult> {
  const plan = rescuePlanOf(seed);
  const ledger = new Ledger();
  const defined: Defect = {
    ...defect,
    scenario: { ...rescueScenario(seed), ...defect.scenario },
    wrap: withBreakage(plan, defect.wrap),
  };
  const world = new RescueWorld(seed, defined, ledger);
  world.unsealed = plan.breakage === 'target-down';
  const progress = new PlanProgress();
  const { scheduler } = world;
  const rescue = new RescueProgress();
  const onUnhandled = (error: unknown): void =>
    world.violate(new Violation('H', 'a promise', `nobody handled ${messageOf(error)}`));
  process.on('unhandledRejection', onUnhandled);
  try {
    await seedRecords(world, ledger);
    for (let index = 1; index <= world.scenario.applications; index++)
      world.play(`app${index}`, 'application', applicationMain(world, ledger));
    for (let index = 1; index <= world.scenario.workers; index++)
      world.play(`worker${index}`, 'worker', workerMain(world));
    world.play('operator1', 'operator', operatorMain(world, ledger, progress));
    loosenFaults(world);
    await scheduler.run(() => world.violation !== null || progress.finished, 60_000);
    if (world.truth.state?.phase === 'write-switch') {
      world.play(RESCUER, 'operator', rescuerMain(world, plan, rescue));
      await scheduler.run(() => world.violation !== null || rescue.at >= 7, scheduler.now + 60_000);
      if (world.violation === null && rescue.at < 7)
        world.violate(
          new Violation('H', RESCUER, `the rescue hangs at step ${rescue.at}: ${rescue.last}`),
        );
    }
    world.stopping = true;
    world.reverseIsBroken = false;
    endFaults(world);
    const until = scheduler.now + 60_000;
    let nextLook = scheduler.now + 500;
    const quiet = await scheduler.run(() => {
      if (world.violation !== null) return true;
      if (scheduler.now < nextLook) return false;
      nextLook = scheduler.now + 50;
      return describeUnrest(world, ledger) === '';
    }, until);
    if (!quiet)
      world.violate(
        new Violation('G2', 'the world', `not quiet: ${describeUnrest(world, ledger)}`),
      );
    if (world.violation === null && world.rescueJudge.rescued) {
      world.rescueJudge.judgeEnd();
      judgeOthers(world, ledger, plan);
    }
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
  const statuses: Record<string, number> = {};
  for (const place of world.rescueJudge.lost.keys()) {
    const status = world.rescueJudge.row(place)?.status ?? 'nowhere';
    statuses[status] = (statuses[status] ?? 0) + 1;
  }
  return {
    seed,
    plan,
    violation: world.violation,
    lost: world.rescueJudge.lost.size,
    statuses,
    lastLines: (count, about) => scheduler.trace.last(count, about),
  };
}

/** Where the rescue stands, whoever carries it out. */
class RescueProgress {
  at = 0;
  last = '';
}

/** One step after the other; killed at random, and done again by a successor from where the predecessor stood. */
function rescuerMain(world: RescueWorld, plan: RescuePlan, progress: RescueProgress) {
  return async (running: Running): Promise<void> => {
    const { clock } = running.runtime;
    for (let tries = 0; progress.at < 7 && !world.violation && tries < 400; tries++) {
      try {
        strike(world, running);
        if (await carryOut(world, running, plan, progress.at)) progress.at += 1;
      } catch (error) {
        progress.last = messageOf(error).slice(0, 160);
        world.say(`rescuer at ${progress.at}: ${progress.last}`);
        if (!isChangeoverError(error) || error.code === 'BUG')
          world.violate(new Violation('H', RESCUER, `the rescuer got ${messageOf(error)}`));
      }
      await clock.sleep(60);
    }
    while (!world.violation) {
      await resumeCutover(running.context, act).catch(() => {});
      await clock.sleep(200);
    }
  };
}

function strike(world: RescueWorld, { runtime }: Running): void {
  if (world.stopping || runtime.random.next() >= 0.06) return;
  world.kill(RESCUER);
  world.later(50 + runtime.random.next() * 500, () => world.start(RESCUER));
}

async function carryOut(
  world: RescueWorld,
  running: Running,
  plan: RescuePlan,
  at: number,
): Promise<boolean> {
  const { context, runtime } = running;
  const { clock, random } = runtime;
  const state = await context.control.load(context.migration.name);
  const controller = createController(context, {
    cutover: limits,
    onStep: async () => {
      strike(world, running);
      await clock.sleep(0);
    },
  });
  for (const name of [...world.dead]) {
    await context.control.fleet.remove(context.migration.name, name);
    world.dead.delete(name);
  }
  switch (at) {
    case 0:
      world.reverseIsBroken = true;
      await clock.sleep(plan.failingMs);
      if (plan.breakage === 'target-down') {
        world.say('the target goes down');
        // Somebody who sleeps over the rescue, and wakes with a write in its hand.
        world.pause('app1', 900);
        await clock.sleep(30);
        world.databases.target.stop();
        await clock.sleep(450);
      }
      return true;
    case 1:
      if (!state.gap)
        await controller.rescue({
          ...act,
          to: 'shadow-read',
          targetUnreachable: plan.breakage === 'target-down',
        });
      return true;
    case 2:
      await clock.sleep(random.next() * 150);
      if (plan.breakage === 'target-down') {
        world.databases.target.start();
        world.say('the target is back');
        await clock.sleep(random.next() * 300);
      }
      return true;
    case 3:
      return (
        state.gap === undefined ||
        (await controller.gap.collect({ ...act, signal: never })).outcome !== 'none'
      );
    case 4:
    case 5:
      await clock.sleep(random.next() * 200);
      if (state.gap)
        await controller.gap.apply({ ...act, mode: 'apply', listMax: 10, signal: never });
      return true;
    default:
      await clock.sleep(random.next() * 100);
      return state.gap === undefined || decide(world, running);
  }
}

/** A person decides some of the conflicts, and leaves others. */
async function decide(world: RescueWorld, { context, runtime }: Running): Promise<boolean> {
  const { gap } = createController(context);
  const { records } = await gap.list({ statuses: ['conflict'], limit: 100 });
  for (const { collection, key } of records) {
    const dice = runtime.random.next();
    if (dice < 0.3) continue;
    const parts = JSON.parse(key) as string[];
    const take = dice < 0.6 ? 'target' : 'source';
    if (take === 'target') {
      world.rescueJudge.taken.add(`${collection} ${key}`);
      await gap.show(collection, parts);
    }
    await gap.resolve({ ...act, take, which: { collection, key: parts }, signal: never });
  }
  return true;
}

/** Records that the rescue did not leave behind: what clients saw of them has one order, and both stores hold the same. */
function judgeOthers(world: RescueWorld, ledger: Ledger, plan: RescuePlan): void {
  // A stale process that reads a target which nobody could seal sees what it held then.
  if (plan.breakage === 'target-down') return;
  const left = new Set([...world.rescueJudge.lost.keys(), ...world.rescueJudge.taken]);
  const { initial, operations } = ledger.recorder.history();
  const others = operations.filter(({ key }) => {
    const [collection = '', id = ''] = key.split(' ');
    return !left.has(`${collection} ${encodeKey([id])}`);
  });
  const failClosed = (key: string): boolean =>
    world.migration.collections.get(key.split(' ')[0]!)?.failureMode === 'fail-closed';
  const { faults } = checkHistory({ initial, operations: others }, { followerApart: failClosed });
  for (const { key, kind, text } of faults)
    if (kind !== 'undecided') world.judge('world', new Violation('G1', key, `${kind}\n${text}`));
}
