// One application process with a router, started by `routed.ts`: argv[2] is the folder of the configuration, argv[3] a number. Writes and reads keys of its
// own until it is told to report; ends with its parent.
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig, openMigration, routerOptionsOf } from '../../src/config/index.ts';
import { createRouter } from '../../src/router/index.ts';
import type { Request } from './rounds.ts';

export interface ApplicationReport {
  readonly requests: readonly Request[];
  /** What each failed request said. */
  readonly failures: readonly string[];
}

const loops = 4;
const thinkMs = 10;
const keys = 500;

const [, , folder = '', own = ''] = process.argv;
const { definition } = await loadConfig(folder);
const opened = await openMigration(definition, { folder });
const router = await createRouter(opened, routerOptionsOf(opened.options, `application ${own}`));
const items = router.collection('items');

const requests: Request[] = [];
const failures: string[] = [];
let stopping = false;

async function measured(work: () => Promise<unknown>): Promise<void> {
  const began = performance.now();
  try {
    await work();
    const ended = performance.now();
    requests.push({ endedAt: performance.timeOrigin + ended, ms: ended - began });
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  }
}

async function loop(lane: number): Promise<void> {
  for (let turn = 0; !stopping; turn++) {
    const id = `${own}-${lane}-${turn % keys}`;
    await measured(() => items.put({ id, value: `turn ${turn}` }));
    await measured(() => items.get(id));
    await sleep(Math.random() * 2 * thinkMs);
  }
}

const running = Promise.all(Array.from({ length: loops }, (_, lane) => loop(lane)));
process.on('disconnect', () => process.exit(0));
process.on('message', async () => {
  stopping = true;
  await running;
  await router.close();
  await opened.close();
  const report: ApplicationReport = { requests, failures };
  process.send?.(report, () => process.disconnect());
});
process.send?.('ready');
