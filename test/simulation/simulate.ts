import { memoryForeignWriter, memoryLayout } from '../../src/adapters/memory/index.ts';
import { streamName } from '../../src/capture/index.ts';
import { describeGuard, expectedGuard, sameRole } from '../../src/cutover/index.ts';
import { messageOf } from '../../src/errors/index.ts';
import {
  authorityOf,
  type MigrationState,
  otherSide,
  routingTable,
  type Side,
} from '../../src/migration/index.ts';
import type { HistoryVerdict } from '../../src/testing/history/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import { applicationMain, rogueMain } from './application.ts';
import { directMain } from './direct-writer.ts';
import { endFaults, loosenFaults } from './faults.ts';
import { judgeHistory } from './judge-history.ts';
import { Ledger } from './ledger.ts';
import { operatorMain, PlanProgress } from './operator.ts';
import { personMain } from './person.ts';
import { workerMain } from './worker-process.ts';
import { type Defect, World } from './world.ts';

/** What became of one seed. */
export interface SimulationResult {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Equal for equal seeds. */
  readonly digest: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly writes: number;
  readonly reads: number;
  /** Reads of the history by what was asked of them, the last ones of the stores among them. */
  readonly judged: HistoryVerdict['reads'];
  /** The phase at the end. */
  readonly phase: string;
  readonly lastLines: (count: number, about?: string) => readonly string[];
}

/** The whole plan has to be over by then, virtual milliseconds. */
const planMsMax = 60_000;
/** And everything quiet so long after the faults have ended. */
const quietMsMax = 60_000;

/** Runs the world of a seed to its end, or to the first broken guarantee. */
export async function simulate(seed: number, defect: Defect = {}): Promise<SimulationResult> {
  const world = new World(seed, defect);
  const ledger = new Ledger();
  const progress = new PlanProgress();
  let verdict: HistoryVerdict | null = null;
  const onUnhandled = (error: unknown): void =>
    world.violate(new Violation('H', 'a promise', `nobody handled ${messageOf(error)}`));
  process.on('unhandledRejection', onUnhandled);
  try {
    await seedRecords(world, ledger);
    begin(world, ledger, progress);
    const { scheduler } = world;
    await scheduler.run(() => world.violation !== null || progress.finished, planMsMax);
    world.stopping = true;
    endFaults(world);
    const until = scheduler.now + quietMsMax;
    let nextLook = 0;
    const quiet = await scheduler.run(() => {
      if (world.violation) return true;
      if (scheduler.now < nextLook) return false;
      nextLook = scheduler.now + 50;
      return isQuiet(world, ledger);
    }, until);
    if (!world.violation && !quiet)
      world.violate(
        new Violation('G2', 'the world', `not quiet: ${describeUnrest(world, ledger)}`),
      );
    judgeEnd(world, ledger);
    verdict = judgeHistory(world, ledger);
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
  return {
    seed,
    violation: world.violation,
    digest: world.scheduler.trace.digest,
    events: world.scheduler.events,
    virtualMs: world.now,
    writes: ledger.writes,
    reads: ledger.reads,
    judged: verdict?.reads ?? { linearizable: 0, token: 0, written: 0 },
    phase: world.truth.state?.phase ?? 'off',
    lastLines: (count, about) => world.scheduler.trace.last(count, about),
  };
}

/** Records from before the migration. */
export async function seedRecords(world: World, ledger: Ledger): Promise<void> {
  const database = world.databases.source;
  database.hook = null;
  const shapes = new Map(
    [...world.migration.collections.values()].map((one) => [one.name, one.source] as const),
  );
  const writer = memoryForeignWriter({
    database,
    migration: world.migration.name,
    side: 'source',
    shapes,
    client: 'before',
    mark: null,
  });
  for (const name of world.migration.collections.keys()) {
    for (let id = 0; id < world.scenario.keys; id++) {
      if (world.random.next() < 0.3) continue;
      ledger.stamps += 1;
      const stamp = `w${ledger.stamps}`;
      const record = { id: String(id), stamp };
      if (name !== 'feed') ledger.recorder.initial.set(`${name} ${id}`, stamp);
      const lines = name === 'orders' ? { lines: [{ line: '0', product: stamp }] } : {};
      await writer.put(name, [String(id)], { ...record, ...lines });
    }
  }
  database.hook = world.network.store;
}

function begin(world: World, ledger: Ledger, progress: PlanProgress): void {
  const { scenario } = world;
  for (let index = 1; index <= scenario.applications; index++)
    world.play(`app${index}`, 'application', applicationMain(world, ledger));
  for (let index = 1; index <= scenario.workers; index++)
    world.play(`worker${index}`, 'worker', workerMain(world));
  if (scenario.direct && scenario.logged.length > 0)
    world.play('direct', 'operator', directMain(world, ledger));
  if (scenario.rogue) world.play('rogue', 'operator', rogueMain(world, ledger));
  if (scenario.refuseEvery > 0) world.play('person', 'operator', personMain(world));
  for (let index = 1; index <= scenario.operators; index++)
    world.play(`operator${index}`, 'operator', operatorMain(world, ledger, progress));
  loosenFaults(world);
}

function isQuiet(world: World, ledger: Ledger): boolean {
  return describeUnrest(world, ledger) === '';
}

export function describeUnrest(world: World, ledger: Ledger): string {
  const { state } = world.truth;
  if (state?.cutover) return `a change of authority is ${state.cutover.status}`;
  for (const { process } of world.running.values()) {
    if (process.alive && (ledger.busy.get(process.name) ?? 0) > 0) return `${process.name} is busy`;
  }
  const guard = state && wrongGuard(world, state);
  if (guard) return guard;
  if (state === null || routingTable[state.phase].follow !== 'apply') return '';
  const side = authorityOf(state.phase);
  const layout = memoryLayout(world.migration.name, side);
  const waiting = [...world.databases[side].committedRows(layout.queue)].filter(
    ([, row]) => row.dead === null,
  );
  if (waiting.length > 0) return `${waiting.length} changes wait on the ${side}`;
  const unread = unreadOf(world, side);
  if (unread > 0) return `${unread} changes of the log of the ${side} are not applied`;
  const open = Object.values(world.databases).flatMap((database) =>
    database.openTransactions().filter(({ mark }) => mark !== null),
  );
  return open.length > 0 ? `${open.length} transactions are open` : '';
}

/** SPEC.md, table G. */
function wrongGuard({ migration, databases }: World, state: MigrationState): string | null {
  if (state.phase === 'off') return null;
  for (const side of ['source', 'target'] as const) {
    const rows = databases[side].committedRows(memoryLayout(migration.name, side).guard);
    const row = Array.from(rows, ([, one]) => one).at(0);
    const expected = expectedGuard(state, side);
    if (row && sameRole(row, expected) && row.attempt === null) continue;
    return `the guard of the ${side} is ${row && describeGuard(row)}, not ${describeGuard(expected)}`;
  }
  return null;
}

/** Row changes of logged collections behind the follower's checkpoint. */
function unreadOf(world: World, side: Side): number {
  const { migration, databases, scenario } = world;
  const { state } = world.truth;
  if (scenario.logged.length === 0 || state === null) return 0;
  const layout = memoryLayout(migration.name, otherSide[side]);
  const stream = streamName(migration.name, side, state.epoch);
  const checkpoint = databases[otherSide[side]].committed(layout.checkpoints, stream);
  if (!checkpoint) return 1;
  const tables = new Set(
    scenario.logged.flatMap((name) => {
      const shape = migration.collections.get(name)![side];
      return [shape.table, ...Object.values(shape.children ?? {}).map(({ table }) => table)];
    }),
  );
  return databases[side].log
    .behind(checkpoint.position.sequence)
    .filter(({ mark }) => mark === null)
    .flatMap(({ rows }) => rows.filter(({ table }) => tables.has(table))).length;
}

/** G1, G2 and honesty, when everything is at rest. */
function judgeEnd(world: World, ledger: Ledger): void {
  const { truth, migration, databases } = world;
  const { state } = truth;
  const authority = state ? authorityOf(state.phase) : 'source';
  const follower = otherSide[authority];
  const follows = state !== null && routingTable[state.phase].follow === 'apply';
  const copied = state !== null && !['off', 'dual-write', 'backfill'].includes(state.phase);
  const dead = new Set(
    Array.from(databases[authority].committedRows(memoryLayout(migration.name, authority).queue))
      .filter(([, row]) => row.dead !== null)
      .map(([, row]) => `${row.collection} ${row.key}`),
  );
  for (const { collection, key } of truth.allKeys()) {
    const last = truth.historyOf(collection, key).at(-1);
    const subject = `${collection}${key}`;
    const here = truth.stored(authority, collection, key);
    if (here !== (last?.text[authority] ?? null)) {
      world.violate(
        new Violation(
          'G1',
          subject,
          `the ${authority} holds ${here}, the last write was ${last?.text[authority]}`,
        ),
      );
      return;
    }
    const there = truth.stored(follower, collection, key);
    const expected = last?.text[follower] ?? null;
    const mayBeAbsent = !copied && there === null;
    if (follows && there !== expected && !mayBeAbsent && !dead.has(`${collection} ${key}`)) {
      world.violate(
        new Violation('G2', subject, `the ${follower} holds ${there}, expected ${expected}`),
      );
      return;
    }
  }
  if (follows) judgeExtras(world);
  for (const { collection, key, stamp } of ledger.rejected) {
    if (stamp === null || truth.indexOfStamp(collection, key, stamp) < 0) continue;
    world.violate(
      new Violation(
        'H',
        `${collection}${key}`,
        `${stamp} was told to be rejected, and was committed`,
      ),
    );
    return;
  }
}

/** Children without a parent, and records that nobody wrote. */
function judgeExtras(world: World): void {
  for (const side of ['source', 'target'] as const) {
    for (const collection of world.migration.collections.values()) {
      const shape = collection[side];
      const roots = new Set(world.databases[side].committedKeys({ name: shape.table }));
      for (const key of roots) {
        if (world.truth.historyOf(collection.name, key).length === 0)
          world.violate(
            new Violation('G2', `${collection.name}${key}`, `nobody wrote it, the ${side} has it`),
          );
      }
      for (const child of Object.values(shape.children ?? {})) {
        for (const [id] of world.databases[side].committedRows({ name: child.table })) {
          const parent = id.split('\u0001')[0]!;
          if (roots.has(parent)) continue;
          world.violate(
            new Violation(
              'G2',
              `${collection.name}${parent}`,
              `orphans in ${child.table} of the ${side}`,
            ),
          );
        }
      }
    }
  }
}
