import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import { ChangeoverError, isChangeoverError } from '../../src/errors/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { type DataRecord, encodeKey } from '../../src/record/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { calmNetwork, noFaults, type PlanStep, roughNetwork, type Scenario } from './scenario.ts';
import type { Defect, ProcessKind, World } from './world.ts';

/** A system with one deliberate defect, in a world that lets it hurt. */
export interface BrokenVariant {
  readonly name: string;
  readonly defect: Defect;
}

const step = {
  wait: (ms: number): PlanStep => ({ type: 'wait', ms }),
  start: { type: 'start' } as const,
  advance: (to: 'backfill' | 'shadow-read' | 'read-switch'): PlanStep => ({ type: 'advance', to }),
  dial: (basisPoints: number): PlanStep => ({ type: 'dial', basisPoints }),
  switchTo: (to: Side): PlanStep => ({ type: 'switch', to }),
};

const toReads: readonly PlanStep[] = [
  step.wait(50),
  step.start,
  step.wait(50),
  step.advance('backfill'),
  step.wait(50),
  step.advance('shadow-read'),
  step.advance('read-switch'),
];

/** Short plan with one change of authority after the other. */
const switching: Partial<Scenario> = {
  plan: [
    ...toReads,
    step.dial(5_000),
    step.wait(100),
    step.switchTo('target'),
    step.wait(400),
    step.switchTo('source'),
    step.wait(300),
    step.advance('read-switch'),
    step.switchTo('target'),
    step.wait(300),
  ],
  thinkMs: 8,
};

/** Much is deleted and created while it is copied, in long chunks. */
const copying: Partial<Scenario> = {
  plan: [
    step.wait(20),
    step.start,
    step.wait(20),
    step.advance('backfill'),
    step.wait(100),
    step.advance('shadow-read'),
    step.wait(200),
  ],
  keys: 8,
  chunkRows: 8,
  deleteShare: 0.5,
  readShare: 0.05,
  thinkMs: 6,
};

const writing: Partial<Scenario> = { ...copying, keys: 3, chunkRows: 2 };

const serial = {
  items: { write: 'serial', failureMode: 'fail-open' },
  orders: { write: 'serial', failureMode: 'fail-open' },
} as const;

const deferred = {
  items: { write: 'deferred', failureMode: 'fail-open' },
  orders: { write: 'deferred', failureMode: 'fail-open' },
} as const;

const failClosed = { write: 'serial', failureMode: 'fail-closed' } as const;

/** Nothing is checked by the store itself: only hold and acknowledgement stand between two authorities. */
const unguarded: Partial<Scenario> = {
  ...switching,
  supportsGuard: false,
  rogue: false,
  coordinatorCrashRate: 0,
  readShare: 0.05,
  thinkMs: 20,
  applicationSlowness: 8,
  faults: noFaults,
  network: calmNetwork,
};

/** Processes are stopped again and again in the middle of what they do. */
const pausing = (meanMs: number, faultsHit: Scenario['faultsHit'] = 'all'): Partial<Scenario> => ({
  faults: { ...noFaults, pauseMs: meanMs },
  faultsHit,
  coordinatorCrashRate: 0,
});

/** World of the unguarded variants; the unbroken system must hold in it. */
export const unguardedScenario = unguarded;

type StorePatch = (store: MigrationStore, side: Side) => MigrationStore;

function withStores(context: MigrationContext, patch: StorePatch): MigrationContext {
  const { source, target } = context.stores;
  return {
    ...context,
    stores: { source: patch(source, 'source'), target: patch(target, 'target') },
  };
}

const withControl = (
  context: MigrationContext,
  patch: Partial<ControlStore>,
): MigrationContext => ({ ...context, control: { ...context.control, ...patch } });

/** The record as it was when the write was made travels with the entry, as many outboxes have it. */
function retryCarriesPayload() {
  const payloads = new WeakMap<World, Map<string, DataRecord | null>>();
  return (context: MigrationContext, _kind: ProcessKind, world: World): MigrationContext => {
    const remembered = payloads.get(world) ?? new Map<string, DataRecord | null>();
    payloads.set(world, remembered);
    return withStores(context, (store, side) => ({
      ...store,
      records: {
        ...store.records,
        async write(write) {
          const written = await store.records.write(write);
          const id = `${side} ${write.collection} ${encodeKey(written.key)}`;
          if (!remembered.has(id) && written.version !== null) remembered.set(id, written.record);
          return written;
        },
        async reread(collection, keys, epoch) {
          const answers = await store.records.reread(collection, keys, epoch);
          return answers.map((answer) => {
            const id = `${side} ${collection} ${encodeKey(answer.key)}`;
            const payload = remembered.get(id);
            if (answer.state !== 'read' || payload === undefined) return answer;
            remembered.delete(id);
            return { ...answer, record: payload };
          });
        },
      },
    }));
  };
}

/** An unknown outcome is told to be a failure. */
const timeoutIsFailure = (context: MigrationContext): MigrationContext =>
  withStores(context, (store) => ({
    ...store,
    records: {
      ...store.records,
      async write(write) {
        try {
          return await store.records.write(write);
        } catch (error) {
          if (!isChangeoverError(error, 'OUTCOME_UNKNOWN')) throw error;
          throw new ChangeoverError('STORE_CONFLICT', 'It took too long, so it has failed.');
        }
      },
    },
  }));

/** The coordinator believes that the queue is empty. */
const flipWithoutDrain = (context: MigrationContext, kind: ProcessKind): MigrationContext =>
  kind !== 'operator'
    ? context
    : withStores(context, (store) => ({
        ...store,
        queue: {
          ...store.queue,
          depth: async () => ({ waiting: 0, dead: 0, oldestMs: 0 }),
        },
      }));

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

/** Each has to be caught within `seedsMax` seeds; that is a test. */
export const seedsMax = 400;

export const brokenVariants: readonly BrokenVariant[] = [
  {
    name: 'the door applies without looking at the fence',
    defect: { sabotage: ['door-without-fence'], scenario: writing },
  },
  {
    name: 'the fence commits outside of the row transaction',
    defect: { sabotage: ['fence-in-own-transaction'], scenario: writing },
  },
  {
    name: 'a delete leaves no tombstone',
    defect: { sabotage: ['tombstone-forgotten'], scenario: writing },
  },
  {
    name: 'the backfill overwrites',
    defect: { sabotage: ['backfill-overwrites'], scenario: copying },
  },
  {
    name: 'a retry carries the payload of the moment when it was enqueued',
    defect: { wrap: retryCarriesPayload(), scenario: writing },
  },
  {
    name: 'a timeout is taken for a failure',
    defect: { wrap: timeoutIsFailure, scenario: writing },
  },
  { name: 'the dial is drawn at random', defect: { randomDial: true } },
  {
    name: 'the flip does not wait for the drain',
    defect: { wrap: flipWithoutDrain, scenario: switching },
  },
  {
    name: 'the acknowledgement is not awaited',
    defect: { wrap: acknowledgementNotAwaited, scenario: unguarded },
  },
  {
    name: 'the acknowledgement means "seen"',
    defect: { wrap: acknowledgementMeansSeen, scenario: unguarded },
  },
  { name: 'the token is ignored', defect: { withoutTokens: true } },
  {
    name: 'a paused repair worker writes after the flip',
    defect: {
      sabotage: ['door-without-role'],
      scenario: {
        ...switching,
        ...deferred,
        ...pausing(250, 'workers'),
        plan: [...toReads, step.wait(100), step.switchTo('target'), step.wait(1_000)],
        pauseMaxMs: 1_500,
        workers: 4,
        keys: 2,
        thinkMs: 3,
        rogue: false,
        network: calmNetwork,
      },
    },
  },
  {
    name: 'a healer clears an intent while its owner can still commit',
    defect: {
      sabotage: ['healer-clears-intent'],
      scenario: {
        ...writing,
        ...pausing(400, 'applications'),
        plan: [step.start, step.wait(1_500), step.advance('backfill'), step.wait(300)],
        items: failClosed,
        orders: failClosed,
        feed: false,
        keys: 30,
        applications: 3,
        clientsEach: 4,
        pauseMaxMs: 1_500,
        network: { ...roughNetwork, inDoubtRate: 0.3, inDoubtFor: 'app', inDoubtMs: 50 },
      },
    },
  },
  {
    name: 'the version is drawn before the lock',
    defect: { sabotage: ['version-before-lock'], scenario: { ...writing, keys: 1 } },
  },
  {
    name: 'the guard admits every marked session',
    defect: { sabotage: ['guard-admits-marked'], scenario: { ...switching, rogue: true } },
  },
  {
    name: 'a delete does not wait for the chunk in flight',
    defect: { sabotage: ['delete-skips-chunk'], scenario: copying },
  },
  {
    name: 'a delete that finds nothing in flight does not look again',
    defect: {
      sabotage: ['delete-looks-once'],
      scenario: { ...copying, applicationSlowness: 8, network: calmNetwork },
    },
  },
  {
    name: 'a zombie chunk is accepted',
    defect: {
      sabotage: ['zombie-chunk'],
      scenario: { ...copying, ...pausing(60), network: roughNetwork, chunkRows: 2 },
    },
  },
  {
    name: 'a chunk does not look at the fences again',
    defect: {
      sabotage: ['chunk-without-second-look'],
      scenario: {
        ...copying,
        ...serial,
        keys: 12,
        chunkRows: 12,
        thinkMs: 4,
        applications: 3,
        network: { ...calmNetwork, rowMs: 60 },
        faults: noFaults,
      },
    },
  },
  {
    name: 'a re-read is not serialized with the writes of its key',
    defect: { sabotage: ['reread-unserialized'], scenario: { ...writing, keys: 1 } },
  },
  {
    name: 'the guard does not wait for those it has let in',
    defect: {
      sabotage: ['guard-without-drain'],
      scenario: {
        ...switching,
        network: calmNetwork,
        faults: { ...noFaults, partitionMs: 100 },
        applicationSlowness: 6,
        supportsGuard: false,
        rogue: false,
        feed: false,
      },
    },
  },
];
