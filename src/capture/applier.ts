import type { MigrationContext } from '../control/index.ts';
import {
  type ChangeoverError,
  dispositionOf,
  isChangeoverError,
  messageOf,
  waitsForAnother,
} from '../errors/index.ts';
import {
  authorityOf,
  collectionOf,
  type MigrationState,
  otherSide,
  type Side,
  toFollower,
} from '../migration/index.ts';
import type { Change } from '../record/index.ts';
import { type BackoffPolicy, backoffMs } from '../runtime/index.ts';
import type { DoorContext, DoorVerdict, Reread } from '../store/index.ts';
import { goneMeanwhile } from './gone-meanwhile.ts';
import { groupByCollection, groupByKey, type KeyWork } from './key-work.ts';
import { outrunLostNumbers } from './lost-numbers.ts';

export interface ApplierOptions {
  /** Entries claimed in one round. */
  readonly batch: number;
  /** Claimed entries are hidden from other workers for this long. */
  readonly claimLeaseMs: number;
  /** Server-side limit of one door transaction. */
  readonly followerTimeoutMs: number;
  /** Between attempts of a change that failed. */
  readonly backoff: BackoffPolicy;
  /** Refused changes are tried so often before they die: a constraint may wait for another change. */
  readonly refusedAttemptsMax: number;
  /** The same where another change may be missing (parent, unique value). Without limit while existing records are still being copied. */
  readonly waitingAttemptsMax: number;
  /** The same for failures that ought to pass (contention); an unreachable store never kills a change. */
  readonly retriedAttemptsMax: number;
}

export const applierDefaults: ApplierOptions = {
  batch: 400,
  claimLeaseMs: 30_000,
  followerTimeoutMs: 10_000,
  backoff: { firstMs: 50, maxMs: 5_000 },
  refusedAttemptsMax: 4,
  waitingAttemptsMax: 12,
  retriedAttemptsMax: 100,
};

/** What one round did; `claimed` 0 means that nothing was due. */
export interface DrainRound {
  readonly claimed: number;
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  /** The follower or the authority did not answer: better wait before the next round. */
  readonly storeDown: boolean;
}

/**
 * One round from the authority's queue to the follower: claim → re-read each key under its lock → transform → door → settle. Any number
 * of workers may do rounds at once; a crash anywhere only leaves entries whose claim runs out. Order does not matter: every change
 * carries the version of its own re-read.
 *
 * Throws only what is not about a single change: CONTROL…, STORE_UNAVAILABLE of the queue itself, BUG.
 */
export async function drainOnce(
  context: MigrationContext,
  state: MigrationState,
  options: ApplierOptions,
): Promise<DrainRound> {
  return new Round(context, state, options).run();
}

class Round {
  readonly #context: MigrationContext;
  readonly #state: MigrationState;
  readonly #options: ApplierOptions;
  readonly #authority: Side;
  readonly #follower: Side;
  #applied = 0;
  #stale = 0;
  #failed = 0;
  #storeDown = false;
  /** Changes in one door transaction; less once a batch was not done in time. */
  #sizeMax: number;

  constructor(context: MigrationContext, state: MigrationState, options: ApplierOptions) {
    this.#context = context;
    this.#state = state;
    this.#options = options;
    this.#authority = authorityOf(state.phase);
    this.#follower = otherSide[this.#authority];
    this.#sizeMax = context.stores[this.#follower].capabilities.batchMax;
  }

  get #queue(): MigrationContext['stores'][Side]['queue'] {
    return this.#context.stores[this.#authority].queue;
  }

  async run(): Promise<DrainRound> {
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    const claimed = await this.#queue.claim(
      this.#options.batch,
      this.#context.instance,
      this.#options.claimLeaseMs,
    );
    if (claimed.length > 0) {
      const changes = await this.#readAll(groupByKey(claimed));
      await this.#applyAll(changes);
      this.#context.events.emit({
        type: 'drained',
        side: this.#authority,
        applied: this.#applied,
        stale: this.#stale,
        failed: this.#failed,
        ms: clock.monotonic() - started,
      });
    }
    return {
      claimed: claimed.length,
      applied: this.#applied,
      stale: this.#stale,
      failed: this.#failed,
      storeDown: this.#storeDown,
    };
  }

  async #readAll(works: readonly KeyWork[]): Promise<readonly Pending[]> {
    const ready: Pending[] = [];
    for (const [name, group] of groupByCollection(works)) {
      for (let at = 0; at < group.length; at += rereadMax) {
        await this.#readSome(name, group.slice(at, at + rereadMax), ready);
      }
    }
    return ready;
  }

  async #readSome(name: string, works: readonly KeyWork[], ready: Pending[]): Promise<void> {
    const { records } = this.#context.stores[this.#authority];
    let answers: readonly Reread[];
    try {
      answers = await records.reread(
        name,
        works.map((work) => work.key),
        this.#state.epoch,
      );
    } catch (error) {
      await this.#postpone(works, error);
      return;
    }
    for (const [index, work] of works.entries()) {
      const answer = answers[index];
      if (answer?.state !== 'read')
        await this.#queue.retryLater(work.ids, busyDelayMs, 'A writer holds the key.', false);
      else await this.#prepare(work, answer, ready);
    }
  }

  async #prepare(work: KeyWork, answer: Reread, ready: Pending[]): Promise<void> {
    try {
      const collection = collectionOf(this.#context.migration, work.collection);
      const value = toFollower(collection, this.#follower, answer.record);
      const { key, version } = answer;
      ready.push({
        work,
        change: { collection: work.collection, key, version, value, origin: 'retry' },
      });
    } catch (error) {
      this.#tellFailure(1, error);
      await this.#bury(work, error);
    }
  }

  async #applyAll(pending: readonly Pending[]): Promise<void> {
    let at = 0;
    while (at < pending.length) {
      const batch = pending.slice(at, at + this.#sizeMax);
      at += batch.length;
      await this.#apply(batch);
    }
  }

  /**
   * A batch that is refused is halved until the refused change stands alone. One that is not done in time says nothing yet about the store: if a
   * single change of it passes, the batch was too big, and the rest goes in smaller ones. The same batch again would never pass.
   */
  async #apply(batch: readonly Pending[]): Promise<void> {
    if (this.#storeDown) {
      await this.#settleLater(batch, 'The follower does not answer.');
      return;
    }
    const doorContext: DoorContext = {
      epoch: this.#state.epoch,
      timeoutMs: this.#options.followerTimeoutMs,
    };
    let verdicts: readonly DoorVerdict[];
    try {
      verdicts = await this.#context.stores[this.#follower].door.apply(
        batch.map(({ change }) => change),
        doorContext,
      );
    } catch (error) {
      if (dispositionOf(error) === 'reject' && batch.length > 1) {
        const half = Math.ceil(batch.length / 2);
        await this.#apply(batch.slice(0, half));
        await this.#apply(batch.slice(half));
        return;
      }
      if (isChangeoverError(error, 'DEADLINE_EXCEEDED') && batch.length > 1) {
        this.#sizeMax = Math.max(1, Math.floor(batch.length / 4));
        await this.#apply(batch.slice(0, 1));
        await this.#applyAll(batch.slice(1));
        return;
      }
      await this.#postpone(
        batch.map(({ work }) => work),
        error,
      );
      return;
    }
    for (const verdict of verdicts) {
      if (verdict === 'applied') this.#applied++;
      else this.#stale++;
    }
    const doubtful = batch.filter(({ work }, at) => work.intent && verdicts[at] === 'stale');
    for (const { work } of doubtful) await this.#outrun(work, doorContext);
    const settled = batch.filter((pending) => !doubtful.includes(pending));
    await this.#complete(settled);
  }

  /** Once the follower has them. A record that has gone since it was read is read again by a later round. */
  async #complete(settled: readonly Pending[]): Promise<void> {
    let gone: ReadonlySet<Change>;
    try {
      const changes = settled.map(({ change }) => change);
      gone = await goneMeanwhile(this.#context, this.#authority, this.#state.epoch, changes);
    } catch (error) {
      await this.#postpone(
        settled.map(({ work }) => work),
        error,
      );
      return;
    }
    const again = settled.filter(({ change }) => gone.has(change));
    for (const { work } of again)
      await this.#queue.retryLater(work.ids, busyDelayMs, 'Gone meanwhile.', false);
    const done = settled.filter(({ change }) => !gone.has(change));
    await this.#queue.complete(done.flatMap(({ work }) => work.ids));
  }

  async #outrun(work: KeyWork, door: DoorContext): Promise<void> {
    try {
      if (await outrunLostNumbers(this.#context, this.#authority, this.#follower, work, door))
        await this.#queue.complete(work.ids);
      else await this.#queue.retryLater(work.ids, busyDelayMs, 'Not newer yet.', false);
    } catch (error) {
      await this.#postpone([work], error);
    }
  }

  /** Later, or to the dead letters, by what the error says about the change itself. */
  async #postpone(works: readonly KeyWork[], error: unknown): Promise<void> {
    this.#tellFailure(works.length, error);
    const disposition = dispositionOf(error);
    if (
      disposition === 'halt' ||
      isChangeoverError(error, 'STORE_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'OUTCOME_UNKNOWN')
    ) {
      this.#storeDown = true;
      await this.#settleLater(
        works.map((work) => ({ work })),
        messageOf(error),
      );
      return;
    }
    const attemptsMax = this.#attemptsMax(error);
    for (const work of works) {
      if (work.attempts + 1 >= attemptsMax) {
        await this.#bury(work, error);
        continue;
      }
      this.#failed++;
      const delayMs = backoffMs(
        this.#options.backoff,
        work.attempts + 1,
        this.#context.runtime.random,
      );
      await this.#queue.retryLater(work.ids, delayMs, messageOf(error), true);
    }
  }

  #attemptsMax(error: unknown): number {
    const { refusedAttemptsMax, retriedAttemptsMax, waitingAttemptsMax } = this.#options;
    if (dispositionOf(error) !== 'reject') return retriedAttemptsMax;
    if (!waitsForAnother(error)) return refusedAttemptsMax;
    const { phase } = this.#state;
    // The record that it refers to may lie behind the backfill; the gate behind that phase sees the age of what still waits.
    return phase === 'dual-write' || phase === 'backfill'
      ? Number.POSITIVE_INFINITY
      : waitingAttemptsMax;
  }

  /** Not the changes' fault: due again soon, no attempt counted. */
  async #settleLater(batch: readonly { readonly work: KeyWork }[], why: string): Promise<void> {
    const ids = batch.flatMap(({ work }) => work.ids);
    this.#failed += batch.length;
    await this.#queue.retryLater(
      ids,
      backoffMs(this.#options.backoff, 4, this.#context.runtime.random),
      why,
      false,
    );
  }

  #tellFailure(changes: number, error: unknown): void {
    this.#context.events.emit({
      type: 'apply-failed',
      side: this.#authority,
      code: codeOf(error),
      message: messageOf(error).replace(/^[A-Z_]+: /, ''),
      changes,
    });
  }

  async #bury(work: KeyWork, error: unknown): Promise<void> {
    this.#failed++;
    const reason = messageOf(error);
    await this.#queue.bury(work.ids, reason);
    this.#context.events.emit({
      type: 'dead-letter',
      collection: work.collection,
      reason: codeOf(error),
    });
  }
}

/** A change that has been read and waits for the door. */
interface Pending {
  readonly work: KeyWork;
  readonly change: Change;
}

const rereadMax = 500;
const busyDelayMs = 20;

function codeOf(error: unknown): string {
  return isChangeoverError(error) ? (error as ChangeoverError).code : 'UNKNOWN';
}
