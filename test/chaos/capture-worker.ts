/** One worker process for the configuration in a folder. Ends with its parent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig, openMigration, workerOptionsOf } from '../../src/config/index.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import { startWorker } from '../../src/worker/index.ts';
import type { ChildCommand, ChildMessage } from './child-messages.ts';

const { folder } = JSON.parse(process.argv[2] ?? '{}') as { readonly folder: string };
const send = (message: ChildMessage): void => {
  if (process.connected) process.send?.(message);
};
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});

/** The servers may be down when it starts. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ChangeoverError) || error.disposition !== 'retry') throw error;
      await sleep(200);
    }
  }
}

const { definition } = await loadConfig(folder);
const opened = await patiently(() => openMigration(definition, { folder }));
const worker = await patiently(() =>
  startWorker(opened, {
    ...workerOptionsOf(opened.options, opened, `worker (pid ${process.pid})`),
    leaseMs: 3_000,
    onError: (task, message) => send({ type: 'note', text: `${task}: ${message}` }),
  }),
);

process.on('message', (command: ChildCommand) => {
  if (command.type !== 'stop') return;
  void worker
    .close()
    .then(() => opened.close())
    .then(() => process.disconnect());
});
send({ type: 'ready' });
