import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenedMigration } from '../../src/config/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { specimen, specimens, trafficRows } from './specimens.ts';
import type { ForeignTraffic } from './traffic.ts';

/** Puts and deletes of the first specimens, through the router, until it is stopped: where nothing is captured from a log. */
export async function startRouterTraffic(opened: OpenedMigration): Promise<ForeignTraffic> {
  const router = await createRouter(opened, { graceMs: 500 });
  const handle = router.collection(specimens);
  let stopped = false;
  let writes = 0;
  const write = async (): Promise<void> => {
    for (let turn = 0; !stopped; turn++) {
      const id = 1 + (turn % trafficRows);
      if (turn % 9 === 8) await handle.delete([String(id)]);
      else await handle.put({ ...specimen(id), note: `turn ${turn}` });
      writes += 1;
      await sleep(4);
    }
  };
  const writing = write();
  // A failure is told where it is awaited; until then it is no unhandled one.
  writing.catch(() => {});
  return {
    writes: () => writes,
    async stop() {
      stopped = true;
      await writing;
      await router.settle(5_000);
      await router.close();
    },
  };
}
