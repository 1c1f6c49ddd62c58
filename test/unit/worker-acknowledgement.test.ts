import { afterEach, expect, test } from 'vitest';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { openRig, type Rig, until } from '../support/router-rig.ts';

let rig: Rig;
let worker: Worker;
let free: () => void;
afterEach(async () => {
  free();
  await worker.close();
  await rig.close();
});

test('a worker with read records in its hand does not acknowledge that their time is over', async () => {
  rig = await openRig({ collection: { write: 'deferred' } });
  await rig.enter({ phase: 'dual-write' });
  const { context } = rig;
  worker = await startWorker(context);
  const acknowledged = async (): Promise<number> => {
    const { instances } = await context.control.fleet.list(context.migration.name);
    return instances.find(({ kind }) => kind === 'worker')?.acknowledgedVersion ?? 0;
  };
  let asked = 0;
  free = rig.obstruct('target', 'door');
  const { door } = context.stores.target;
  const apply = door.apply.bind(door);
  Object.assign(door, {
    apply: (...given: Parameters<typeof apply>) => {
      asked++;
      return apply(...given);
    },
  });
  await rig.router.collection('customers').put({ id: 1, name: 'Ada', city: 'x' });
  await until(() => asked > 0);
  const off = rig.publish({ phase: 'off', generation: 2 });
  await until(() => worker.state().version === off.version);
  await context.runtime.clock.sleep(100);
  expect(await acknowledged()).toBeLessThan(off.version);
  free();
  await until(async () => (await acknowledged()) === off.version);
});
