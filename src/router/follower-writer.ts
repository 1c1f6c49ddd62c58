import type { MigrationContext } from '../control/index.ts';
import { dispositionOf, isChangeoverError, messageOf } from '../errors/index.ts';
import { type Collection, type Shape, type Side, toFollower } from '../migration/index.ts';
import {
  type DataRecord,
  differences,
  encodeKey,
  type Key,
  type Version,
} from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { DoorContext, OpenChange, Written } from '../store/index.ts';
import { type CircuitBreaker, createCircuitBreaker } from './circuit-breaker.ts';
import type { JournalSettler } from './journal-settler.ts';
import type { RouterOptions } from './router-options.ts';

/** A committed write on its way to the follower. */
export interface FollowerWrite {
  readonly collection: Collection;
  readonly follower: Side;
  readonly epoch: number;
  readonly written: Written;
}

/** What the follower's open transaction holds; key and value as the caller spelled them. */
export interface SentChange {
  readonly key: Key;
  readonly value: DataRecord | null;
}

/**
 * Sends committed writes to the follower from the process that made them. Freshness only: whatever goes wrong here, the journal entry
 * stays and the worker applies the record as it is then. Nothing here throws into a caller of a fail-open collection.
 */
export interface FollowerWriter {
  /** Serial: settles when the follower has it, or when `budgetMs` is spent (the write then goes on detached). Never rejects. */
  apply(write: FollowerWrite, budgetMs: number): Promise<void>;
  /** Parallel: opens a follower transaction beside the authority's; goes to `finish` or `cancel`. null: not now (breaker, load). */
  open(
    collection: Collection,
    follower: Side,
    sent: SentChange,
    epoch: number,
  ): Promise<OpenChange> | null;
  /** Parallel, after the authority has committed; detached. */
  finish(write: FollowerWrite, sent: SentChange | null, opening: Promise<OpenChange> | null): void;
  /** Parallel, when there is nothing to follow: the authority refused the write, or found nothing. Detached. */
  cancel(follower: Side, opening: Promise<OpenChange> | null): void;
  /** Rolls a throw-away apply back at the end (phase `shadow-write`); detached. */
  rehearse(write: FollowerWrite): void;
  breaker(side: Side): CircuitBreaker;
  /** Waits for detached writes, at most `ms`. */
  drain(ms: number): Promise<void>;
}

export function createFollowerWriter(
  context: MigrationContext,
  options: RouterOptions,
  settler: JournalSettler,
): FollowerWriter {
  const { clock } = context.runtime;
  const { emit } = context.events;
  const breakers: Record<Side, CircuitBreaker> = {
    source: createCircuitBreaker(clock, 'source', options.breaker, emit),
    target: createCircuitBreaker(clock, 'target', options.breaker, emit),
  };
  const detached = new Set<Promise<void>>();
  const doorContext = (epoch: number): DoorContext => ({
    epoch,
    timeoutMs: options.followerTimeoutMs,
  });

  const admitted = (side: Side): boolean =>
    detached.size < options.detachedMax && breakers[side].allows();

  const queued = (
    write: FollowerWrite,
    why: string,
    outcome: 'queued' | 'failed',
    ms: number,
  ): void => {
    const { journalId } = write.written;
    if (journalId !== null) settler.release(authoritySide(write), journalId, why);
    emit({ type: 'follower-write', collection: write.collection.name, outcome, ms });
  };
  const confirmed = (write: FollowerWrite, outcome: 'applied' | 'stale', ms: number): void => {
    const { journalId } = write.written;
    if (journalId !== null) settler.complete(authoritySide(write), journalId);
    emit({ type: 'follower-write', collection: write.collection.name, outcome, ms });
  };
  /** The store's own failures move the breaker; refused data and a shut door are answers, and what never reached it says nothing. */
  const judge = (side: Side, error: unknown): void => {
    if (isChangeoverError(error, 'STORE_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'OUTCOME_UNKNOWN'))
      breakers[side].failed();
    else if (isChangeoverError(error, 'STORE_CONFLICT', 'STORE_REJECTED', 'DOOR_SHUT'))
      breakers[side].succeeded();
    else breakers[side].withdrawn();
  };

  const applyNow = async (write: FollowerWrite, discard: boolean): Promise<void> => {
    const { collection, follower, written } = write;
    const started = clock.monotonic();
    try {
      const value = toFollower(collection, follower, written.record);
      const version = requireVersion(written.version);
      const change = {
        collection: collection.name,
        key: written.key,
        version,
        value,
        origin: 'live' as const,
      };
      const work = context.stores[follower].door.apply([change], {
        ...doorContext(write.epoch),
        discard,
      });
      const [verdict] = await withDeadline(
        clock,
        options.followerTimeoutMs,
        'The follower write',
        work,
      );
      breakers[follower].succeeded();
      confirmed(write, verdict === 'applied' ? 'applied' : 'stale', clock.monotonic() - started);
    } catch (error) {
      judge(follower, error);
      const outcome = dispositionOf(error) === 'retry' ? 'queued' : 'failed';
      queued(write, messageOf(error), outcome, clock.monotonic() - started);
    }
  };

  const detach = (work: Promise<void>): Promise<void> => {
    const tracked = work.finally(() => detached.delete(tracked));
    detached.add(tracked);
    return tracked;
  };

  const abort = (open: OpenChange): Promise<void> =>
    withDeadline(
      clock,
      options.followerTimeoutMs,
      'Giving a follower write up',
      open.abort(),
    ).catch(() => {});

  const finishOpen = async (
    write: FollowerWrite,
    sent: SentChange,
    opening: Promise<OpenChange>,
  ): Promise<void> => {
    const { collection, follower, written } = write;
    const started = clock.monotonic();
    let open: OpenChange;
    try {
      open = await withDeadline(clock, options.followerTimeoutMs, 'The follower write', opening);
    } catch (error) {
      // It may still open later; then nobody wants it any more.
      opening.then((late) => late.abort()).catch(() => {});
      judge(follower, error);
      queued(write, messageOf(error), 'queued', clock.monotonic() - started);
      return;
    }
    try {
      const stored = toFollower(collection, follower, written.record);
      // Fences go by the authority's spelling of a key: the one of '05' is not the one of '5', and lets an older change of '5' in.
      const sameKey = encodeKey(written.key) === encodeKey(sent.key);
      if (!sameKey || !sameValue(collection[follower], stored, sent.value)) {
        // The authority completed or changed the record (defaults, triggers, scale): what was sent is not what was committed.
        await abort(open);
        await applyNow(write, false);
        return;
      }
      const commit = open.commit(requireVersion(written.version));
      const verdict = await withDeadline(
        clock,
        options.followerTimeoutMs,
        'The follower commit',
        commit,
      );
      breakers[follower].succeeded();
      confirmed(write, verdict === 'applied' ? 'applied' : 'stale', clock.monotonic() - started);
    } catch (error) {
      await abort(open);
      judge(follower, error);
      queued(write, messageOf(error), 'queued', clock.monotonic() - started);
    }
  };

  return {
    async apply(write, budgetMs) {
      if (!admitted(write.follower)) {
        queued(
          write,
          'The follower is not answering, or too many writes to it are in flight.',
          'queued',
          0,
        );
        return;
      }
      const work = detach(applyNow(write, false));
      // Timers are late and never early, and the budget is a promise: aim below it.
      const waitMs = Math.max(0, budgetMs - Math.max(2, budgetMs / 10));
      await withDeadline(clock, waitMs, 'The inline follower write', work).catch(() => {});
    },
    open(collection, follower, sent, epoch) {
      if (!admitted(follower)) return null;
      const change = { collection: collection.name, ...sent, origin: 'live' as const };
      const opening = context.stores[follower].door.open(change, doorContext(epoch));
      opening.catch(() => {});
      return opening;
    },
    finish(write, sent, opening) {
      if (opening && sent) void detach(finishOpen(write, sent, opening));
      else
        queued(
          write,
          'The follower is not answering, or too many writes to it are in flight.',
          'queued',
          0,
        );
    },
    cancel(follower, opening) {
      if (opening === null) return;
      const giveUp = async (): Promise<void> => {
        try {
          await abort(
            await withDeadline(clock, options.followerTimeoutMs, 'The follower write', opening),
          );
          breakers[follower].succeeded();
        } catch (error) {
          opening.then((late) => late.abort()).catch(() => {});
          judge(follower, error);
        }
      };
      void detach(giveUp());
    },
    rehearse(write) {
      if (admitted(write.follower)) void detach(applyNow(write, true));
    },
    breaker: (side) => breakers[side],
    async drain(ms) {
      await withDeadline(
        clock,
        ms,
        'Draining the follower writes',
        Promise.all([...detached]),
      ).catch(() => {});
    },
  };
}

function authoritySide(write: FollowerWrite): Side {
  return write.follower === 'target' ? 'source' : 'target';
}

function requireVersion(version: Version | null): Version {
  if (version === null) throw new Error('A journalled write has no version.');
  return version;
}

/** The same fields with the same text, and the same child rows in whatever order. */
function sameValue(shape: Shape, a: DataRecord | null, b: DataRecord | null): boolean {
  if (a === null || b === null) return a === b;
  const fields = Object.keys(a);
  if (fields.length !== Object.keys(b).length) return false;
  for (const field of fields) {
    const [ours, theirs] = [a[field], b[field]];
    if (theirs === undefined) return false;
    // Rows are paired by key below, where a surplus row with the key of another would not show.
    if (Array.isArray(ours) && ours.length !== theirs?.length) return false;
  }
  const children = Object.entries(shape.children ?? {});
  const keys = Object.fromEntries(children.map(([name, child]) => [name, child.key]));
  return differences(a, b, keys).length === 0;
}
