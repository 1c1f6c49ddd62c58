import type { WriteMode } from '../../src/migration/index.ts';
import type { Random } from '../../src/runtime/index.ts';
import type { NetworkBehaviour } from '../../src/testing/simulation/index.ts';
import type { CollectionMode, CollectionName } from './shop-migration.ts';

/** What the operator does, one after the other. */
export type PlanStep =
  | { readonly type: 'start' }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'advance'; readonly to: 'backfill' | 'shadow-read' | 'read-switch' }
  | { readonly type: 'dial'; readonly basisPoints: number }
  | { readonly type: 'rollback'; readonly to: 'shadow-read' | 'read-switch' }
  | { readonly type: 'switch'; readonly to: 'source' | 'target' };

/** Mean time between two faults of a kind, milliseconds of virtual time; 0: never. */
export interface FaultRates {
  readonly crashMs: number;
  readonly pauseMs: number;
  readonly storeRestartMs: number;
  readonly partitionMs: number;
  readonly slowMs: number;
  readonly clockJumpMs: number;
}

/** One simulated world, made from a seed. */
export interface Scenario {
  readonly items: CollectionMode;
  readonly orders: CollectionMode;
  readonly applications: number;
  readonly clientsEach: number;
  readonly workers: number;
  readonly keys: number;
  /** Between two operations of one client, at most. */
  readonly thinkMs: number;
  readonly deleteShare: number;
  readonly readShare: number;
  /** A program that writes the feed to the source whatever happens. */
  readonly rogue: boolean;
  /** Collections that are captured from the log. */
  readonly logged: readonly CollectionName[];
  /** Row changes out of a log applied at once, at most: with few, many transactions come in parts. */
  readonly logBatch: number;
  /** Transactions out of a log are applied whole. */
  readonly wholeTransactions: boolean;
  /** What a log tells of old rows. */
  readonly logImage: 'full' | 'keys';
  /** A program that writes large transactions into logged collections of the source, past the library. */
  readonly direct: boolean;
  /** Rows in one of its transactions, at most. */
  readonly directRowsMax: number;
  /** Programs write the feed past the library. */
  readonly feed: boolean;
  readonly supportsGuard: boolean;
  /** Whose processes suffer. */
  readonly faultsHit: 'all' | 'applications' | 'workers';
  /** Longest pause of a process. */
  readonly pauseMaxMs: number;
  readonly chunkRows: number;
  /** Factor on the latency of application processes. */
  readonly applicationSlowness: number;
  /** A call of the door is delivered twice. */
  readonly duplicateRate: number;
  readonly plan: readonly PlanStep[];
  readonly faults: FaultRates;
  readonly network: NetworkBehaviour;
  /** The operator's process dies at a step of a change of authority. */
  readonly coordinatorCrashRate: number;
  /** It is stopped there for longer than its lease, or in the midst of the step. */
  readonly coordinatorPauseRate: number;
  /** Processes that carry out the plan at the same time. */
  readonly operators: number;
  /** The target refuses every so manieth record; 0: none. */
  readonly refuseEvery: number;
  /** A transaction of the program that nobody has told empties a table. */
  readonly truncateRate: number;
}

const pick = <T>(random: Random, values: readonly T[]): T =>
  values[Math.floor(random.next() * values.length)]!;

function mode(random: Random): CollectionMode {
  const write = pick<WriteMode>(random, ['serial', 'parallel', 'deferred']);
  return random.next() < 0.25
    ? { write: 'serial', failureMode: 'fail-closed' }
    : { write, failureMode: 'fail-open' };
}

export const noFaults: FaultRates = {
  crashMs: 0,
  pauseMs: 0,
  storeRestartMs: 0,
  partitionMs: 0,
  slowMs: 0,
  clockJumpMs: 0,
};

export const calmNetwork: NetworkBehaviour = {
  latencyMs: [0.2, 2],
  rowMs: 1,
  spikeRate: 0.01,
  spikeMs: 30,
  cutRate: 0,
  lostReplyRate: 0,
  inDoubtRate: 0,
  inDoubtFor: '',
  inDoubtMs: 0,
  surfaceMs: 5,
  controlFailureRate: 0,
};

export const roughNetwork: NetworkBehaviour = {
  latencyMs: [0.2, 4],
  rowMs: 3,
  spikeRate: 0.02,
  spikeMs: 60,
  cutRate: 0.002,
  lostReplyRate: 0.01,
  inDoubtRate: 0.01,
  inDoubtFor: '',
  inDoubtMs: 150,
  surfaceMs: 20,
  controlFailureRate: 0.01,
};

const roughFaults: FaultRates = {
  crashMs: 700,
  pauseMs: 600,
  storeRestartMs: 2_500,
  partitionMs: 1_200,
  slowMs: 1_500,
  clockJumpMs: 2_000,
};

/** Every seed is one of a few kinds of world, with everything else drawn; what has to do with logs, and with coordinators, from sources of their own. */
export function scenarioOf(
  random: Random,
  logRandom: Random,
  switchRandom: Random,
  overrides: Partial<Scenario> = {},
): Scenario {
  const rough = random.next() < 0.75;
  const wait = (ms: number): PlanStep => ({ type: 'wait', ms: ms * (0.5 + random.next()) });
  const scenario: Scenario = {
    items: mode(random),
    orders: mode(random),
    applications: 2 + Math.floor(random.next() * 2),
    clientsEach: 2,
    workers: 2,
    keys: pick(random, [3, 5, 8]),
    thinkMs: pick(random, [15, 40]),
    deleteShare: pick(random, [0.15, 0.4]),
    readShare: pick(random, [0.3, 0.5]),
    rogue: random.next() < 0.5,
    feed: true,
    supportsGuard: true,
    faultsHit: 'all',
    pauseMaxMs: 2_500,
    chunkRows: pick(random, [2, 4]),
    applicationSlowness: 1,
    duplicateRate: rough ? 0.03 : 0,
    plan: planOf(random, wait),
    faults: rough ? roughFaults : noFaults,
    network: rough ? roughNetwork : calmNetwork,
    coordinatorCrashRate: rough ? 0.04 : 0,
    ...logPart(logRandom),
    ...switchPart(switchRandom, rough),
  };
  return { ...scenario, ...(scenario.logged.length > 0 ? milder(scenario) : {}), ...overrides };
}

/** Following a log, and waiting for its end, is many small looks: as rough as elsewhere, no change of authority would ever come to its end. */
const milder = ({ network, faults }: Scenario): Pick<Scenario, 'network' | 'faults'> => ({
  network: { ...network, cutRate: network.cutRate / 6, inDoubtRate: network.inDoubtRate / 2 },
  faults: { ...faults, storeRestartMs: faults.storeRestartMs * 2, crashMs: faults.crashMs * 1.5 },
});

type LogPart = Pick<
  Scenario,
  'logged' | 'logBatch' | 'wholeTransactions' | 'logImage' | 'direct' | 'directRowsMax'
>;

type SwitchPart = Pick<
  Scenario,
  'coordinatorPauseRate' | 'operators' | 'refuseEvery' | 'truncateRate'
>;

const switchPart = (random: Random, rough: boolean): SwitchPart => ({
  coordinatorPauseRate: random.next() < 0.5 && rough ? 0.06 : 0,
  operators: random.next() < 0.35 ? 2 : 1,
  refuseEvery: pick(random, [0, 0, 0, 19]),
  truncateRate: pick(random, [0, 0.03]),
});

const logPart = (random: Random): LogPart => ({
  logged: loggedOf(random),
  logBatch: pick(random, [3, 12, 40]),
  wholeTransactions: random.next() < 0.3,
  logImage: pick(random, ['full', 'keys'] as const),
  direct: random.next() < 0.8,
  directRowsMax: 9,
});

/** Half of the worlds have a log: often everything is captured from it, as in most real migrations. */
function loggedOf(random: Random): readonly CollectionName[] {
  const all = ['items', 'orders', 'feed'] as const;
  const kind = random.next();
  if (kind < 0.5) return [];
  if (kind < 0.75) return all;
  return all.filter(() => random.next() < 0.5);
}

function planOf(random: Random, wait: (ms: number) => PlanStep): readonly PlanStep[] {
  const begin: readonly PlanStep[] = [
    wait(100),
    { type: 'start' },
    wait(150),
    { type: 'advance', to: 'backfill' },
    wait(150),
    { type: 'advance', to: 'shadow-read' },
  ];
  const kind = random.next();
  if (kind < 0.25) return [...begin, wait(300)];
  const reads: readonly PlanStep[] = [
    wait(80),
    { type: 'advance', to: 'read-switch' },
    { type: 'dial', basisPoints: 1_000 + Math.floor(random.next() * 3_000) },
    wait(200),
    { type: 'dial', basisPoints: 6_000 },
    wait(200),
  ];
  if (kind < 0.45)
    return [
      ...begin,
      ...reads,
      { type: 'rollback', to: random.next() < 0.5 ? 'shadow-read' : 'read-switch' },
      wait(1_400),
    ];
  const there: readonly PlanStep[] = [
    ...begin,
    ...reads,
    { type: 'dial', basisPoints: 10_000 },
    wait(80),
    { type: 'switch', to: 'target' },
    wait(400),
  ];
  if (kind < 0.7) return there;
  return [...there, { type: 'switch', to: 'source' }, wait(300)];
}
