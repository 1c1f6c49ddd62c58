import type { MigrationContext } from '../../src/control/index.ts';
import type { ChangeSource, ChangeStream, LogBatch, LogChange } from '../../src/log/index.ts';
import {
  type BrokenVariant,
  copying,
  step,
  switching,
  toReads,
  withStores,
} from './broken-scenarios.ts';
import { reverseTooLate } from './broken-switches.ts';
import { calmNetwork, noFaults, roughNetwork, type Scenario } from './scenario.ts';
import type { ProcessKind } from './world.ts';

const everything = ['items', 'orders', 'feed'] as const;

/** Everything comes out of the log, much of it from a program that knows nothing. */
const following: Partial<Scenario> = {
  logged: everything,
  wholeTransactions: false,
  logBatch: 3,
  logImage: 'full',
  direct: true,
  rogue: false,
  keys: 3,
  readShare: 0.05,
  plan: [
    step.start,
    step.wait(20),
    step.advance('backfill'),
    step.wait(300),
    step.advance('shadow-read'),
    step.wait(1_500),
  ],
};

/** Nothing fails. */
const calm: Partial<Scenario> = { faults: noFaults, network: calmNetwork, coordinatorCrashRate: 0 };

/** The same through several changes of authority. */
const turning: Partial<Scenario> = {
  ...following,
  ...switching,
  ...calm,
  logBatch: 12,
  thinkMs: 15,
  keys: 2,
};

/** Processes die all the time. */
const dying: Partial<Scenario> = {
  faults: { ...noFaults, crashMs: 120 },
  faultsHit: 'workers',
  network: roughNetwork,
};

type Patch = (source: ChangeSource) => ChangeSource;

const withLog = (context: MigrationContext, patch: Patch): MigrationContext =>
  withStores(context, (store) => (store.log ? { ...store, log: patch(store.log) } : store));

/** Every batch of every reader goes through `change`. */
const withBatches =
  (change: (batch: LogBatch) => LogBatch) =>
  (context: MigrationContext): MigrationContext =>
    withLog(context, (source) => ({
      ...source,
      async open(options) {
        const stream = await source.open(options);
        const patched: ChangeStream = {
          next: async (waitMs) => change(await stream.next(waitMs)),
          confirm: (checkpoint) => stream.confirm(checkpoint),
          close: () => stream.close(),
        };
        return patched;
      },
    }));

/** Of a child row that moves only the new place is looked at. */
const oldRootForgotten = withBatches((batch) => ({
  ...batch,
  changes: batch.changes.map(
    (change): LogChange =>
      change.kind === 'update' && change.table.name.endsWith('_lines')
        ? { ...change, before: null }
        : change,
  ),
}));

/** A stream that is resumed in the middle of a transaction begins it anew. */
const skipForgotten = (context: MigrationContext): MigrationContext =>
  withLog(context, (source) => ({
    ...source,
    open: (options) => source.open({ ...options, from: { ...options.from, skip: 0 } }),
  }));

/** A transaction of which a part was applied counts as done. */
const skipTakenForDone = withBatches((batch) => {
  const { checkpoint, mark } = batch;
  if (checkpoint.skip === 0) return batch;
  const { sequence } = mark;
  const position = { sequence, text: `memory:${sequence}` };
  return { ...batch, checkpoint: { ...checkpoint, position, skip: 0 } };
});

/** Where the old direction ends is looked up once, before the seal: what commits in between is not waited for. */
const endBeforeSeal = (context: MigrationContext, kind: ProcessKind): MigrationContext => {
  if (kind !== 'operator') return context;
  let end: ReturnType<ChangeSource['end']> | null = null;
  return withLog(context, (source) => ({
    ...source,
    end: () => {
      end ??= source.end();
      return end;
    },
  }));
};

/** What is captured from a log, broken. */
export const brokenLogs: readonly BrokenVariant[] = [
  {
    name: 'the checkpoint of a log commits before the rows',
    defect: {
      sabotage: ['log-checkpoint-before'],
      scenario: { ...following, ...dying, keys: 8, thinkMs: 40 },
    },
  },
  {
    name: 'the checkpoint of a log is not in the transaction',
    defect: {
      sabotage: ['log-checkpoint-after'],
      scenario: {
        ...following,
        ...dying,
        logged: ['items'],
        keys: 2,
        directRowsMax: 40,
        duplicateRate: 0.3,
      },
    },
  },
  {
    name: 'a part of a transaction has to be newer than the part before',
    defect: { sabotage: ['log-parts-refused'], scenario: { ...following, ...calm, keys: 2 } },
  },
  {
    name: 'a re-read does not wait until the log can be seen',
    defect: {
      sabotage: ['reread-before-visible'],
      scenario: { ...following, ...calm, network: { ...calmNetwork, surfaceMs: 40 } },
    },
  },
  {
    name: 'what the door wrote comes back out of the log',
    defect: { sabotage: ['log-mark-ignored'], scenario: { ...turning } },
  },
  {
    name: 'what comes out of the log does not look at the fence',
    defect: { sabotage: ['log-without-fence'], scenario: { ...following, ...dying } },
  },
  {
    name: 'a delete out of the log does not wait for the chunk in flight',
    defect: {
      sabotage: ['delete-skips-chunk'],
      scenario: {
        ...following,
        ...copying,
        ...calm,
        logged: everything,
        logBatch: 12,
        keys: 30,
        chunkRows: 3,
        deleteShare: 0.7,
        thinkMs: 4,
        directRowsMax: 10,
      },
    },
  },
  {
    name: 'a child row that moves is not looked up at its old root',
    defect: {
      wrap: oldRootForgotten,
      scenario: { ...following, ...calm, logged: ['orders'], keys: 12, thinkMs: 40 },
    },
  },
  {
    name: 'a log is resumed without what was applied of a transaction',
    defect: {
      wrap: skipForgotten,
      scenario: { ...following, ...dying, logged: ['items'], keys: 2, directRowsMax: 40 },
    },
  },
  {
    name: 'a transaction of which a part is applied counts as done',
    defect: {
      wrap: skipTakenForDone,
      scenario: { ...following, ...dying, keys: 6, thinkMs: 40, directRowsMax: 40 },
    },
  },
  {
    name: 'the end of a direction is looked up before the seal',
    defect: { wrap: endBeforeSeal, scenario: { ...turning } },
  },
  {
    name: reverseTooLate.name,
    defect: {
      onStep: reverseTooLate.onStep,
      scenario: { ...turning, keys: 40, plan: [...toReads, step.switchTo('target')] },
    },
  },
];
