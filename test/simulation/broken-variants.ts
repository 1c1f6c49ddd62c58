import type { MigrationContext } from '../../src/control/index.ts';
import { ChangeoverError, isChangeoverError } from '../../src/errors/index.ts';
import { type DataRecord, encodeKey } from '../../src/record/index.ts';
import { brokenLogs } from './broken-logs.ts';
import {
  type BrokenVariant,
  copying,
  step,
  switching,
  withStores,
  writing,
} from './broken-scenarios.ts';
import { brokenSwitches } from './broken-switches.ts';
import { calmNetwork, noFaults, roughNetwork, type Scenario } from './scenario.ts';
import type { ProcessKind, World } from './world.ts';

const serial = {
  items: { write: 'serial', failureMode: 'fail-open' },
  orders: { write: 'serial', failureMode: 'fail-open' },
} as const;

const failClosed = { write: 'serial', failureMode: 'fail-closed' } as const;

/** Processes are stopped again and again in the middle of what they do. */
const pausing = (meanMs: number, faultsHit: Scenario['faultsHit'] = 'all'): Partial<Scenario> => ({
  faults: { ...noFaults, pauseMs: meanMs },
  faultsHit,
  coordinatorCrashRate: 0,
});

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

/** Each has to be caught within `seedsMax` seeds; that is a test. */
export const seedsMax = 400;

/** Nothing of them is captured from a log. */
const withoutLog: readonly BrokenVariant[] = [
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
  { name: 'the token is ignored', defect: { withoutTokens: true } },
  {
    name: 'a healer clears an intent while its owner can still commit',
    defect: {
      sabotage: ['healer-clears-intent'],
      scenario: {
        ...writing,
        ...pausing(250, 'applications'),
        plan: [step.start, step.wait(3_000), step.advance('backfill'), step.wait(300)],
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

/** What a variant does not ask for does not happen. */
const plain = { coordinatorPauseRate: 0, operators: 1, refuseEvery: 0, truncateRate: 0 } as const;

const inPlainWorlds = (
  variants: readonly BrokenVariant[],
  more: Partial<Scenario>,
): readonly BrokenVariant[] =>
  variants.map(({ name, defect }) => ({
    name,
    defect: { ...defect, scenario: { ...plain, ...more, ...defect.scenario } },
  }));

export const brokenVariants: readonly BrokenVariant[] = [
  ...inPlainWorlds([...withoutLog, ...brokenSwitches], { logged: [] }),
  ...inPlainWorlds(brokenLogs, {}),
];
