/** The first half of the story: from `off` to a target that is known to be equal. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { digestOfCustomer } from './canonical-customer.ts';
import { historyOf } from './judge.ts';
import { type LedgerLine, monotonicMs } from './ledger.ts';
import { applicationLabel } from './shop-messages.ts';
import { readCustomer } from './store-snapshot.ts';
import { act, advanceWhenReady, allFollow } from './story-advance.ts';
import { type StoryWorld, until } from './story-world.ts';
import { count, duration } from './terminal-style.ts';

/** Looks at both stores; nothing has been changed yet. */
export async function check(world: StoryWorld): Promise<void> {
  const { context, view, say } = world;
  view.set({ activity: 'check: may this migration begin?' });
  const { source, target } = context.stores;
  const findings = [
    ...(await source.setup.inspect('authority')).map((finding) => ({ ...finding, side: 'source' })),
    ...(await target.setup.inspect('follower')).map((finding) => ({ ...finding, side: 'target' })),
  ];
  for (const { verdict, side, message } of findings) {
    if (verdict === 'warn') say('warn', 'check', `${side}: ${message}`);
  }
  const bad = findings.filter(({ verdict }) => verdict === 'fail' || verdict === 'unknown');
  if (bad.length > 0) {
    const words = bad.map(({ side, id, message }) => `${side} ${id}: ${message}`);
    throw new Error(`check: ${words.join('; ')}`);
  }
  say('good', 'check', `${findings.length} findings about both stores, none forbids the migration`);
}

/** Both application processes begin to work, while the migration is still off. */
export async function openTheShop(world: StoryWorld): Promise<void> {
  const { applications, view, say } = world;
  view.set({ activity: 'the shop is open' });
  await Promise.all(applications.map((shop) => shop.start()));
  say(
    'begin',
    'application',
    `two processes serve customers (pid ${applications.map(({ pid }) => pid).join(', ')}); each keeps a ledger of its own`,
  );
  await world.stay(2_000);
}

export async function dualWrite(world: StoryWorld): Promise<void> {
  const { controller, view, say } = world;
  view.set({ activity: 'dual-write: both stores get every new write' });
  const state = await controller.start(act('the demo begins'));
  await allFollow(world, state.version);
  say(
    'begin',
    'dual-write',
    'every write now goes to the legacy shop and, through the door, to the new one',
  );
  await world.stay(1_500);
  const { usualMs, limitMs } = await world.sourceLatency.calibrate(world.signal);
  say(
    'info',
    'latency',
    `a small read of the source takes ${duration(usualMs)} under this load; above ${limitMs} ms the backfill waits`,
  );
  await world.stay(1_000);
}

/** Copies what was there before; has to give way once, because the source is really slow for a while. */
export async function backfill(world: StoryWorld): Promise<void> {
  const { context, view, say, facts } = world;
  view.set({ activity: 'backfill: what was there before is copied' });
  const begun = monotonicMs();
  let rowsRead = 0;
  let finished = false;
  let throttled = false;
  const unsubscribe = context.events.subscribe((event) => {
    if (event.type === 'backfill') {
      rowsRead = event.rowsRead;
      finished = event.finished;
    }
    if (event.type === 'throttle' && event.reason?.startsWith('source latency')) throttled = true;
  });
  try {
    await advanceWhenReady(world, 'backfill');
    say(
      'begin',
      'backfill',
      `${count(world.before.size)} customers, in chunks, while writes go on`,
    );
    const quarter = world.before.size / 4;
    await until(world, 'a quarter of the backfill', 120_000, () => rowsRead > quarter || finished);
    throttled = false;
    view.letThrottleSpeak();
    say('warn', 'stray script', 'somebody locks the legacy table again and again');
    await slowDownSource(
      world,
      world.sourceLatency.limitMs() * timesLimit,
      () => throttled || finished,
    );
    await until(world, 'the end of the backfill', 120_000, () => finished);
    world.sourceLatency.stop();
  } finally {
    unsubscribe();
  }
  facts.throttledByLatency = throttled;
  view.set({ throttle: null });
  say('good', 'backfill', `${count(rowsRead)} rows in ${duration(monotonicMs() - begun)}`);
}

const burstsMin = 4;
const burstsMax = 20;
const betweenBurstsMs = 80;
/** The throttle smooths its measurements, 0.4 for the newest: one lock shall be enough to be above the limit. */
const timesLimit = 4;

/**
 * Real latency on the source: a script of somebody's takes the lock of the table, again and again, each time for longer than
 * the throttle's limit. Ends a few bursts after the throttle has seen it.
 */
async function slowDownSource(
  world: StoryWorld,
  lockMs: number,
  seen: () => boolean,
): Promise<void> {
  const client = new pg.Client({
    connectionString: world.servers.sourceUrl,
    application_name: 'somebody else',
  });
  await client.connect();
  try {
    let seenFor = 0;
    for (let burst = 0; burst < burstsMax && seenFor < burstsMin; burst++) {
      await client.query('BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE');
      await sleep(lockMs);
      await client.query('COMMIT');
      await sleep(betweenBurstsMs, undefined, { signal: world.signal });
      if (seen()) seenFor++;
    }
  } finally {
    await client.end();
  }
}

/** The target's server is stopped for some seconds. Nothing may fail for the application. */
export async function outage(world: StoryWorld): Promise<void> {
  const { context, servers, view, say, facts } = world;
  view.set({ activity: 'outage: the target is down', progress: null, targetUp: false });
  view.resetQueuePeak();
  const begun = monotonicMs();
  await servers.modern.kill();
  say('warn', 'outage', 'the server of the target is killed; the shop stays open');
  await world.stay(4_000);
  await servers.modern.start();
  const up = monotonicMs();
  view.set({ targetUp: true, activity: 'outage: the queue drains' });
  say(
    'info',
    'outage',
    `the target is back after ${duration(up - begun)}; ${count(view.queuePeak)} changes wait`,
  );
  const { queue } = context.stores.source;
  // Writes go on, so a few are always under way; what matters is that nothing old is left.
  await until(world, 'an empty queue', 60_000, async () => {
    const { waiting, oldestMs } = await queue.depth();
    return waiting === 0 || oldestMs < 500;
  });
  const drainedMs = monotonicMs() - up;
  const { writes, failedReads } = historyOf(
    world
      .ledgers()
      .map((lines) => lines.filter(({ at }) => at >= begun))
      .map(withIntentsOnly),
  );
  const outcomes = [...writes.values()];
  const acknowledged = outcomes.filter(({ outcome }) => outcome === 'acknowledged').length;
  const failed =
    failedReads +
    outcomes.filter(({ outcome }) => outcome === 'rejected' || outcome === 'unknown').length;
  facts.outage = {
    downMs: Math.round(up - begun),
    acknowledged,
    failed,
    queuePeak: view.queuePeak,
    drainedMs: Math.round(drainedMs),
  };
  say(
    failed === 0 ? 'good' : 'bad',
    'outage',
    `${count(acknowledged)} writes acknowledged meanwhile, ${failed} failed; the queue reached ${count(view.queuePeak)}, and was drained in ${duration(drainedMs)}`,
  );
  await world.stay(1_000);
}

/** Lines whose write was announced in the same lines; others belong to an earlier chapter. */
function withIntentsOnly(lines: readonly LedgerLine[]): readonly LedgerLine[] {
  const announced = new Set<string>();
  return lines.filter((line) => {
    if (line.t === 'intent') announced.add(line.op);
    return !('op' in line) || announced.has(line.op);
  });
}

/** One application process dies between its two writes. The worker has to bring the target what is missing. */
export async function killBetweenTwoWrites(world: StoryWorld): Promise<void> {
  const { applications, controller, context, servers, view, say, facts } = world;
  const shop = applications[1];
  if (!shop) throw new Error('there is no second application');
  view.set({ activity: 'kill -9 between two writes' });
  const { pid } = shop;
  await shop.killBetweenTwoWrites();
  const died = monotonicMs();
  const lines = world.ledgers()[1] ?? [];
  const last = lines.findLast((line) => line.t === 'authority');
  const intent = lines.findLast((line) => line.t === 'intent' && line.op === last?.op);
  if (!last || intent?.t !== 'intent') throw new Error('the killed process left no last words');
  const wanted = intent.after && digestOfCustomer(intent.after);
  const held = async (): Promise<string | null> => {
    const row = await readCustomer(servers.targetUrl, 'target', intent.id);
    return row && digestOfCustomer(row);
  };
  const missing = (await held()) !== wanted;
  say(
    'warn',
    'kill -9',
    `application 2 (pid ${pid}) died between its two writes of customer ${intent.id}${missing ? ': the source has it, the target does not' : ''}`,
  );
  // The operator knows that it is dead: nobody has to wait for its acknowledgements.
  const dead = (await context.control.fleet.list(context.migration.name)).instances.find(
    ({ label }) => label === applicationLabel(1, pid),
  );
  if (dead) await controller.attestGone(dead.id, act('killed by the demo'));
  const restarted = shop.start();
  await until(
    world,
    'the healing of the killed write',
    30_000,
    async () => (await held()) === wanted,
  );
  facts.healedAfterMs = monotonicMs() - died;
  facts.healedAfterKill = missing;
  await restarted;
  say(
    missing ? 'good' : 'bad',
    'kill -9',
    `healed by the worker ${duration(facts.healedAfterMs)} later; the process is started again (pid ${shop.pid})`,
  );
  await world.stay(1_000);
}
