import {
  MemoryControl,
  MemoryDatabase,
  memoryControl,
  memoryStore,
  type Sabotage,
} from '../../src/adapters/memory/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import type { CutoverStep } from '../../src/cutover/index.ts';
import { createEventHub, type Migration, type Side } from '../../src/migration/index.ts';
import type { Change, Row } from '../../src/record/index.ts';
import { type Runtime, seededRandom } from '../../src/runtime/index.ts';
import type { DoorContext, LogApply, MigrationStore } from '../../src/store/index.ts';
import {
  Scheduler,
  type SimulatedHost,
  SimulatedNetwork,
  type SimulatedProcess,
  simulatedRuntime,
  Truth,
  type Violation,
} from '../../src/testing/simulation/index.ts';
import { type Scenario, scenarioOf } from './scenario.ts';
import { shopMigration } from './shop-migration.ts';

/** The target refuses some records, until somebody has put its tables right. */
function refusals(every: number, world: { readonly stopping: boolean }) {
  if (every === 0) return {};
  const constraint = (row: unknown): string | null => {
    const stamp = Number(String((row as Row)['stamp'] ?? '').slice(1));
    return !world.stopping && stamp > 0 && stamp % every === 0 ? `stamp ${stamp}` : null;
  };
  return { new_items: constraint, new_orders: constraint };
}

/** What makes a world a broken one; see broken-variants.ts. */
export interface Defect {
  readonly sabotage?: readonly Sabotage[];
  readonly scenario?: Partial<Scenario>;
  /** Replaces parts of what a process of this kind is given. */
  readonly wrap?: (context: MigrationContext, kind: ProcessKind, world: World) => MigrationContext;
  /** Called by the coordinator before each step of a change of authority. */
  readonly onStep?: (step: CutoverStep, context: MigrationContext, world: World) => Promise<void>;
  /** Only this judge counts: the history of the clients, or everything else. Default: both. */
  readonly judge?: 'world' | 'history';
  /** The application does not present its tokens. */
  readonly withoutTokens?: boolean;
  /** The application draws a routing key at random for each read. */
  readonly randomDial?: boolean;
}

export type ProcessKind = 'application' | 'worker' | 'operator';

/** A process that runs. */
export interface Running {
  readonly process: SimulatedProcess;
  readonly kind: ProcessKind;
  /** Whose part it plays; a successor plays the same. */
  readonly role: string;
  readonly runtime: Runtime;
  readonly context: MigrationContext;
  /** Settles never when the process dies. */
  readonly host: SimulatedHost;
}

type Main = (running: Running) => Promise<void>;

/** Databases, network, processes and the truth of one seed. */
export class World {
  readonly scheduler: Scheduler;
  readonly scenario: Scenario;
  readonly defect: Defect;
  readonly migration: Migration;
  readonly network: SimulatedNetwork;
  readonly databases: Readonly<Record<Side, MemoryDatabase>>;
  readonly control: MemoryControl;
  readonly truth: Truth;
  readonly hosts: readonly SimulatedHost[];
  /** Those of the databases, too. */
  readonly allHosts: readonly SimulatedHost[];
  /** Process name → virtual time until which it could not follow the control store. */
  readonly disturbedUntil = new Map<string, number>();
  /** Kind and role → who plays it now. */
  readonly running = new Map<string, Running>();
  /** Instances that are dead and that nobody has attested yet. */
  readonly dead = new Set<string>();
  violation: Violation | null = null;
  /** Faults and operations end. */
  stopping = false;
  private readonly processes = new Map<string, SimulatedProcess>();
  private readonly mains = new Map<string, { readonly kind: ProcessKind; readonly main: Main }>();
  private births = 0;

  constructor(seed: number, defect: Defect = {}) {
    this.scheduler = new Scheduler(seed);
    this.defect = defect;
    this.scenario = scenarioOf(
      this.scheduler.random,
      seededRandom(seed + 1_000_003),
      seededRandom(seed + 2_000_003),
      defect.scenario,
    );
    this.migration = shopMigration(this.scenario);
    this.network = new SimulatedNetwork(this.scheduler, this.scenario.network, (client) =>
      this.processNamed(client),
    );
    this.hosts = ['a', 'b', 'c'].map((name) => ({ name, offsetMs: 0 }));
    const databaseHosts = {
      source: { name: 'db-source', offsetMs: 0 },
      target: { name: 'db-target', offsetMs: 0 },
    };
    this.allHosts = [...this.hosts, ...Object.values(databaseHosts)];
    const database = (side: Side): MemoryDatabase => {
      const host = databaseHosts[side];
      const { clock } = simulatedRuntime(this.scheduler, this.processNamed(host.name), host);
      return new MemoryDatabase({
        label: side,
        clock,
        hook: this.network.store,
        constraints: side === 'target' ? refusals(this.scenario.refuseEvery, this) : {},
        logImage: this.scenario.logImage,
        // Large values, so to say: an update that does not touch them does not bring them.
        logLeavesOut: ['items.name', 'new_items.label', 'feed.body'],
      });
    };
    this.databases = { source: database('source'), target: database('target') };
    this.control = new MemoryControl({ hook: this.network.control });
    this.truth = new Truth({
      scheduler: this.scheduler,
      migration: this.migration,
      databases: this.databases,
      onViolation: (violation) => this.violate(violation),
    });
    this.control.onCommit((state) => this.truth.onState(state));
  }

  get random(): Scheduler['random'] {
    return this.scheduler.random;
  }

  get now(): number {
    return this.scheduler.now;
  }

  say(text: string): void {
    this.scheduler.trace.add(this.now, text);
  }

  /** By what was seen in the world; the first one counts. */
  violate(violation: Violation): void {
    this.judge('world', violation);
  }

  judge(by: NonNullable<Defect['judge']>, violation: Violation): void {
    if (this.violation || (this.defect.judge ?? by) !== by) return;
    this.violation = violation;
    this.say(violation.message);
  }

  /** Something of the world's own, not of a process: faults, duplicates. */
  later(ms: number, run: () => void): void {
    this.scheduler.post({ process: null }, ms, run);
  }

  /** Brings a role to life; `main` runs in its process, again after each restart. */
  play(role: string, kind: ProcessKind, main: Main): void {
    this.mains.set(role, { kind, main });
    this.start(role);
  }

  start(role: string): void {
    const { kind, main } = this.mains.get(role)!;
    this.births += 1;
    const name = `${role}.${this.births}`;
    const process = this.processNamed(name);
    const host = this.hosts[this.births % this.hosts.length]!;
    const runtime = simulatedRuntime(this.scheduler, process, host);
    const slowness = this.scenario.applicationSlowness;
    if (kind === 'application' && slowness !== 1) this.network.slowness.set(name, slowness);
    this.say(`${name} starts on host ${host.name}`);
    this.scheduler.post({ process }, 0, () => {
      void this.open(process, kind, runtime).then((context) => {
        const running: Running = { process, kind, role, runtime, context, host };
        this.running.set(role, running);
        return main(running);
      });
    });
  }

  /** SIGKILL: nothing of it ever runs again; the servers roll back what it had open, but a COMMIT that is on its way may arrive. */
  kill(role: string): void {
    const running = this.running.get(role);
    if (!running?.process.alive) return;
    const { name } = running.process;
    running.process.alive = false;
    this.dead.add(name);
    this.say(`${name} is killed`);
    for (const database of Object.values(this.databases)) {
      database.clientDied(name, (transaction) =>
        this.network.survivesClient(database.label, transaction.id),
      );
    }
  }

  /** SIGSTOP, then SIGCONT. */
  pause(role: string, ms: number): void {
    const running = this.running.get(role);
    if (!running?.process.alive) return;
    running.process.pausedUntil = Math.max(running.process.pausedUntil, this.now + ms);
    this.say(`${running.process.name} is stopped for ${Math.round(ms)} ms`);
  }

  /** The process that plays the role cannot be expected to know the newest state for so long. */
  disturb(role: string, ms: number): void {
    const name = this.running.get(role)?.process.name;
    if (name === undefined) return;
    const until = Math.max(this.disturbedUntil.get(name) ?? 0, this.now + ms);
    this.disturbedUntil.set(name, until);
  }

  roles(kind: ProcessKind): readonly string[] {
    return [...this.mains].filter(([, of]) => of.kind === kind).map(([role]) => role);
  }

  processNamed(name: string): SimulatedProcess {
    let process = this.processes.get(name);
    if (!process) {
      process = { name, alive: true, pausedUntil: 0 };
      this.processes.set(name, process);
    }
    return process;
  }

  private async open(
    process: SimulatedProcess,
    kind: ProcessKind,
    runtime: Runtime,
  ): Promise<MigrationContext> {
    const { migration } = this;
    const connect = async (side: Side): Promise<MigrationStore> => {
      const connector = memoryStore({
        database: this.databases[side],
        client: process.name,
        sabotage: this.defect.sabotage ?? [],
        supportsGuard: this.scenario.supportsGuard,
      });
      const shapes = new Map(
        [...migration.collections.values()].map((one) => [one.name, one[side]] as const),
      );
      const logged = new Set<string>(this.scenario.logged);
      const store = await connector.connect({
        migration: migration.name,
        side,
        shapes,
        logged,
        runtime,
      });
      return this.withDuplicates(store);
    };
    const control = await memoryControl({ control: this.control, client: process.name }).connect(
      runtime,
    );
    const context: MigrationContext = {
      migration,
      stores: { source: await connect('source'), target: await connect('target') },
      control,
      runtime,
      events: createEventHub(),
      instance: process.name,
    };
    return this.defect.wrap ? this.defect.wrap(context, kind, this) : context;
  }

  /** The network may deliver a change twice, the second time much later. */
  private withDuplicates(store: MigrationStore): MigrationStore {
    const { duplicateRate } = this.scenario;
    if (duplicateRate === 0) return store;
    const apply = (changes: readonly Change[], context: DoorContext) => {
      if (this.random.next() < duplicateRate) {
        this.later(this.random.next() * 500, () => {
          this.say(`duplicate of ${changes.length} changes to ${store.side}`);
          store.door.apply(changes, context).catch(() => {});
        });
      }
      return store.door.apply(changes, context);
    };
    const { log } = store.door;
    if (!log) return { ...store, door: { ...store.door, apply } };
    const applyLog = (batch: LogApply, context: DoorContext) => {
      if (this.random.next() < duplicateRate) {
        this.later(this.random.next() * 500, () => {
          this.say(`duplicate of a part of ${batch.stream}`);
          log.apply(batch, context).catch(() => {});
        });
      }
      return log.apply(batch, context);
    };
    return { ...store, door: { ...store.door, apply, log: { ...log, apply: applyLog } } };
  }
}
