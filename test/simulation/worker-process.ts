import type { MigrationContext } from '../../src/control/index.ts';
import { isChangeoverError, messageOf } from '../../src/errors/index.ts';
import { authorityOf, followerOf, phaseOrder, toFollower } from '../../src/migration/index.ts';
import type { Change, Key } from '../../src/record/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import { repair } from '../../src/verify/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import type { Running, World } from './world.ts';

const workerTimes = {
  leaseMs: 400,
  pollMs: 20,
  recheckMs: 400,
  measureMs: 500,
  applier: {
    batch: 6,
    claimLeaseMs: 300,
    followerTimeoutMs: 200,
    backoff: { firstMs: 10, maxMs: 200 },
    refusedAttemptsMax: 4,
    retriedAttemptsMax: 200,
  },
} as const;

/** Nobody waits long for another worker to take over. */
const logTimes = {
  bytesMax: 1024,
  followerTimeoutMs: 200,
  idleMs: 20,
  storeIdleMs: 60,
} as const;

/** The worker that is shipped, and beside it repairs of keys that need none. */
export function workerMain(world: World) {
  return async (running: Running): Promise<void> => {
    const { context, runtime } = running;
    const { chunkRows } = world.scenario;
    let worker: Worker | null = null;
    while (worker === null) {
      try {
        worker = await startWorker(context, {
          ...workerTimes,
          ...(world.scenario.logged.length > 0 ? { measureMs: 120 } : {}),
          log: {
            ...logTimes,
            whole: world.scenario.wholeTransactions,
            changesMax: world.scenario.logBatch,
          },
          backfill: {
            chunkRowsInitial: chunkRows,
            chunkRowsMin: 1,
            chunkRowsMax: chunkRows,
            concurrency: 2,
            timeoutMs: 600,
            takeOverAfterMs: 250,
          },
          onError: (task, message) => {
            world.say(`${running.process.name} ${task}: ${message.slice(0, 100)}`);
            if (message.startsWith('BUG') || message.startsWith('LOG_LOST'))
              world.violate(new Violation('H', task, `a worker got ${message}`));
          },
        });
      } catch {
        await runtime.clock.sleep(50);
      }
    }
    await repairNow(world, running, worker);
  };
}

/** What a repair does with a key that differs, whether it does or not. */
async function repairUnseen(
  context: MigrationContext,
  worker: Worker,
  name: string,
  keys: readonly Key[],
): Promise<void> {
  const { phase, epoch } = worker.state();
  const [authority, follower] = [authorityOf(phase), followerOf(phase)];
  const collection = context.migration.collections.get(name)!;
  const answers = await context.stores[authority].records.reread(name, keys, epoch);
  const changes = answers.flatMap((answer): readonly Change[] => {
    if (answer.state !== 'read') return [];
    const { key, version, record } = answer;
    const value = toFollower(collection, follower, record);
    return [{ collection: name, key, version, value, origin: 'repair' }];
  });
  await context.stores[follower].door.apply(changes, { epoch, timeoutMs: 200 });
}

/** Repairs random keys while they are being written: nothing may go back by it. */
async function repairNow(world: World, running: Running, worker: Worker): Promise<void> {
  const { context, runtime } = running;
  const { clock, random } = runtime;
  const signal = new AbortController().signal;
  const names = [...world.migration.collections.keys()];
  while (!world.stopping && !world.violation) {
    await clock.sleep(100 + random.next() * 400);
    if (phaseOrder(worker.state().phase) < phaseOrder('shadow-read')) continue;
    const name = names[Math.floor(random.next() * names.length)]!;
    const keys = [0, 1].map(() => [String(Math.floor(random.next() * world.scenario.keys))]);
    try {
      if (random.next() < 0.5) await repairUnseen(context, worker, name, keys);
      else
        await repair(
          context,
          name,
          keys,
          {
            currentState: () => worker.state(),
            mode: 'apply',
            deleteExtras: true,
            stopRatio: 1,
            timeoutMs: 200,
            recheck: {
              delaysMs: [20, 60],
              hotDelayMs: 20,
              hotTriesMax: 3,
              lagMaxMs: 300,
              giveUpAfterMs: 300,
            },
          },
          signal,
        );
    } catch (error) {
      if (!isChangeoverError(error) || error.code === 'BUG')
        world.violate(new Violation('H', name, `repair got ${messageOf(error)}`));
    }
  }
}
