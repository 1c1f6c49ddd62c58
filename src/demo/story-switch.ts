/** The end of the story: authority moves, the source follows, and is retired. */
import pg from 'pg';
import {
  compareStores,
  countRequests,
  type Fault,
  historyOf,
  judgeReads,
  judgeStore,
  longestWriteMs,
} from './judge.ts';
import { monotonicMs } from './ledger.ts';
import type { Judgement } from './proof.ts';
import { type StoreSnapshot, takeSnapshot } from './store-snapshot.ts';
import { advanceWhenReady, allFollow } from './story-advance.ts';
import { sabotage } from './story-sabotage.ts';
import { type StoryWorld, until } from './story-world.ts';
import { count, duration } from './terminal-style.ts';

/** Writes that wait for the switch end within this time after it. */
const afterSwitchMs = 500;

export async function writeSwitch(world: StoryWorld): Promise<void> {
  const { view, say, facts } = world;
  view.set({ activity: 'write switch: authority moves to the target' });
  const begun = monotonicMs();
  const { state, cutover } = await advanceWhenReady(world, 'write-switch');
  await allFollow(world, state.version);
  await world.stay(afterSwitchMs / Math.max(0.1, world.options.pace));
  const pauseMs = longestWriteMs(world.ledgers(), begun, monotonicMs());
  facts.switchPauseMs = pauseMs;
  const steps = cutover?.steps.map(({ step }) => step).join(' → ') ?? '';
  say(
    'good',
    'write switch',
    `the target decides now (epoch ${state.epoch}); the longest write took ${duration(pauseMs)}, by the applications' own clocks`,
  );
  if (steps !== '') say('info', 'write switch', steps);
}

/** The source is kept up to date from the target, so that there is a way back. */
export async function reverse(world: StoryWorld): Promise<void> {
  const { context, view, say } = world;
  view.set({ activity: 'reverse dual-write: the legacy shop follows' });
  const before = view.acknowledgedWrites;
  await world.stay(5_000);
  say(
    'begin',
    'reverse',
    `${count(view.acknowledgedWrites - before)} writes decided by the target and followed by the source`,
  );
  const { queue } = context.stores.target;
  await until(
    world,
    'an empty reverse queue',
    30_000,
    async () => (await queue.depth()).oldestMs < 1_000,
  );
}

/** What both stores held when the source stopped following. */
export interface LastMeeting {
  readonly at: number;
  readonly source: StoreSnapshot;
  readonly target: StoreSnapshot;
}

/** A moment of quiet, so that source and target can be compared exactly, before the source is left behind. */
export async function lastMeeting(world: StoryWorld): Promise<LastMeeting> {
  const { applications, context, servers, view, say } = world;
  view.set({ activity: 'the applications pause, so that both stores can be compared exactly' });
  await Promise.all(
    applications.map((shop) => shop.ask({ type: 'pause', name: 'last meeting' }, 'paused')),
  );
  const at = monotonicMs();
  const { queue } = context.stores.target;
  await until(
    world,
    'an empty reverse queue',
    30_000,
    async () => (await queue.depth()).waiting === 0,
  );
  const [source, target] = await Promise.all([
    takeSnapshot(servers.sourceUrl, 'source'),
    takeSnapshot(servers.targetUrl, 'target'),
  ]);
  say(
    'info',
    'judge',
    `source ${count(source.size)} customers, target ${count(target.size)}; digested for the judge`,
  );
  for (const shop of applications) shop.send({ type: 'resume' });
  return { at, source, target };
}

export async function retire(world: StoryWorld): Promise<void> {
  const { view, say, facts } = world;
  view.set({ activity: 'retired: the source is left behind' });
  const { state } = await advanceWhenReady(world, 'retired');
  await allFollow(world, state.version);
  await world.stay(2_000);
  facts.retired = true;
  say('good', 'retired', 'the target alone serves the shop; the source gets nothing any more');
}

/** The applications end, and the judge compares their ledgers with both stores. */
export async function judge(world: StoryWorld, meeting: LastMeeting): Promise<Judgement> {
  const { applications, before, servers, view, say, options } = world;
  view.set({ activity: 'the judge compares ledgers and stores' });
  await Promise.all(applications.map((shop) => shop.stop()));
  if (options.sabotage)
    await sabotage(servers.targetUrl, options.sabotage, historyOf(world.ledgers()));
  const target = await takeSnapshot(servers.targetUrl, 'target');
  const ledgers = world.ledgers();
  const history = historyOf(ledgers);
  say(
    'info',
    'judge',
    `${count(history.writes.size)} writes of the ledgers against ${count(target.size)} customers`,
  );
  const untilMeeting = historyOf(ledgers, meeting.at);
  return {
    requests: countRequests(history),
    reads: judgeReads(before, history),
    faults: onePerKey([
      ...judgeStore(before, history, target).map((fault) => ({
        ...fault,
        store: 'target' as const,
      })),
      ...judgeStore(before, untilMeeting, meeting.source).map((fault) => ({
        ...fault,
        store: 'source' as const,
      })),
      ...compareStores(meeting.source, meeting.target).map((fault) => ({
        ...fault,
        store: 'both' as const,
      })),
    ]),
    longestWritePauseMs: longestWriteMs(ledgers),
    deadLetters: await countDeadLetters(world),
  };
}

/** The same fault may be seen twice, by the ledger and by comparing the stores. */
function onePerKey<F extends Fault>(faults: readonly F[]): readonly F[] {
  const first = new Map<string, F>();
  for (const fault of faults) if (!first.has(fault.id)) first.set(fault.id, fault);
  return [...first.values()];
}

/** By our own look into the queue tables, not by the engine's word. */
async function countDeadLetters({ servers, context }: StoryWorld): Promise<number> {
  const counts = await Promise.all(
    (['source', 'target'] as const).map(async (side) => {
      const url = side === 'source' ? servers.sourceUrl : servers.targetUrl;
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      try {
        const schema = pg.escapeIdentifier(`changeover_${context.migration.name}_${side}`);
        const { rows } = await client.query<{ dead: string }>(
          `SELECT count(*)::text AS dead FROM ${schema}.queue WHERE dead_at IS NOT NULL`,
        );
        return Number(rows[0]?.dead ?? 0);
      } finally {
        await client.end();
      }
    }),
  );
  return counts.reduce((sum, one) => sum + one, 0);
}
