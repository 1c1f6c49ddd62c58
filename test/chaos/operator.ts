/**
 * The operator process: looks at the state, does what comes next, again and again. It keeps nothing between two looks, so it may be
 * killed anywhere and started again. Ends with its parent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import { createController } from '../../src/controller/index.ts';
import { isRunning } from '../../src/demo/process-tree.ts';
import { demoProfile } from '../../src/gates/index.ts';
import { seededRandom } from '../../src/runtime/index.ts';
import { recheckSuspects } from '../../src/verify/index.ts';
import { type ChaosAddresses, openChaosMigration, pidOfLabel } from './chaos-migration.ts';
import type { ChildCommand, ChildMessage } from './child-messages.ts';
import { type OperatorPlan, operatorTurn } from './operator-turn.ts';

/** What becomes of this operator at a step of its first change of authority. */
export interface OperatorFate {
  readonly step: string;
  readonly fate: 'kill' | 'freeze';
}

const options = JSON.parse(process.argv[2] ?? '{}') as ChaosAddresses & {
  readonly seed: number;
  readonly incarnation: number;
  readonly switches: number;
  readonly finish: boolean;
  readonly fate: OperatorFate | null;
};
const tell = (message: ChildMessage): Promise<void> =>
  new Promise((resolve) => {
    if (!process.connected) resolve();
    else process.send?.(message, undefined, undefined, () => resolve());
  });
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});

const act = { actor: `operator ${process.pid}`, reason: 'chaos' };
const opened = await openChaosMigration(options);
const { control, migration } = opened;
const random = seededRandom(options.seed * 31 + options.incarnation);
/** Half of the operators drain by themselves, the others leave it to the workers. */
const drainsItself = random.next() < 0.5;
let { fate } = options;

const controller = createController(opened, {
  // Little proof per switch, so that a run sees many of them.
  profile: { ...demoProfile, name: 'chaos', parity: 0.9, coverageMin: 0, latencyRatioMax: 0 },
  ...(drainsItself
    ? {
        drain: async (_side, signal) =>
          drainUntilEmpty(
            opened,
            await control.load(migration.name),
            applierDefaults,
            3_000,
            signal,
          ),
      }
    : {}),
  recheck: async (signal) => {
    const state = await control.load(migration.name);
    return recheckSuspects(opened, { currentState: () => state, ignoreHold: true }, signal);
  },
  async onStep(step) {
    if (fate === null || fate.step !== step) return;
    const { fate: what } = fate;
    fate = null;
    await tell({ type: 'fate', fate: what, step });
    process.kill(process.pid, what === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  },
});

/** A process that this host does not run any more: the operator's word is as good as its `ps`. */
async function attestDead(): Promise<void> {
  const { instances } = await control.fleet.list(migration.name);
  for (const { id, label } of instances) {
    const pid = pidOfLabel(label);
    if (pid !== null && !isRunning(pid)) await controller.attestGone(id, act);
  }
}

const plan: { -readonly [K in keyof OperatorPlan]: OperatorPlan[K] } = {
  switches: options.switches,
  finish: options.finish,
};
let stopping = false;
process.on('message', (command: ChildCommand) => {
  if (command.type === 'finish') plan.finish = true;
  if (command.type === 'stop') stopping = true;
});
await tell({ type: 'ready' });

let lastNote = '';
while (!stopping) {
  try {
    await attestDead();
    const turn = await operatorTurn({ context: opened, controller, act, random, plan, tell });
    lastNote = '';
    if (turn === 'finished') {
      await tell({ type: 'finished' });
      break;
    }
  } catch (error) {
    const text = (error as Error).message;
    // The same refusal once: it is asked again until it passes.
    const kind = text.replace(/\d+/g, '#').slice(0, 60);
    if (kind !== lastNote) await tell({ type: 'note', text });
    lastNote = kind;
    await sleep(200);
  }
  await sleep(100);
}
await opened.close();
process.disconnect();
