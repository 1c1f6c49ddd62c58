import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, dispositionOf, isChangeoverError } from '../errors/index.ts';
import type { LogCheckpoint } from '../log/index.ts';
import type { Change } from '../record/index.ts';
import type { DoorContext, LogApplied } from '../store/index.ts';
import type { Parked } from './log-prepare.ts';
import type { StreamEnds } from './log-stream.ts';

/** What became of the keys of a batch. */
export interface Entered {
  readonly applied: number;
  readonly stale: number;
  /** Refused, and left to the queue. */
  readonly parked: number;
  /** The follower's disk has it, and everything before it. */
  readonly durable: boolean;
}

/**
 * Hands batches to the follower's door, in order, without waiting for the one before: it works on one and can begin the next at once. A batch names the
 * checkpoint that will be there when the one before has come through; if that one needed a second try, this one is refused (CHECKPOINT_MOVED)
 * and sent again behind it.
 *
 * What the follower refuses does not hold up the log: a batch is halved until the refused change stands alone, and its key goes to the
 * authority's queue *before* the checkpoint passes it.
 */
export class LogDelivery {
  readonly #context: MigrationContext;
  readonly #ends: StreamEnds;
  readonly #door: DoorContext;
  /** What the follower holds. */
  #at: LogCheckpoint;
  /** What it holds when everything that was handed to it has come through. */
  #sent: LogCheckpoint;
  /** Where the last batch ended that needed more than one try: whoever began there was too early. */
  #resent: LogCheckpoint | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(context: MigrationContext, ends: StreamEnds, door: DoorContext, from: LogCheckpoint) {
    this.#context = context;
    this.#ends = ends;
    this.#door = door;
    this.#at = from;
    this.#sent = from;
  }

  /** Where the follower will stand. */
  get sent(): LogCheckpoint {
    return this.#sent;
  }

  /** Resolves when nothing is on its way; rejects when the last batch failed. */
  async idle(): Promise<void> {
    await this.#last;
  }

  /** The next batch. Resolves when it and all before it have come through. `lazy`: the follower may take its time to write it down. */
  deliver(changes: readonly Change[], to: LogCheckpoint, lazy = false): Promise<Entered> {
    const before = this.#last;
    const from = this.#sent;
    this.#sent = to;
    const attempt = this.#send(changes, from, to, lazy);
    // It is looked at in its turn; a failure until then is not unhandled.
    attempt.catch(() => {});
    const entered = (async (): Promise<Entered> => {
      await before.catch(async (error: unknown) => {
        // Whoever hears of it lets go of the state that this batch was made in: it must not be on its way any more.
        await attempt.catch(() => {});
        throw error;
      });
      try {
        const done = await attempt;
        this.#at = to;
        return { ...done, parked: 0 };
      } catch (error) {
        const early = isChangeoverError(error, 'CHECKPOINT_MOVED') && this.#resent === from;
        if (!early && !mayPassInParts(error, changes)) throw error;
        const sum = early ? await this.#enter(changes, to) : await this.#divide(changes, to, error);
        this.#resent = to;
        return sum;
      }
    })();
    entered.catch(() => {});
    this.#last = entered;
    return entered;
  }

  /** Changes that do not move the checkpoint. Only while nothing is on its way. */
  enterHere(changes: readonly Change[]): Promise<Entered> {
    return this.#enter(changes, this.#at);
  }

  /** Leaves keys to the authority's queue. */
  async park(parked: readonly Parked[]): Promise<void> {
    if (parked.length === 0) return;
    const { queue } = this.#context.stores[this.#ends.authority];
    await queue.enqueue(parked.map((one) => ({ ...one, kind: 'change' as const, graceMs: 0 })));
    for (const { collection, deadReason } of parked) {
      if (deadReason !== undefined)
        this.#context.events.emit({ type: 'dead-letter', collection, reason: 'TRANSFORM_FAILED' });
    }
  }

  #send(
    changes: readonly Change[],
    from: LogCheckpoint,
    to: LogCheckpoint,
    lazy = false,
  ): Promise<LogApplied> {
    const { stream, door } = this.#ends;
    return door.apply({ stream, from, to, changes, lazy }, this.#door);
  }

  async #enter(changes: readonly Change[], to: LogCheckpoint): Promise<Entered> {
    try {
      const done = await this.#send(changes, this.#at, to);
      this.#at = to;
      return { ...done, parked: 0 };
    } catch (error) {
      if (!mayPassInParts(error, changes)) throw error;
      return this.#divide(changes, to, error);
    }
  }

  /** Only the last part moves the checkpoint. */
  async #divide(changes: readonly Change[], to: LogCheckpoint, error: unknown): Promise<Entered> {
    const [only] = changes;
    if (changes.length === 1 && only) {
      // Not about this record: every one of them has a field that the follower does not know.
      const field = isChangeoverError(error, 'STORE_REJECTED') ? error.data['field'] : undefined;
      if (field !== undefined) throw unknownField(only, String(field), error);
      await this.park([{ collection: only.collection, key: only.key }]);
      const rest = await this.#enter([], to);
      return { ...rest, parked: rest.parked + 1 };
    }
    const [one, other] = halvesOf(changes);
    const first = await this.#enter(one, this.#at);
    return sumOf(first, await this.#enter(other, to));
  }
}

/**
 * So that foreign keys do not refuse the halves of what they let in as a whole: records are written in the order of the collections, parents first, and those that
 * are gone leave behind them, in the opposite order. Each half is in the order of the batch again.
 */
function halvesOf(changes: readonly Change[]): readonly [readonly Change[], readonly Change[]] {
  const written = changes.filter(({ value }) => value !== null);
  const gone = changes.filter(({ value }) => value === null);
  const half = Math.ceil(changes.length / 2);
  const first = new Set([...written, ...gone.reverse()].slice(0, half));
  return [changes.filter((one) => first.has(one)), changes.filter((one) => !first.has(one))];
}

/** Refused, or not done in time: fewer at once may pass. */
function mayPassInParts(error: unknown, changes: readonly Change[]): boolean {
  if (changes.length === 0) return false;
  if (isChangeoverError(error, 'DEADLINE_EXCEEDED')) return changes.length > 1;
  return dispositionOf(error) === 'reject';
}

/** Of two in a row. */
function sumOf(a: Entered, b: Entered): Entered {
  return {
    applied: a.applied + b.applied,
    stale: a.stale + b.stale,
    parked: a.parked + b.parked,
    durable: b.durable,
  };
}

function unknownField({ collection }: Change, field: string, cause: unknown): ChangeoverError {
  return new ChangeoverError(
    'SCHEMA_CHANGED',
    `Records of "${collection}" come with "${field}", which the follower's tables do not have. Add it there, or leave it out (columns in the configuration, or the transform) and start the worker again.`,
    { cause, data: { collection, field } },
  );
}
