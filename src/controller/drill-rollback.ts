import { caughtUp, loggedCollections, observeFollowing } from '../capture/index.ts';
import { applyEvent, type MigrationContext, waitForAcknowledgements } from '../control/index.ts';
import {
  type CutoverLimits,
  defaultCutoverLimits,
  drillAction,
  type PausePrediction,
  wayBack,
} from '../cutover/index.ts';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import {
  authorityOf,
  type MigrationState,
  otherSide,
  type Phase,
  routingTable,
  type Side,
  toFollower,
} from '../migration/index.ts';
import { compareVersions, type Key } from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { Act } from './controller-types.ts';

/** One thing that the drill tried. */
export interface DrillCheck {
  readonly check: string;
  readonly verdict: 'pass' | 'warn' | 'fail';
  /** How long it took; null: it is not a matter of time. */
  readonly ms: number | null;
  readonly message: string;
  /** What to do; empty for `pass`. */
  readonly fix: string;
}

/** What a drill found. Goes into the audit as `rollback-drill`. */
export interface DrillResult {
  /** No check failed. */
  readonly ok: boolean;
  readonly phase: Phase;
  /** The state version that the drill made. */
  readonly stateVersion: number;
  /** Until every running instance had acknowledged that version; null: not all did. */
  readonly spreadMs: number | null;
  /** Slowest way of a change through worker and door to the other store; null: none arrived, or nobody follows. */
  readonly arrivalMs: number | null;
  /** What a rollback would take now; null: something is in the way. */
  readonly estimateMs: number | null;
  readonly prediction: PausePrediction | null;
  readonly checks: readonly DrillCheck[];
  /** Everything that the drill touched, in words. */
  readonly touched: readonly string[];
}

/** A change has to come through within this, however long the queue. */
const ARRIVAL_MS = 10_000;
const LOOK_MS = 10;
/** Dead letters are looked at with each so-manieth look. */
const DEAD_LOOKS = 10;
const DEAD_MAX = 1_000;

/**
 * Proves the way back without going: see `Controller.drill`. Each part is tried whatever became of the others. TRANSITION_REFUSED in `off`, `retired`, during a
 * change of authority and while a gap is open; CONTROL_UNAVAILABLE.
 */
export async function drillRollback(
  context: MigrationContext,
  given: Partial<CutoverLimits>,
  act: Act,
): Promise<DrillResult> {
  const limits = { ...defaultCutoverLimits, ...given };
  const state = await applyEvent(context, { type: 'drill' }, act);
  const drill = new Drill(context, state, limits);
  const result = await drill.run();
  const { checks, touched, prediction, ...numbers } = result;
  await context.control.note(context.migration.name, {
    ...act,
    action: drillAction,
    detail: {
      ...numbers,
      generation: state.generation,
      predictedMs: prediction?.ms ?? null,
      parts: prediction?.parts ?? [],
      checks,
      touched,
    },
  });
  return result;
}

class Drill {
  readonly #context: MigrationContext;
  readonly #state: MigrationState;
  readonly #limits: CutoverLimits;
  readonly #checks: DrillCheck[] = [];
  readonly #touched: string[] = ['the state: a new version that says nothing else'];
  #spreadMs: number | null = null;
  #arrivalMs: number | null = null;
  #estimateMs: number | null = null;
  #prediction: PausePrediction | null = null;

  constructor(context: MigrationContext, state: MigrationState, limits: CutoverLimits) {
    this.#context = context;
    this.#state = state;
    this.#limits = limits;
  }

  async run(): Promise<DrillResult> {
    const { phase, version } = this.#state;
    await this.#spread();
    if (routingTable[phase].follow === 'apply') await this.#arrivals();
    for (const side of ['source', 'target'] as const) await this.#guard(side);
    await this.#privileges();
    await this.#sequences();
    if (authorityOf(phase) === 'target') await this.#rehearse();
    else {
      await this.#backward();
      this.#estimateMs = this.#spreadMs;
    }
    return {
      ok: this.#checks.every(({ verdict }) => verdict !== 'fail'),
      phase,
      stateVersion: version,
      spreadMs: this.#spreadMs,
      arrivalMs: this.#arrivalMs,
      estimateMs: this.#estimateMs,
      prediction: this.#prediction,
      checks: this.#checks,
      touched: this.#touched,
    };
  }

  /** Runs one part; a throw is its failure. Milliseconds when it passed. */
  async #try(check: string, fix: string, work: () => Promise<string>): Promise<number | null> {
    const { clock } = this.#context.runtime;
    const began = clock.monotonic();
    try {
      const message = await work();
      const ms = Math.round(clock.monotonic() - began);
      this.#checks.push({ check, verdict: 'pass', ms, message, fix: '' });
      return ms;
    } catch (error) {
      this.#checks.push({ check, verdict: 'fail', ms: null, message: messageOf(error), fix });
      return null;
    }
  }

  async #spread(): Promise<void> {
    const { version } = this.#state;
    const fix =
      'Look whether these instances run and reach the control store; attest those that are gone (attest-gone).';
    this.#spreadMs = await this.#try('instances', fix, async () => {
      await waitForAcknowledgements(this.#context, version, {
        timeoutMs: this.#limits.ackTimeoutMs,
        expired: 'ignore',
      });
      return `Every running instance acknowledges state version ${version}.`;
    });
  }

  /** One existing record of each collection is sent again, by the worker, as it is. */
  async #arrivals(): Promise<void> {
    const { migration, stores } = this.#context;
    const from = authorityOf(this.#state.phase);
    const { workers } = await observeFollowing(this.#context, this.#state, ARRIVAL_MS);
    if (!workers.some(({ alive }) => alive)) {
      this.#checks.push({
        check: 'arrival',
        verdict: 'fail',
        ms: null,
        message: `No worker is heard of: what is written to the ${from} does not reach the ${otherSide[from]}.`,
        fix: 'Start one: changeover run.',
      });
      return;
    }
    const times: (number | null)[] = [];
    for (const name of migration.collections.keys()) {
      const { last } = await stores[from].records.extent(name);
      if (last !== null) times.push(await this.#arrival(from, name, last));
    }
    if (loggedCollections(migration).length > 0) times.push(await this.#logArrival(from));
    const known = times.filter((ms) => ms !== null);
    this.#arrivalMs = known.length === times.length && known.length > 0 ? Math.max(...known) : null;
  }

  #arrival(from: Side, collection: string, key: Key): Promise<number | null> {
    const to = otherSide[from];
    const { stores, runtime } = this.#context;
    const { queue } = stores[from];
    const { door } = stores[to];
    const fix = `See changeover status (last error of the worker) and changeover dlq list --side ${from}.`;
    this.#touched.push(
      `${collection}: one existing record of the ${from} was queued and written again to the ${to}, unchanged`,
    );
    return this.#try(`arrival of ${collection}`, fix, async () => {
      const [before = null] = await door.fences(collection, [key]);
      const ids = await queue.enqueue([{ collection, key, kind: 'change', graceMs: 0 }]);
      const until = runtime.clock.monotonic() + ARRIVAL_MS;
      for (let look = 1; ; look++) {
        const [after = null] = await door.fences(collection, [key]);
        if (after !== null && (before === null || compareVersions(after, before) > 0))
          return `A change in the queue of the ${from} went through the worker and the door of the ${to}.`;
        if (look % DEAD_LOOKS === 0) await this.#refuseDead(from, ids);
        // It stays in the queue, where the worker may be at it: as a retry, it can do no harm.
        if (runtime.clock.monotonic() > until)
          throw new ChangeoverError('DEADLINE_EXCEEDED', await this.#why(from, to));
        await runtime.clock.sleep(LOOK_MS);
      }
    });
  }

  /** A dead letter of ours stands for no change, and would hold up the live ones of its key: it is taken away again. */
  async #refuseDead(from: Side, ids: readonly bigint[]): Promise<void> {
    const { queue } = this.#context.stores[from];
    const dead = (await queue.deadLetters(DEAD_MAX)).find(({ id }) => ids.includes(id));
    if (dead === undefined) return;
    await queue.resolveDead('discard', ids);
    throw new ChangeoverError('FOLLOWER_FAILED', `It was refused: ${dead.reason}`);
  }

  async #why(from: Side, to: Side): Promise<string> {
    const { lastError } = await observeFollowing(this.#context, this.#state, ARRIVAL_MS);
    const why = lastError === null ? 'The worker says nothing of an error.' : lastError.message;
    return `A change in the queue of the ${from} did not reach the ${to} within ${ARRIVAL_MS / 1_000} s. ${why}`;
  }

  #logArrival(from: Side): Promise<number | null> {
    this.#touched.push(`log of the ${from}: one mark`);
    return this.#try(
      'arrival through the log',
      'See changeover status: log and worker.',
      async () => {
        if (!(await caughtUp(this.#context, this.#state, ARRIVAL_MS)))
          throw new ChangeoverError(
            'DEADLINE_EXCEEDED',
            `A mark in the log of the ${from} did not come through within ${ARRIVAL_MS / 1_000} s.`,
          );
        return `A mark in the log of the ${from} came through.`;
      },
    );
  }

  /** The lock that a switch takes: waits as long for writers, and changes nothing. */
  async #guard(side: Side): Promise<void> {
    const { guard, survey } = this.#context.stores[side];
    const fix =
      'Look for transactions that write and stay open: changeover rollback --dry-run names them.';
    this.#touched.push(`guard of the ${side}: locked for a moment, left as it is`);
    await this.#try(`guard of the ${side}`, fix, async () => {
      const { lockTimeoutMs } = this.#limits;
      const seen = await guard.read();
      // A compare-and-set from what it is to what it is, where there is nothing better.
      const row = survey ? await survey.tryLock(lockTimeoutMs) : seen;
      if (!survey) await guard.change(row, row, lockTimeoutMs);
      if (row.attempt !== null)
        throw new ChangeoverError(
          'STATE_CHANGED',
          `It carries the mark of attempt ${row.attempt}.`,
        );
      return `Taken under lock as ${row.role}/${row.epoch}.`;
    });
  }

  /** The preflight of both stores again: privileges are lost, and tables changed, between the start and the hour of need. */
  async #privileges(): Promise<void> {
    const { stores, runtime } = this.#context;
    for (const [side, role] of [
      ['source', 'authority'],
      ['target', 'follower'],
    ] as const) {
      await this.#try(`preflight of the ${side}`, 'changeover check says what to do.', async () => {
        const asked = stores[side].setup.inspect(role);
        const found = await withDeadline(runtime.clock, 30_000, `preflight of the ${side}`, asked);
        const failed = found.filter(({ verdict }) => verdict === 'fail');
        if (failed.length > 0)
          throw new ChangeoverError(
            'STORE_REJECTED',
            failed.map(({ message }) => message).join(' '),
          );
        return `${found.length} findings, none of which fails.`;
      });
    }
  }

  async #sequences(): Promise<void> {
    const { stores } = this.#context;
    await this.#try('sequences', 'Bring the store back.', async () => {
      const [source, target] = await Promise.all([
        stores.source.guard.sequenceValues(),
        stores.target.guard.sequenceValues(),
      ]);
      const both = [...source.keys()].filter((name) => target.has(name)).length;
      return `${source.size} in the source, ${target.size} in the target, ${both} of them in both.`;
    });
  }

  /** Before the switch: does a record of the target make one of the source? Read, converted, and not written. */
  async #backward(): Promise<void> {
    const { migration, stores } = this.#context;
    for (const collection of migration.collections.values()) {
      const { name } = collection;
      await this.#try(`way back of ${name}`, 'Correct the backward transform.', async () => {
        const { last } = await stores.target.records.extent(name);
        if (last === null) return 'The target has no record yet.';
        const [answer] = await stores.target.records.read(name, [last]);
        const record = toFollower(collection, 'source', answer?.record ?? null);
        if (record !== null) await stores.source.records.canonicalise(name, [record]);
        return 'A record of the target was converted, and the source knows its values.';
      });
    }
  }

  async #rehearse(): Promise<void> {
    const back = await wayBack(this.#context, this.#state, this.#limits);
    this.#estimateMs = back.ms;
    this.#prediction = back.rehearsal.prediction;
    for (const { check, verdict, message, fix } of back.rehearsal.checks)
      this.#checks.push({
        check,
        verdict: verdict === 'unknown' ? 'fail' : verdict,
        ms: null,
        message,
        fix,
      });
    const said = new Set(back.rehearsal.checks.map(({ message }) => message));
    for (const { reason, fix } of back.obstacles)
      if (!said.has(reason))
        this.#checks.push({ check: 'drain', verdict: 'fail', ms: null, message: reason, fix });
  }
}
