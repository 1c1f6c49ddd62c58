/**
 * The coordinator process of `npm run chaos -- switch`: brings the migration to the read switch as the operator does, then makes one change
 * of authority after the other, as it is told. Ends with its parent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import { applyEvent } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';
import { demoProfile } from '../../src/gates/index.ts';
import { seededRandom } from '../../src/runtime/index.ts';
import { recheckSuspects } from '../../src/verify/index.ts';
import { jumpingRuntime } from './chaos-clock.ts';
import { type ChaosAddresses, openChaosMigration } from './chaos-migration.ts';
import type { ChangeOrder, ChildCommand, ChildMessage } from './child-messages.ts';
import { operatorTurn } from './operator-turn.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as ChaosAddresses & {
  readonly seed: number;
  readonly leaseMs: number;
  readonly direct: boolean;
};
const tell = (message: ChildMessage): Promise<void> =>
  new Promise((resolve) => {
    if (!process.connected) resolve();
    else process.send?.(message, undefined, undefined, () => resolve());
  });
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});

const drainMs = 3_000;
const act = { actor: `coordinator ${process.pid}`, reason: 'chaos' };
const { runtime, jump } = jumpingRuntime();
const opened = await openChaosMigration(options, runtime);
const { control, migration } = opened;
const controller = createController(opened, {
  profile: { ...demoProfile, name: 'chaos', parity: 0.9, coverageMin: 0, latencyRatioMax: 0 },
});
let goOn = (): void => {};

async function prepare(): Promise<void> {
  const plan = { switches: 1, finish: true };
  const random = seededRandom(options.seed * 31);
  for (;;) {
    const { phase } = await control.load(migration.name);
    if (phase === 'read-switch') break;
    // Without routers nobody reads, and the gates would wait for proof for ever.
    if (phase === 'shadow-read' && options.direct) {
      await applyEvent(opened, { type: 'advance', to: 'read-switch' }, act);
      continue;
    }
    try {
      await operatorTurn({ context: opened, controller, act, random, plan, tell });
    } catch (error) {
      await tell({ type: 'note', text: (error as Error).message });
      await sleep(200);
    }
  }
  await tell({ type: 'prepared' });
}

async function change(order: ChangeOrder): Promise<void> {
  const { to, tellsAt, waits } = order;
  if (to === 'target') await controller.dial(order.dialPercent, undefined, act);
  const { attempt, pauseMs, settled } = await switchAuthority(opened, {
    to,
    phaseAfter: to === 'target' ? 'write-switch' : 'read-switch',
    ...act,
    leaseMs: options.leaseMs,
    // Faults make predictions long; here every attempt has to come to its step.
    prediction: 'note',
    ...(order.drainsItself
      ? {
          drain: async (_side, signal) =>
            drainUntilEmpty(
              opened,
              await control.load(migration.name),
              applierDefaults,
              drainMs,
              signal,
            ),
        }
      : {}),
    recheck: async (signal) => {
      const state = await control.load(migration.name);
      return recheckSuspects(opened, { currentState: () => state, ignoreHold: true }, signal);
    },
    async onStep(step) {
      if (step !== tellsAt) return;
      const told = tell({ type: 'at-step', step });
      if (!waits) return;
      await told;
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    },
  });
  await tell({ type: 'changed', attempt, pauseMs, settled });
}

process.on('message', (command: ChildCommand) => {
  if (command.type === 'go-on') goOn();
  if (command.type === 'clock') jump(command.offsetMs);
  if (command.type === 'prepare') void prepare();
  if (command.type === 'change')
    void change(command.order).catch((error: Error & { readonly code?: string }) =>
      tell({ type: 'not-changed', code: error.code ?? error.name, message: error.message }),
    );
  if (command.type === 'stop') void opened.close().then(() => process.disconnect());
});
await tell({ type: 'ready' });
