/** One worker process. Ends with its parent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { applierDefaults } from '../../src/capture/index.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { jumpingRuntime } from './chaos-clock.ts';
import { type ChaosAddresses, labelOf, leaseMs, openChaosMigration } from './chaos-migration.ts';
import type { ChildCommand, ChildMessage } from './child-messages.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as ChaosAddresses & {
  readonly rowsPerSecondMax: number;
};
const send = (message: ChildMessage): void => {
  if (process.connected) process.send?.(message);
};
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});

const { runtime, jump } = jumpingRuntime();
const opened = await openChaosMigration(options, runtime);
const worker = await start();

async function start(): Promise<Worker> {
  for (;;) {
    try {
      return await startWorker(opened, {
        label: labelOf('worker'),
        leaseMs,
        measureMs: 300,
        applier: { ...applierDefaults, claimLeaseMs: 5_000, followerTimeoutMs: 4_000 },
        backfill: { rowsPerSecondMax: options.rowsPerSecondMax, timeoutMs: 5_000 },
        onError: (task, message) => send({ type: 'note', text: `${task}: ${message}` }),
      });
    } catch (error) {
      if (!(error instanceof ChangeoverError) || error.disposition !== 'retry') throw error;
      await sleep(200);
    }
  }
}

process.on('message', (command: ChildCommand) => {
  if (command.type === 'clock') jump(command.offsetMs);
  if (command.type !== 'stop') return;
  void worker
    .close()
    .then(() => opened.close())
    .then(() => process.disconnect());
});
send({ type: 'ready' });
