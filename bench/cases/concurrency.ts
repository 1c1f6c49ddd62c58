/**
 * Four writers of the same key at the same time, over stores that take 0 to 3 ms, with no fault at all: how many keys differ afterwards? The
 * same with 1 % of the follower's writes failing, and what a caller waits when the follower hangs. Beside a dual writer by hand.
 */
import { startPrivatePostgres } from '../../src/demo/private-postgres.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import {
  createItems,
  jitter,
  latencyBudgetMs,
  openMemory,
  openPostgres,
  type TwoStores,
} from '../concurrency/two-stores.ts';
import { type Benchmark, type Case, compare, percentile } from '../measure.ts';
import {
  DualWriterByHand,
  openPool,
  plainMemory,
  plainPostgres,
} from './by-hand/dual-writer-by-hand.ts';

const keys = 1_000;
const writersPerKey = 4;
/** Keys that are written at a time. */
const keysAtOnce = 64;
const failingWrites = 10_000;
const failureShare = 0.01;

type Put = (key: string, value: string) => Promise<unknown>;

/** Every key gets its writers at once; how many writes threw. */
async function contend(put: Put): Promise<number> {
  let thrown = 0;
  const guarded = (key: string, value: string): Promise<unknown> =>
    put(key, value).catch(() => thrown++);
  for (let from = 0; from < keys; from += keysAtOnce) {
    const writes: Promise<unknown>[] = [];
    for (let key = from; key < Math.min(keys, from + keysAtOnce); key++)
      for (let writer = 0; writer < writersPerKey; writer++)
        writes.push(guarded(`key ${key}`, `writer ${writer}`));
    await Promise.all(writes);
  }
  return thrown;
}

const putBy =
  (stores: TwoStores): Put =>
  (id, value) =>
    stores.router.collection('items').put({ id, value });

async function settled(stores: TwoStores): Promise<number> {
  const left = await stores.drain();
  if (left > 0) throw new Error(`${left} changes are left in the queue`);
  return stores.differingKeys();
}

async function contendInMemory(write: 'serial' | 'parallel'): Promise<Case> {
  const stores = await openMemory({ step: jitter }, { write });
  const byHand = new DualWriterByHand({ source: plainMemory(jitter), target: plainMemory(jitter) });
  await contend(putBy(stores));
  await contend((key, value) => byHand.put(key, value));
  const [ours, theirs] = [await settled(stores), await byHand.differingKeys()];
  await stores.close();
  return compare(`differing keys of ${keys}, ${write}, memory stores`, 'keys', ours, theirs);
}

async function contendInPostgres(): Promise<Case> {
  const server = await startPrivatePostgres({});
  const pools = [];
  try {
    for (const name of ['ours_old', 'ours_new', 'hand_old', 'hand_new'])
      await createItems(server, name);
    const stores = await openPostgres(server);
    const [source, target] = [openPool(server.url('hand_old')), openPool(server.url('hand_new'))];
    pools.push(source, target);
    const byHand = new DualWriterByHand({
      source: plainPostgres(source, async () => {}),
      target: plainPostgres(target, jitter),
    });
    await contend(putBy(stores));
    await contend((key, value) => byHand.put(key, value));
    const [ours, theirs] = [await settled(stores), await byHand.differingKeys()];
    await stores.close();
    return compare(`differing keys of ${keys}, serial, PostgreSQL`, 'keys', ours, theirs);
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
    await server.stop();
  }
}

/** None beside none is a draw, not a division by zero. */
function failedRequests(name: string, ours: number, alternative: number): Case {
  const row = compare(name, 'requests', ours, alternative);
  return ours === alternative ? { ...row, ratio: 1 } : row;
}

async function failNowAndThen(): Promise<readonly Case[]> {
  const fail = async (): Promise<void> => {
    if (systemRuntime.random.next() < failureShare) throw new Error('the follower failed');
  };
  const stores = await openMemory({
    step: (side, step) =>
      side === 'target' && step.label === 'door/enter' ? fail() : Promise.resolve(),
  });
  const byHand = new DualWriterByHand({
    source: plainMemory(async () => {}),
    target: plainMemory(fail),
  });
  const write = async (put: Put): Promise<number> => {
    let thrown = 0;
    for (let from = 0; from < failingWrites; from += keysAtOnce) {
      const batch = Array.from({ length: Math.min(keysAtOnce, failingWrites - from) }, (_, at) =>
        put(`key ${from + at}`, 'value').catch(() => thrown++),
      );
      await Promise.all(batch);
    }
    return thrown;
  };
  const thrown = [await write(putBy(stores)), await write((key, value) => byHand.put(key, value))];
  const [ours, theirs] = [await settled(stores), await byHand.differingKeys()];
  await stores.close();
  const what = `of ${failingWrites} writes, 1 % follower failures`;
  return [
    compare(`differing keys ${what}`, 'keys', ours, theirs),
    failedRequests(`failed requests ${what}`, thrown[0] ?? 0, thrown[1] ?? 0),
  ];
}

/** By hand the caller waits for its driver's timeout; a second is a common one. */
const driverTimeoutMs = 1_000;

async function hang(): Promise<Case> {
  const stores = await openMemory({
    step: (side) => (side === 'target' ? new Promise(() => {}) : Promise.resolve()),
  });
  const byHand = new DualWriterByHand({
    source: plainMemory(async () => {}),
    target: plainMemory(async () => {
      await systemRuntime.clock.sleep(driverTimeoutMs);
      throw new Error('timeout');
    }),
  });
  const measure = async (put: Put, calls: number): Promise<number> => {
    const waited: number[] = [];
    const caller = async (name: number): Promise<void> => {
      for (let call = 0; call < calls; call++) {
        const started = performance.now();
        await put(`caller ${name}, key ${call}`, 'value');
        waited.push(performance.now() - started);
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, name) => caller(name)));
    return percentile(waited, 0.99);
  };
  // The library's timers do not keep a process alive, and nothing else does here: the stores never answer.
  const alive = setInterval(() => {}, 1_000);
  const ours = await measure(putBy(stores), 40);
  const theirs = await measure((key, value) => byHand.put(key, value), 4);
  clearInterval(alive);
  return compare(`caller p99, follower hangs, budget ${latencyBudgetMs} ms`, 'ms', ours, theirs);
}

export const concurrency: Benchmark = {
  name: 'concurrency',
  async run({ say }) {
    const cases: Case[] = [];
    const add = (...found: readonly Case[]): void => {
      for (const one of found) say(`${one.case}: ${one.ours} beside ${one.alternative}`);
      cases.push(...found);
    };
    add(await contendInMemory('serial'));
    add(await contendInMemory('parallel'));
    add(await contendInPostgres());
    add(...(await failNowAndThen()));
    add(await hang());
    return cases;
  },
};

export default concurrency;
