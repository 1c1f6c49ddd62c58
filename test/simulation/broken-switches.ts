import { presentStream } from '../../src/capture/index.ts';
import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import type { CutoverStep } from '../../src/cutover/index.ts';
import { authorityOf, otherSide } from '../../src/migration/index.ts';
import type { Change } from '../../src/record/index.ts';
import type { DoorContext } from '../../src/store/index.ts';
import { type BrokenVariant, step, switching, toReads, withStores } from './broken-scenarios.ts';
import { calmNetwork, noFaults, type Scenario } from './scenario.ts';
import type { Defect, ProcessKind, World } from './world.ts';

/** Several changes of authority, and nothing fails. */
const calm: Partial<Scenario> = {
  ...switching,
  faults: noFaults,
  network: calmNetwork,
  coordinatorCrashRate: 0,
  coordinatorPauseRate: 0,
};

/** Nothing is checked by the store itself: only hold and acknowledgement stand between two authorities. */
const unguarded: Partial<Scenario> = {
  ...calm,
  supportsGuard: false,
  rogue: false,
  direct: false,
  readShare: 0.05,
  thinkMs: 20,
  applicationSlowness: 8,
};

/** Hold, acknowledgement and lease alone; sound as long as every process runs, which is a test. */
export const withoutGuard: Defect = { sabotage: ['guard-not-asked'], scenario: unguarded };

const withControl = (
  context: MigrationContext,
  patch: Partial<ControlStore>,
): MigrationContext => ({ ...context, control: { ...context.control, ...patch } });

/** The coordinator does not wait: everybody seems to have acknowledged. */
const acknowledgementNotAwaited = (
  context: MigrationContext,
  kind: ProcessKind,
): MigrationContext =>
  kind !== 'operator'
    ? context
    : withControl(context, {
        fleet: {
          ...context.control.fleet,
          async list(migration) {
            const { nowMs, instances } = await context.control.fleet.list(migration);
            const told = instances.map((one) => ({
              ...one,
              acknowledgedVersion: Number.MAX_SAFE_INTEGER,
            }));
            return { nowMs, instances: told };
          },
        },
      });

/** Instances acknowledge what they have seen, whatever they have in flight. */
const acknowledgementMeansSeen = (
  context: MigrationContext,
  kind: ProcessKind,
): MigrationContext => {
  if (kind !== 'application') return context;
  let seen = 0;
  const { fleet } = context.control;
  const tell = (version: number): Promise<void> =>
    fleet.heartbeat(
      context.migration.name,
      { id: context.instance, kind: 'router', label: '', acknowledgedVersion: version },
      400,
    );
  return withControl(context, {
    watch(migration, onState, onError) {
      return context.control.watch(
        migration,
        (state) => {
          seen = Math.max(seen, state.version);
          onState(state);
          void tell(seen).catch(() => {});
        },
        onError,
      );
    },
    fleet: {
      ...fleet,
      heartbeat: (migration, instance, leaseMs) =>
        fleet.heartbeat(
          migration,
          { ...instance, acknowledgedVersion: Math.max(seen, instance.acknowledgedVersion) },
          leaseMs,
        ),
    },
  });
};

const patienceMs = 25;

/** A hold of which nothing is heard for a while is taken for over. */
const releasedOnAGuess = (context: MigrationContext, kind: ProcessKind): MigrationContext => {
  if (kind !== 'application') return context;
  const { clock } = context.runtime;
  return withControl(context, {
    watch(migration, onState, onError) {
      return context.control.watch(
        migration,
        (state) => {
          onState(state);
          const { cutover } = state;
          if (!cutover?.writesHeld) return;
          const guessed = {
            ...state,
            version: state.version + 0.5,
            cutover: { ...cutover, writesHeld: false },
          };
          void clock.sleep(patienceMs).then(() => onState(guessed));
        },
        onError,
      );
    },
  });
};

/** The coordinator takes any guard of the role that it expects for its own. */
const marksIgnored = (context: MigrationContext, kind: ProcessKind): MigrationContext =>
  kind !== 'operator'
    ? context
    : withStores(context, (store) => ({
        ...store,
        guard: {
          ...store.guard,
          async change(from, to, lockTimeoutMs) {
            const row = await store.guard.read();
            const expected = row.role === from.role && row.epoch === from.epoch;
            return store.guard.change(expected ? row : from, to, lockTimeoutMs);
          },
        },
      }));

/** The answer to the entry is taken for lost, and the attempt for failed. */
async function undoneAfterEntry(at: CutoverStep, context: MigrationContext): Promise<void> {
  if (at !== 'settle') return;
  const { phase, epoch } = await context.control.load(context.migration.name);
  const now = authorityOf(phase);
  for (const side of [now, otherSide[now]] as const) {
    const { guard } = context.stores[side];
    const role = side === now ? 'follower' : 'authority';
    await guard.change(await guard.read(), { role, epoch: epoch - 1, attempt: null }, 200);
  }
}

/** Where the log of the new direction begins is looked up when it is needed first. */
async function reverseBeginsLate(at: CutoverStep, context: MigrationContext): Promise<void> {
  if (at !== 'settle') return;
  await context.runtime.clock.sleep(100);
  const ends = presentStream(context, await context.control.load(context.migration.name));
  const from = await ends?.door.checkpoint(ends.stream);
  if (!ends || !from) return;
  const to = { ...from, position: await ends.log.end(), skip: 0 };
  // A reader may be quicker.
  await ends.door.move(ends.stream, from, to).catch(() => {});
}

/** Nobody looks at the dead letters. */
const deadLettersOverlooked = (context: MigrationContext, kind: ProcessKind): MigrationContext =>
  kind !== 'operator'
    ? context
    : withStores(context, (store) => ({
        ...store,
        queue: {
          ...store.queue,
          depth: async () => ({ ...(await store.queue.depth()), dead: 0 }),
        },
      }));

/** Workers are stopped with a repair in their hands, for about as long as a change of authority takes. */
const pausedInRepair = (
  context: MigrationContext,
  kind: ProcessKind,
  world: World,
): MigrationContext => {
  if (kind !== 'worker') return context;
  const { clock, random } = context.runtime;
  const [role = ''] = context.instance.split('.');
  return withStores(context, (store) => ({
    ...store,
    door: {
      ...store.door,
      async apply(changes: readonly Change[], door: DoorContext) {
        if (changes.some(({ origin }) => origin === 'repair') && random.next() < 0.6) {
          world.pause(role, 200 + random.next() * 800);
          await clock.sleep(0);
        }
        return store.door.apply(changes, door);
      },
    },
  }));
};

/** Changes of authority, broken; nothing is captured from a log. */
export const brokenSwitches: readonly BrokenVariant[] = [
  {
    name: 'the acknowledgement is not awaited',
    defect: { ...withoutGuard, wrap: acknowledgementNotAwaited },
  },
  {
    name: 'the acknowledgement means "seen"',
    defect: { ...withoutGuard, wrap: acknowledgementMeansSeen },
  },
  {
    name: 'a lease takes the place of the guard',
    defect: {
      ...withoutGuard,
      scenario: {
        ...unguarded,
        faults: { ...noFaults, pauseMs: 150 },
        faultsHit: 'applications',
        pauseMaxMs: 2_000,
      },
    },
  },
  {
    name: 'a held write is released to the old authority on a guess',
    defect: { ...withoutGuard, wrap: releasedOnAGuess },
  },
  {
    name: 'a coordinator that slept goes on after its attempt was undone',
    defect: { wrap: marksIgnored, scenario: { ...calm, coordinatorPauseRate: 0.25 } },
  },
  {
    name: 'an attempt is undone after its entry in the journal',
    defect: { onStep: undoneAfterEntry, scenario: { ...calm, rogue: true } },
  },
  {
    name: 'dead letters are left behind by the switch, and sent again after it',
    defect: { wrap: deadLettersOverlooked, scenario: { ...calm, refuseEvery: 4 } },
  },
  {
    name: 'a paused repair worker writes after the flip',
    defect: {
      sabotage: ['door-without-role'],
      wrap: pausedInRepair,
      scenario: {
        ...calm,
        items: { write: 'deferred', failureMode: 'fail-open' },
        orders: { write: 'deferred', failureMode: 'fail-open' },
        plan: [...toReads, step.wait(100), step.switchTo('target'), step.wait(1_000)],
        workers: 4,
        keys: 2,
        thinkMs: 3,
        rogue: false,
      },
    },
  },
];

/** The same with a log; see broken-logs.ts for the world. */
export const reverseTooLate = {
  name: 'the reverse direction begins where its log stood after the switch',
  onStep: reverseBeginsLate,
} as const;
