/**
 * The program of one application process of the demo: its own process, its own connections, its own ledger, the public API.
 * It ends with its parent, whatever happens to that.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRouter } from '../router/index.ts';
import { seededRandom } from '../runtime/index.ts';
import { openShopMigration } from './demo-migration.ts';
import { monotonicMs, openLedger, readLedger } from './ledger.ts';
import {
  applicationLabel,
  type ShopApplicationOptions,
  type ShopCommand,
  type ShopMessage,
} from './shop-messages.ts';
import { isShared, ShopWorkload } from './shop-workload.ts';

const ratesEveryMs = 200;
/** Share of acknowledged writes whose token the other process is asked to present. */
const tokensShared = 0.05;
const pollMs = 5;

interface InFlight {
  readonly id: string;
  readonly op: string;
}

const options = JSON.parse(process.argv[2] ?? '{}') as ShopApplicationOptions;
const send = (message: ShopMessage): void => {
  if (process.connected) process.send?.(message);
};

// Without its story it is nobody's process.
process.on('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole group; the story ends us in order.
process.on('SIGINT', () => {});

const ledger = openLedger(options.ledgerPath);
const earlier = readLedger(options.ledgerPath);
ledger.append({ t: 'start', pid: process.pid, at: monotonicMs() });

const random = seededRandom(options.seed * 1_000 + options.process * 100 + options.incarnation);
const opened = await openShopMigration(options);

const inFlight = new AsyncLocalStorage<InFlight>();
let killArmed = false;
const router = await createRouter(opened, {
  label: applicationLabel(options.process, process.pid),
  leaseMs: 3_000,
  graceMs: 2_000,
  hooks: {
    afterAuthority() {
      if (!killArmed) return;
      const write = inFlight.getStore();
      // A shared key would be written again by the other process at once, and nothing would need healing.
      if (!write || isShared(write.id)) return;
      ledger.append({ t: 'authority', op: write.op, at: monotonicMs() });
      process.kill(process.pid, 'SIGKILL');
    },
  },
});

const noCounts = {
  writes: 0,
  reads: 0,
  targetReads: 0,
  failed: 0,
  writeMsMax: 0,
  shadowMatched: 0,
  shadowSuspect: 0,
};
let counts = { ...noCounts };
let lastTargetReadAt: number | null = null;
opened.events.subscribe((event) => {
  if (event.type === 'read' && event.servedBy === 'target') {
    lastTargetReadAt = monotonicMs();
    counts.targetReads++;
  }
  if (event.type === 'shadow-read') {
    if (event.outcome === 'matched') counts.shadowMatched++;
    if (event.outcome === 'suspect') counts.shadowSuspect++;
  }
  if (event.type !== 'state') return;
  const { version, phase, dialBasisPoints } = event.state;
  send({ type: 'state', version, phase, dialBasisPoints, at: monotonicMs() });
});

const workload = new ShopWorkload(options, router.collection('customers'), ledger, random, {
  acknowledged(id, op, token, ms) {
    counts.writes++;
    counts.writeMsMax = Math.max(counts.writeMsMax, ms);
    if (token !== null && random.next() < tokensShared) send({ type: 'token', id, op, token });
  },
  read: () => {
    counts.reads++;
  },
  failed(what, error) {
    counts.failed++;
    const code = (error as { code?: string }).code ?? '';
    send({
      type: 'failed',
      what,
      code,
      message: error instanceof Error ? error.message : String(error),
    });
  },
  sending: (id, op, work) => inFlight.run({ id, op }, work),
});
workload.recall(earlier);

let paused = false;
let stopping = false;
let busy = 0;

async function loop(step: () => Promise<void>): Promise<void> {
  while (!stopping) {
    if (paused) {
      await sleep(pollMs);
      continue;
    }
    busy++;
    try {
      await step();
    } finally {
      busy--;
    }
    await sleep(random.next() * 2 * options.thinkMs);
  }
}

async function quiet(): Promise<void> {
  while (busy > 0) await sleep(pollMs);
}

async function pause(name: string): Promise<void> {
  paused = true;
  await quiet();
  await router.settle(5_000);
  ledger.append({ t: 'quiet', name, at: monotonicMs() });
  send({ type: 'paused', name });
}

async function stop(): Promise<void> {
  stopping = true;
  await quiet();
  await router.close();
  await opened.close();
  ledger.close();
  send({ type: 'stopped' });
  process.disconnect();
}

async function readSharedToken(id: string, op: string, token: string): Promise<void> {
  if (paused || stopping) return;
  busy++;
  try {
    await workload.readWithToken(id, op, token);
  } finally {
    busy--;
  }
}

process.on('message', (command: ShopCommand) => {
  switch (command.type) {
    case 'pause':
      void pause(command.name);
      return;
    case 'resume':
      paused = false;
      return;
    case 'arm-kill':
      killArmed = true;
      return;
    case 'token':
      void readSharedToken(command.id, command.op, command.token);
      return;
    case 'report-reads':
      send({ type: 'reads', lastTargetReadAt });
      return;
    case 'stop':
      void stop();
      return;
  }
});

let lastRatesAt = monotonicMs();
setInterval(() => {
  const now = monotonicMs();
  send({ type: 'rates', ...counts, overMs: now - lastRatesAt });
  counts = { ...noCounts };
  lastRatesAt = now;
}, ratesEveryMs).unref();

send({ type: 'ready' });
for (let index = 0; index < options.loops; index++) void loop(() => workload.ownStep(index));
void loop(() => workload.sharedStep());
