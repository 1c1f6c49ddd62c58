import type { MigrationContext } from '../control/index.ts';
import type { ChangeStream, LogBatch, LogCheckpoint } from '../log/index.ts';
import { authorityOf, type MigrationState, routingTable } from '../migration/index.ts';
import type { Key } from '../record/index.ts';
import type { LogApplierOptions, StatePasses } from './log-applier.ts';
import { type CollectionChanges, coalesce } from './log-coalesce.ts';
import { type Entered, LogDelivery } from './log-delivery.ts';
import { LogForms } from './log-forms.ts';
import { type Direction, type PreparedChanges, prepareChanges } from './log-prepare.ts';
import { LogRoutes } from './log-routes.ts';
import { loggedCollections, type StreamEnds } from './log-stream.ts';

/** A batch that is ready for the follower. */
interface Ready extends PreparedChanges {
  readonly batch: LogBatch;
  readonly truncated: readonly CollectionChanges[];
}

const PAGE = 1_000;
/** Batches in the follower's hands: one that it works on, one that it can begin at once. */
const IN_FLIGHT_MAX = 2;
/** Keys below which a batch is not worth a second one in flight. */
const SMALL = 500;

/** One reader's way through a stream: reads, puts together, hands on. See `followLog`. */
export class LogSession {
  readonly #context: MigrationContext;
  readonly #ends: StreamEnds;
  readonly #begun: MigrationState;
  readonly #reader: ChangeStream;
  readonly #options: LogApplierOptions;
  readonly #routes: LogRoutes;
  readonly #forms: LogForms;
  readonly #direction: Direction;
  readonly #delivery: LogDelivery;
  readonly #inFlight: Promise<void>[] = [];
  #storedAtMs: number;
  /** When the last batch was handed on that the follower writes down at once, and whether others have followed. */
  #durableAtMs: number;
  #owing = false;
  #wasSmall = false;

  constructor(
    context: MigrationContext,
    ends: StreamEnds,
    begun: MigrationState,
    from: LogCheckpoint,
    reader: ChangeStream,
    options: LogApplierOptions,
  ) {
    const { authority, follower } = ends;
    const { epoch } = begun;
    this.#context = context;
    this.#ends = ends;
    this.#begun = begun;
    this.#reader = reader;
    this.#options = options;
    this.#routes = new LogRoutes(loggedCollections(context.migration), authority);
    this.#forms = new LogForms(context, authority, this.#routes);
    this.#direction = { context, authority, follower, epoch };
    const door = { epoch, timeoutMs: options.followerTimeoutMs };
    this.#delivery = new LogDelivery(context, ends, door, from);
    this.#storedAtMs = context.runtime.clock.monotonic();
    this.#durableAtMs = this.#storedAtMs;
  }

  /** Until the signal, or a state of another direction. Nothing is on its way any more when it ends, however it does. */
  async run(passes: StatePasses, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const pass = passes.enter();
        let applying: Promise<void> | null = null;
        try {
          // What was read under an earlier state is dropped with it: it is still in the log.
          if (!this.#isSame(pass.state)) break;
          const ready = await this.#fetch();
          while (this.#inFlight.length >= IN_FLIGHT_MAX) await this.#inFlight.shift();
          const beganMs = this.#context.runtime.clock.monotonic();
          const { applied } = await this.#begin(ready, pass.state);
          // The pass is held until the follower has it: nobody begins a new generation with it on its way.
          applying = applied.finally(() => pass.leave());
          applying.catch(() => {});
          this.#inFlight.push(applying);
          const small = ready.changes.length > 0 && ready.changes.length < SMALL;
          // One small batch among large ones is the rest of what was read ahead: there is more, and the follower is not to wait for it.
          if (small && this.#wasSmall) await this.#gather(beganMs, signal);
          this.#wasSmall = small;
        } finally {
          if (applying === null) pass.leave();
        }
      }
      await Promise.all(this.#inFlight);
    } finally {
      await Promise.allSettled(this.#inFlight);
    }
  }

  /**
   * After a small batch: what comes meanwhile goes together. A follower that is level would else get hundreds of transactions a second, each with as much
   * work for both stores as one of a hundred rows. A change that comes alone does not wait.
   */
  async #gather(beganMs: number, signal: AbortSignal): Promise<void> {
    await Promise.all(this.#inFlight.splice(0));
    const { clock } = this.#context.runtime;
    const left = beganMs + this.#options.gatherMs - clock.monotonic();
    if (left <= 0) return;
    // Woken for each transaction the process would work several times as much for it, and take the processor from whoever commits there.
    this.#reader.rest?.();
    // An abort ends the loop, not this wait with an error.
    await clock.sleep(left, signal).catch(() => {});
  }

  #isSame({ phase, epoch, generation }: MigrationState): boolean {
    return (
      epoch === this.#begun.epoch &&
      generation === this.#begun.generation &&
      authorityOf(phase) === this.#ends.authority &&
      routingTable[phase].follow === 'apply'
    );
  }

  async #fetch(): Promise<Ready> {
    const batch = await this.#reader.next(this.#options.idleMs);
    if (batch.changes.length === 0) return { batch, changes: [], parked: [], truncated: [] };
    await this.#forms.check(batch.changes);
    const collections = loggedCollections(this.#context.migration);
    const collected = coalesce(batch.changes, this.#routes, collections);
    const prepared = await prepareChanges(this.#direction, collected, batch.mark);
    const truncated = collected.filter((one) => one.truncated !== null);
    return { ...prepared, batch, truncated };
  }

  /** Hands a batch on. `applied` resolves when the follower has it. */
  async #begin(ready: Ready, state: MigrationState): Promise<{ readonly applied: Promise<void> }> {
    const { batch, changes, parked, truncated } = ready;
    const startedMs = this.#context.runtime.clock.monotonic();
    const quiet = changes.length === 0 && parked.length === 0 && truncated.length === 0;
    if (quiet && !this.#worthStoring(batch, startedMs)) return { applied: Promise.resolve() };
    if (truncated.length > 0) await this.#delivery.idle();
    // As deletes go: what refers to a record before the record.
    for (const one of truncated.toReversed()) await this.#emptyOut(one, batch);
    await this.#delivery.park(parked);
    this.#storedAtMs = startedMs;
    const lazy = this.#mayWait(batch, state, startedMs);
    this.#owing = lazy;
    if (!lazy) this.#durableAtMs = startedMs;
    const applied = this.#delivery.deliver(changes, batch.checkpoint, lazy).then((sum) => {
      // What is not on disk there has to stay in the log here.
      if (sum.durable) this.#reader.confirm(batch.checkpoint);
      if (!quiet) this.#tell(batch, { ...sum, parked: sum.parked + parked.length }, startedMs);
    });
    return { applied };
  }

  /**
   * The follower need not write this batch down before it answers. Where it may be read from it does: after a crash a reader would see a record older
   * than before, until the log has brought it again.
   */
  #mayWait({ challenges }: LogBatch, { phase }: MigrationState, nowMs: number): boolean {
    if (challenges.length > 0 || routingTable[phase].reads !== 'authority') return false;
    return nowMs - this.#durableAtMs < this.#options.durableMs;
  }

  /** Somebody waits for a challenge, or something is not on the follower's disk; otherwise the log is told now and then that it may go on. */
  #worthStoring({ challenges, checkpoint }: LogBatch, nowMs: number): boolean {
    if (challenges.length > 0) return true;
    if (this.#owing && nowMs - this.#durableAtMs >= this.#options.durableMs) return true;
    const { position, skip } = this.#delivery.sent;
    const moved = checkpoint.position.sequence !== position.sequence || checkpoint.skip !== skip;
    return moved && nowMs - this.#storedAtMs >= this.#options.storeIdleMs;
  }

  #tell({ changes, committedAtMs }: LogBatch, sum: Entered, startedMs: number): void {
    const { clock } = this.#context.runtime;
    this.#context.events.emit({
      type: 'log',
      side: this.#ends.authority,
      changes: changes.length,
      ...sum,
      lagMs: committedAtMs === null ? null : Math.max(0, clock.now() - committedAtMs),
      ms: clock.monotonic() - startedMs,
    });
  }

  /**
   * A table was emptied. Whatever the follower holds of the collection goes, or is read again, before anything that came later. Chunks in flight are given
   * up first: they may have read rows that are gone, and a tombstone can only wait for a chunk whose keys it knows.
   */
  async #emptyOut({ collection, truncated }: CollectionChanges, batch: LogBatch): Promise<void> {
    if (truncated === null) return;
    const { kind, sequence } = truncated;
    const { door, records } = this.#context.stores[this.#ends.follower];
    await door.pruneFences({ epoch: 0, sequence: 0n });
    let after: Key | null = null;
    for (;;) {
      const page = await records.scan(collection.name, { after, until: null }, PAGE);
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.key;
      const value = kind === 'root' ? null : ('reread' as const);
      const keys = new Map(page.map(({ key }) => [JSON.stringify(key), { key, value, sequence }]));
      const one = [{ collection, keys, truncated: null }];
      const prepared = await prepareChanges(this.#direction, one, batch.mark);
      await this.#delivery.park(prepared.parked);
      await this.#delivery.enterHere(prepared.changes);
    }
  }
}
