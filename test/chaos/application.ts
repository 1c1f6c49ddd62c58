/** One application process: the demo's workload over the public API, with a ledger of its own. Ends with its parent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs, openLedger, readLedger, type Seen } from '../../src/demo/ledger.ts';
import type { ShopApplicationOptions } from '../../src/demo/shop-messages.ts';
import { ShopWorkload } from '../../src/demo/shop-workload.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { seededRandom } from '../../src/runtime/index.ts';
import { routeOf } from '../../src/testing/history/index.ts';
import { jumpingRuntime } from './chaos-clock.ts';
import {
  type ChaosAddresses,
  collection,
  labelOf,
  openChaosMigration,
  leaseMs as usualLeaseMs,
} from './chaos-migration.ts';
import type { ChildCommand, ChildMessage } from './child-messages.ts';
import { type OpenedCustomers, openDirectCustomers } from './direct-customers.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as ShopApplicationOptions &
  ChaosAddresses & {
    readonly stateFile: string;
    readonly leaseMs?: number;
    readonly authorityTimeoutMs?: number /** Writes SQL of its own instead of using a router. */;
    readonly direct?: boolean;
  };
const send = (message: ChildMessage): void => {
  if (process.connected) process.send?.(message);
};
process.on('disconnect', () => process.exit(0));
process.on('SIGINT', () => {});

const graceMs = 2_000;
const tokensShared = 0.05;

const ledger = openLedger(options.ledgerPath);
const earlier = readLedger(options.ledgerPath);
ledger.append({ t: 'start', pid: process.pid, at: monotonicMs() });
const random = seededRandom(options.seed * 1_000 + options.process * 100 + options.incarnation);
const { runtime, jump } = jumpingRuntime();
const opened = await openChaosMigration(options, runtime);

let killArmed = false;
const way = await patiently(async () =>
  options.direct === true ? openDirectCustomers(opened, options) : openRouter(),
);

/** A cold start may fall into a moment in which the control store is away. */
async function patiently<T>(start: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (!(error instanceof ChangeoverError) || error.disposition !== 'retry') throw error;
      send({ type: 'note', text: `cannot start yet: ${error.message}` });
      await sleep(200);
    }
  }
}

async function openRouter(): Promise<OpenedCustomers> {
  const router = await createRouter(opened, {
    label: labelOf(`application ${options.process + 1}`),
    leaseMs: options.leaseMs ?? usualLeaseMs,
    graceMs,
    stateFile: options.stateFile,
    authorityTimeoutMs: options.authorityTimeoutMs ?? 3_000,
    followerTimeoutMs: 2_000,
    hooks: {
      afterAuthority() {
        if (killArmed) process.kill(process.pid, 'SIGKILL');
      },
    },
  });
  const watching = () => {
    const before = router.state();
    return (): Seen => {
      const after = router.state();
      return { epoch: after.epoch, route: routeOf(before, after) };
    };
  };
  return { customers: router.collection(collection), watching, close: () => router.close() };
}

const workload = new ShopWorkload(options, way.customers, ledger, random, {
  acknowledged(id, op, token) {
    if (token !== null && random.next() < tokensShared) send({ type: 'token', id, op, token });
  },
  read: () => {},
  failed(what, error) {
    const code = (error as { code?: string }).code ?? (error as Error).name;
    send({ type: 'failed', what, code, message: (error as Error).message });
  },
  sending: (_id, _op, work) => work(),
  ...(way.watching ? { watching: way.watching } : {}),
});
workload.recall(earlier);

let stopping = false;
let paused = false;
let busy = 0;

async function guarded(step: () => Promise<void>): Promise<void> {
  busy++;
  try {
    await step();
  } finally {
    busy--;
  }
}

async function loop(step: () => Promise<void>): Promise<void> {
  while (!stopping) {
    if (!paused) await guarded(step);
    await sleep(random.next() * 2 * options.thinkMs);
  }
}

async function stop(): Promise<void> {
  stopping = true;
  while (busy > 0) await sleep(5);
  await way.close();
  await opened.close();
  ledger.close();
  process.disconnect();
}

async function pause(): Promise<void> {
  paused = true;
  while (busy > 0) await sleep(5);
  send({ type: 'quiet' });
}

process.on('message', (command: ChildCommand) => {
  if (command.type === 'stop') void stop();
  if (command.type === 'pause') void pause();
  if (command.type === 'resume') paused = false;
  if (command.type === 'clock') jump(command.offsetMs);
  if (command.type === 'kill-between-two-writes') killArmed = true;
  if (command.type === 'token' && !stopping && !paused)
    void guarded(() => workload.readWithToken(command.id, command.op, command.token));
});

send({ type: 'ready' });
for (let index = 0; index < options.loops; index++) void loop(() => workload.ownStep(index));
void loop(() => workload.sharedStep());
