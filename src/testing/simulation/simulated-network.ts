import type { CommitServer, ControlHook, Step, StepHook } from '../../adapters/memory/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import type { Scheduler, SimulatedProcess } from './scheduler.ts';

/** How the network and the servers behave; rates are probabilities of one message. */
export interface NetworkBehaviour {
  /** One way, milliseconds: uniform between these. */
  readonly latencyMs: readonly [number, number];
  /** Between two rows of a statement that takes long, at most. */
  readonly rowMs: number;
  /** A message takes `spikeMs` longer. */
  readonly spikeRate: number;
  readonly spikeMs: number;
  /** The connection breaks at a statement. */
  readonly cutRate: number;
  /** COMMIT happens, its answer does not come. */
  readonly lostReplyRate: number;
  /** COMMIT stays in flight after the client has given up, and happens or does not. */
  readonly inDoubtRate: number;
  /** Only for clients whose name begins so; '' for all. */
  readonly inDoubtFor: string;
  /** How long such a COMMIT takes at most, milliseconds. */
  readonly inDoubtMs: number;
  /** Between a commit's entry in the log and its visibility, at most, where the log is kept; milliseconds. */
  readonly surfaceMs: number;
  /** A call of the control store fails, after it was carried out or before. */
  readonly controlFailureRate: number;
}

/** Latencies, cuts and lost answers between processes and stores, by the seed. */
export class SimulatedNetwork {
  behaviour: NetworkBehaviour;
  /** Names of processes that cannot reach the control store. */
  readonly cutFromControl = new Set<string>();
  /** `process>database` pairs that cannot reach each other. */
  readonly cutFromStore = new Set<string>();
  /** Process name → factor on every latency. */
  readonly slowness = new Map<string, number>();
  private readonly scheduler: Scheduler;
  private readonly processOf: (client: string) => SimulatedProcess;
  /** Transactions whose COMMIT has left the client. */
  private readonly committing = new Set<string>();

  constructor(
    scheduler: Scheduler,
    behaviour: NetworkBehaviour,
    processOf: (client: string) => SimulatedProcess,
  ) {
    this.scheduler = scheduler;
    this.behaviour = behaviour;
    this.processOf = processOf;
  }

  readonly store: StepHook = {
    request: async (step) => {
      const process = this.processOf(step.client);
      await this.scheduler.wait({ process, ignoresPause: true }, this.latency(step.client));
      if (this.isCut(step)) throw unavailable(step);
      this.say(step);
    },
    reply: async (step) => {
      await this.scheduler.wait(
        { process: this.processOf(step.client) },
        this.latency(step.client),
      );
      if (this.isCut(step)) throw unavailable(step);
    },
    row: async (step) => {
      const process = this.processOf(step.client);
      await this.scheduler.wait(
        { process, ignoresPause: true },
        this.random() * this.behaviour.rowMs,
      );
    },
    commit: (step, server) => this.commit(step, server),
    surface: async (step) => {
      // Most are at once, some take their time: what commits later is then seen earlier.
      const slow = this.chance(0.3) ? 1 : 0.05;
      await this.scheduler.wait({ process: null }, this.random() * this.behaviour.surfaceMs * slow);
      this.say(step);
    },
  };

  readonly control: ControlHook = {
    request: async (client, label) => {
      const process = this.processOf(client);
      await this.scheduler.wait({ process, ignoresPause: true }, this.latency(client) * 2);
      if (this.cutFromControl.has(client) || this.chance(this.behaviour.controlFailureRate / 2)) {
        await this.scheduler.wait({ process }, 20);
        throw new ChangeoverError(
          'CONTROL_UNAVAILABLE',
          `${label} did not reach the control store.`,
        );
      }
    },
    reply: async (client, label) => {
      await this.scheduler.wait({ process: this.processOf(client) }, this.latency(client) * 2);
      if (this.cutFromControl.has(client) || this.chance(this.behaviour.controlFailureRate / 2))
        throw new ChangeoverError('CONTROL_UNAVAILABLE', `No answer to ${label}.`);
    },
  };

  /** When a client dies: whether the server still carries out this transaction's COMMIT. */
  survivesClient(database: string, transaction: number): boolean {
    return this.committing.has(`${database} ${transaction}`) && this.chance(0.5);
  }

  /** Everything works and is quick. */
  heal(): void {
    this.behaviour = {
      ...this.behaviour,
      spikeRate: 0,
      cutRate: 0,
      lostReplyRate: 0,
      inDoubtRate: 0,
      controlFailureRate: 0,
    };
    this.cutFromControl.clear();
    this.cutFromStore.clear();
    this.slowness.clear();
  }

  private async commit(step: Step, server: CommitServer): Promise<void> {
    const { behaviour, scheduler } = this;
    const process = this.processOf(step.client);
    const id = `${step.database} ${step.transaction}`;
    this.committing.add(id);
    if (step.client.startsWith(behaviour.inDoubtFor) && this.chance(behaviour.inDoubtRate)) {
      this.say(step, 'in doubt');
      const fate = this.chance(0.5) ? 'commit' : 'rollback';
      scheduler.post({ process: null }, this.random() * behaviour.inDoubtMs, () => {
        this.committing.delete(id);
        this.say(step, `in doubt: ${fate}`);
        try {
          void server[fate]();
        } catch {
          // The server had ended the transaction before: that is a rollback, too.
        }
      });
      await scheduler.wait({ process }, this.latency(step.client) * 2);
      throw unavailable(step);
    }
    await new Promise<void>((resolve, reject) => {
      scheduler.post({ process: null }, this.latency(step.client), () => {
        this.committing.delete(id);
        this.say(step);
        try {
          const visible = server.commit();
          if (visible) void visible.then(resolve);
          else resolve();
        } catch (error) {
          // A dead client hears nothing.
          if (process.alive) reject(error);
        }
      });
    });
    const lost = this.chance(behaviour.lostReplyRate);
    await scheduler.wait({ process }, this.latency(step.client));
    if (!lost) return;
    this.say(step, 'answer lost');
    throw unavailable(step);
  }

  private isCut(step: Step): boolean {
    if (this.cutFromStore.has(`${step.client}>${step.database}`)) return true;
    return this.chance(this.behaviour.cutRate);
  }

  private latency(client: string): number {
    const [from, to] = this.behaviour.latencyMs;
    const usual = from + this.random() * (to - from);
    const spike = this.chance(this.behaviour.spikeRate)
      ? this.random() * this.behaviour.spikeMs
      : 0;
    return (usual + spike) * (this.slowness.get(client) ?? 1);
  }

  private chance(rate: number): boolean {
    return rate > 0 && this.random() < rate;
  }

  private random(): number {
    return this.scheduler.random.next();
  }

  private say(step: Step, what = ''): void {
    const { client, database, transaction, label } = step;
    this.scheduler.trace.add(
      this.scheduler.now,
      `${client} ${database}#${transaction} ${label}${what && ` ${what}`}`,
    );
  }
}

function unavailable(step: Step): ChangeoverError {
  return new ChangeoverError(
    'STORE_UNAVAILABLE',
    `The connection of ${step.client} to ${step.database} broke at ${step.label}.`,
  );
}
