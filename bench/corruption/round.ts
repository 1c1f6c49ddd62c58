import { memoryControl } from '../../src/adapters/memory/index.ts';
import { runBackfill } from '../../src/backfill/index.ts';
import { prepareStream, presentStream, removeAllStreams } from '../../src/capture/index.ts';
import { defineMigration, type OpenedMigration, openMigration } from '../../src/config/index.ts';
import type { MismatchLine } from '../../src/control/index.ts';
import { initialState, type MigrationState } from '../../src/migration/index.ts';
import { encodeKey } from '../../src/record/index.ts';
import { type Random, seededRandom } from '../../src/runtime/index.ts';
import type { StoreConnector } from '../../src/store/index.ts';
import {
  type RecheckOptions,
  repair,
  type VerifyReport,
  verifyCollection,
} from '../../src/verify/index.ts';
import { startWorker, type Worker } from '../../src/worker/index.ts';
import { idOf, type Judgement, judge } from './judge.ts';
import { startRouterTraffic } from './router-traffic.ts';
import { specimens, trafficRows } from './specimens.ts';
import { type Damage, overwrittenOf, type SpoiledTable, spoilFollower } from './spoil-follower.ts';
import { type ForeignTraffic, isHotKey } from './traffic.ts';

/** Two stores with the tables of a pair; the follower is PostgreSQL and its tables are empty. */
export interface CorruptionPair {
  readonly source: StoreConnector;
  readonly target: StoreConnector;
  /** Connection string of a superuser of the target. */
  readonly targetUrl: string;
  /** In the order in which they are copied, without the specimens. */
  readonly tables: readonly SpoiledTable[];
  /** An application that knows nothing of us writes to the source. */
  readonly traffic: () => ForeignTraffic;
}

export interface CorruptionOptions {
  /** Damages of one round. */
  readonly count: number;
  /** One round for each. */
  readonly seeds: readonly number[];
  /** `log`: a worker follows the log, the traffic is a program of its own. `app`: the traffic goes through the router. */
  readonly capture: 'log' | 'app';
  /** Waits before each recheck of a collection, ms. Default 50, 200, 500. */
  readonly delaysMs?: readonly number[];
  /** Progress. */
  readonly say?: (line: string) => void;
  /** Told of each round as soon as it is over. */
  readonly onRound?: (round: CorruptionRound) => void;
}

/** What one round came to. */
export interface CorruptionRound {
  readonly seed: number;
  readonly damages: readonly Damage[];
  readonly judgement: Judgement;
  /** Of the damages, those done to tables that were made for them. */
  readonly inSpecimens: number;
  /** Records that were compared in the first verification, and how long it took. */
  readonly compared: number;
  readonly verifyMs: number;
  /** Writes of the traffic in the whole round. */
  readonly writes: number;
  /** Found, and repaired. */
  readonly repaired: number;
  /** Found, not repaired and yet no mismatch in the end, where traffic writes: it was quicker. */
  readonly healed: number;
  /** What the verification behind the repair still found. */
  readonly left: number;
  /** Lines of the ledger that are unexplained in the end. */
  readonly unexplained: readonly MismatchLine[];
  /** Collections of the second verification that were proven at one position. */
  readonly aligned: number;
  readonly collections: number;
  /** What the proof called a mismatch and the recheck did not: beside damage that traffic may have written over meanwhile, and when all was repaired. */
  readonly overruled: { readonly first: number; readonly second: number };
}

const never = new AbortController().signal;
const LINES_MAX = 10_000;
const PREPARE_MS = 10_000;

/** Names of slots are the whole server's. */
const migrationName = (): string => `corruption${process.pid}x${Date.now() % 1_000_000}`;

/**
 * Copies the pair; then, for each seed and while traffic goes on, spoils the follower behind the door's back, verifies, judges what the ledger says,
 * repairs, and verifies again.
 */
export async function corruptionRounds(
  pair: CorruptionPair,
  options: CorruptionOptions,
): Promise<readonly CorruptionRound[]> {
  const { capture, say = () => {} } = options;
  const where = `id > ${trafficRows}`;
  const hot = capture === 'log' ? { hot: isHotKey('id') } : {};
  const tables: readonly SpoiledTable[] = [
    ...pair.tables.map((table) => (capture === 'log' ? table : withoutHot(table))),
    { collection: specimens, key: ['id'], where, last: true, ...hot },
  ];
  const opened = await openMigration(
    defineMigration({
      name: migrationName(),
      source: pair.source,
      target: pair.target,
      control: memoryControl(),
      collections: Object.fromEntries(
        tables.map(({ collection, key }) => {
          const shape = { table: collection, key };
          return [collection, { source: shape, target: shape, capture }];
        }),
      ),
    }),
  );
  let worker: Worker | null = null;
  try {
    const state = await begin(opened);
    if (capture === 'log') worker = await follow(opened, state, say);
    for (const { collection } of tables) {
      const copied = await runBackfill(opened, collection, { currentState: () => state }, never);
      say(`${collection}: ${copied.rowsInserted} rows copied`);
    }
    const rounds: CorruptionRound[] = [];
    for (const seed of options.seeds) {
      const recheck = { delaysMs: options.delaysMs ?? [50, 200, 500] };
      const currentState = () => worker?.state() ?? state;
      const scene = { opened, pair, tables, currentState, recheck };
      const round = await spoilAndMend(scene, options, seed);
      options.onRound?.(round);
      rounds.push(round);
    }
    return rounds;
  } finally {
    await worker?.close();
    if (capture === 'log') await removeAllStreams(opened);
    await Promise.all([
      opened.stores.source.setup.uninstall(),
      opened.stores.target.setup.uninstall(),
    ]);
    await opened.close();
  }
}

const withoutHot = ({ hot: _, ...table }: SpoiledTable): SpoiledTable => table;

async function begin({ stores, control, migration }: OpenedMigration): Promise<MigrationState> {
  await Promise.all([
    stores.source.setup.install('authority', 1),
    stores.target.setup.install('follower', 1),
  ]);
  const { version } = await control.load(migration.name);
  const state: MigrationState = {
    ...initialState(migration.name),
    version: version + 1,
    phase: 'shadow-read',
  };
  await control.commit(state, { actor: 'bench', action: 'begin', reason: '', detail: {} });
  return state;
}

async function follow(
  opened: OpenedMigration,
  state: MigrationState,
  say: (line: string) => void,
): Promise<Worker> {
  const ends = presentStream(opened, state);
  if (ends === null) throw new Error('The collections are captured from the log.');
  await prepareStream(ends, PREPARE_MS);
  return startWorker(opened, {
    label: 'bench',
    onError: (task, message) => say(`worker, ${task}: ${message}`),
  });
}

interface Scene {
  readonly opened: OpenedMigration;
  readonly pair: CorruptionPair;
  readonly tables: readonly SpoiledTable[];
  readonly currentState: () => MigrationState;
  readonly recheck: RecheckOptions;
}

async function spoilAndMend(
  scene: Scene,
  { count, capture, say = () => {} }: CorruptionOptions,
  seed: number,
): Promise<CorruptionRound> {
  const { opened, pair, tables } = scene;
  const random: Random = seededRandom(seed);
  const traffic = capture === 'log' ? pair.traffic() : await startRouterTraffic(opened);
  try {
    const damages = await spoilFollower(pair.targetUrl, tables, count, random);
    say(`${damages.length} damages done`);
    const first = await verifyAll(scene);
    const found = await unexplained(opened);
    const changed = await overwrittenOf(pair.targetUrl, tables, damages);
    const judgement = judge(damages, found, changed);
    for (const { collection, key, note } of await suspects(opened))
      say(`  UNDECIDED: ${collection} ${key} ${note}`);
    say(`${judgement.found} found, ${judgement.invented.length} invented`);
    const mended = await repairAll(scene);
    const second = await verifyAll(scene);
    const left = await unexplained(opened);
    const met = damages.filter((damage) => found.some((line) => idOf(line) === idOf(damage)));
    const open = new Set(left.map(idOf));
    return {
      seed,
      damages,
      judgement,
      inSpecimens: damages.filter(({ collection }) => collection === specimens).length,
      compared: sum(first, ({ compared }) => compared),
      verifyMs: sum(first, ({ durationMs }) => durationMs),
      writes: traffic.writes(),
      repaired: met.filter((damage) => mended.has(idOf(damage))).length,
      healed: met.filter((one) => one.hot && !mended.has(idOf(one)) && !open.has(idOf(one))).length,
      left: sum(second, differing),
      unexplained: left,
      aligned: second.filter(({ proof }) => proof.kind === 'aligned').length,
      collections: second.length,
      overruled: { first: overruled(first), second: overruled(second) },
    };
  } finally {
    await traffic.stop();
  }
}

const sum = <T>(all: readonly T[], of: (one: T) => number): number =>
  all.reduce((total, one) => total + of(one), 0);

const overruled = (reports: readonly VerifyReport[]): number =>
  sum(reports, ({ proof }) => proof.overruled);

const differing = ({ persistent, unresolved }: VerifyReport): number =>
  persistent.missing + persistent.extra + persistent.different + unresolved;

async function verifyAll({
  opened,
  tables,
  currentState,
  recheck,
}: Scene): Promise<readonly VerifyReport[]> {
  const reports: VerifyReport[] = [];
  for (const { collection } of tables)
    reports.push(await verifyCollection(opened, collection, { currentState, recheck }, never));
  return reports;
}

/**
 * Parents first: a child that refers to a missing one is refused. Then children first: a surplus parent that a surplus child refers to is kept. Collection and
 * key of what was repaired.
 */
async function repairAll(scene: Scene): Promise<ReadonlySet<string>> {
  const { opened, tables, currentState, recheck } = scene;
  const done = new Set<string>();
  for (const { collection } of [...tables, ...tables.toReversed()]) {
    const how = { currentState, recheck, mode: 'apply', deleteExtras: true } as const;
    const limits = { stopRatio: 1, ratePerSecond: 10_000 };
    const { keys } = await repair(opened, collection, 'open', { ...how, ...limits }, never);
    for (const { key, outcome } of keys)
      if (outcome === 'repaired') done.add(`${collection} ${encodeKey(key)}`);
  }
  return done;
}

/** What nobody could decide. */
const suspects = ({ control, migration }: OpenedMigration): Promise<readonly MismatchLine[]> =>
  control.mismatches.list(migration.name, { status: 'suspect', limit: LINES_MAX });

const unexplained = ({ control, migration }: OpenedMigration): Promise<readonly MismatchLine[]> =>
  control.mismatches.list(migration.name, { status: 'unexplained', limit: LINES_MAX });
