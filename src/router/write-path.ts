import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import {
  authorityOf,
  type Collection,
  collectionOf,
  type MigrationState,
  otherSide,
  routingTable,
  type Side,
  toFollower,
} from '../migration/index.ts';
import type { DataRecord, Key } from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { AuthorityWrite, OpenChange, Written } from '../store/index.ts';
import type { FollowerWriter } from './follower-writer.ts';
import type { JournalSettler } from './journal-settler.ts';
import type { RouterOptions } from './router-options.ts';
import type { Pass, StateView } from './state-view.ts';

/** When the authority had confirmed (monotonic ms); 0 until then. */
export interface WriteTiming {
  authorityAt: number;
}

/** A write as the application asked for it, in the shape of `view`. */
export interface WriteRequest {
  readonly collection: Collection;
  readonly view: Side;
  readonly action: 'put' | 'update' | 'delete';
  readonly key: Key;
  readonly record: DataRecord;
}

/**
 * A write, from the hold to the answer: *held?* → routed by one state → authority commits (with its journal entry) → follower inline,
 * beside, or later. The caller's outcome is the authority's and nothing else's, except for fail-closed collections.
 */
export class WritePath {
  readonly #context: MigrationContext;
  readonly #options: RouterOptions;
  readonly #view: StateView;
  readonly #follower: FollowerWriter;
  readonly #settler: JournalSettler;
  #held = 0;

  constructor(
    context: MigrationContext,
    options: RouterOptions,
    view: StateView,
    follower: FollowerWriter,
    settler: JournalSettler,
  ) {
    this.#context = context;
    this.#options = options;
    this.#view = view;
    this.#follower = follower;
    this.#settler = settler;
  }

  /** What was written, and in which store's shape it is told. */
  async write(request: WriteRequest): Promise<{ readonly written: Written; readonly side: Side }> {
    return this.routed(request.collection.name, async (pass, timing) => ({
      written: await this.#writeBy(pass.state, request, timing),
      side: authorityOf(pass.state.phase),
    }));
  }

  /** The authority's closure alone; see `Router.write`. */
  closures<T>(name: string, closures: Readonly<Record<Side, () => Promise<T>>>): Promise<T> {
    // Not an async function: handing a promise on through one costs as much as all the rest.
    if (this.#context.migration.collections.get(name)?.capture !== 'outbox')
      return this.#refuseClosures(name);
    return this.routed(name, (pass) => closures[authorityOf(pass.state.phase)]());
  }

  async #refuseClosures(name: string): Promise<never> {
    const collection = collectionOf(this.#context.migration, name);
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `Collection "${collection.name}" is captured by the library, so a closure's write would not be seen: declare capture "outbox", or use keyed writes.`,
    );
  }

  /**
   * Runs `attempt` under a pass while writes are not held. AUTHORITY_FENCED and DOOR_SHUT mean that a store refused it because authority
   * moves or has moved: nothing was written, so it runs again by a newer state, within the hold deadline. Everything else is the caller's.
   */
  async routed<T>(
    collection: string,
    attempt: (pass: Pass, timing: WriteTiming) => Promise<T>,
  ): Promise<T> {
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    for (;;) {
      if (this.#view.current().cutover?.writesHeld) await this.#waitForRelease(collection, started);
      const pass = this.#view.enter();
      const timing: WriteTiming = { authorityAt: 0 };
      let failure: unknown;
      try {
        if (pass.state.cutover?.writesHeld) continue;
        const result = await attempt(pass, timing);
        this.#emitWrite(collection, pass.state, 'committed', started, timing);
        return result;
      } catch (error) {
        failure = error;
      } finally {
        pass.leave();
      }
      const moved = isChangeoverError(failure, 'AUTHORITY_FENCED', 'DOOR_SHUT');
      if (!moved || clock.monotonic() - started >= this.#options.holdMs) {
        const outcome = isChangeoverError(failure, 'OUTCOME_UNKNOWN') ? 'unknown' : 'rejected';
        this.#emitWrite(collection, pass.state, outcome, started, timing);
        throw failure;
      }
      await this.#catchUp(pass.state);
    }
  }

  #emitWrite(
    collection: string,
    state: MigrationState,
    outcome: 'committed' | 'rejected' | 'unknown',
    started: number,
    timing: WriteTiming,
  ): void {
    const totalMs = this.#context.runtime.clock.monotonic() - started;
    const authorityMs = timing.authorityAt === 0 ? totalMs : timing.authorityAt - started;
    this.#context.events.emit({
      type: 'write',
      collection,
      phase: state.phase,
      outcome,
      authorityMs,
      totalMs,
    });
  }

  async #waitForRelease(collection: string, started: number): Promise<void> {
    const { clock } = this.#context.runtime;
    const since = clock.monotonic();
    const refuse = (why: string): never => {
      this.#context.events.emit({
        type: 'held',
        collection,
        ms: clock.monotonic() - since,
        outcome: 'expired',
      });
      throw new ChangeoverError('HOLD_EXPIRED', `${why} The write was not made.`, {
        data: { collection },
      });
    };
    if (this.#held >= this.#options.heldMax)
      refuse(`${this.#held} writes are being held for a switch already.`);
    this.#held++;
    try {
      for (;;) {
        const state = this.#view.current();
        if (!state.cutover?.writesHeld) break;
        const left = this.#options.holdMs - (clock.monotonic() - started);
        // Never released on a guess: without news of the end of the hold the write is refused.
        if (left <= 0) refuse(`Writes have been held for ${this.#options.holdMs} ms.`);
        await this.#view.waitBeyond(state.version, left);
      }
    } finally {
      this.#held--;
    }
    this.#context.events.emit({
      type: 'held',
      collection,
      ms: clock.monotonic() - since,
      outcome: 'released',
    });
  }

  /** After the store refused us: learn what everybody else knows, or give it a moment to be published. */
  async #catchUp(routedBy: MigrationState): Promise<void> {
    await this.#view.refresh();
    if (this.#view.current().version <= routedBy.version)
      await this.#view.waitBeyond(routedBy.version, 25);
  }

  async #writeBy(
    state: MigrationState,
    request: WriteRequest,
    timing: WriteTiming,
  ): Promise<Written> {
    const authority = authorityOf(state.phase);
    const { follow } = routingTable[state.phase];
    const write = this.#authorityWrite(state, authority, request);
    if (follow !== 'apply')
      return this.#writeWithoutFollower(state, authority, write, request.collection);
    if (request.collection.failureMode === 'fail-closed')
      return this.#writeFailClosed(state, authority, write, request.collection);
    if (request.collection.write === 'parallel')
      return this.#writeParallel(state, authority, write, request.collection);
    const deferred = request.collection.write === 'deferred';
    const written = await this.#commit(authority, {
      ...write,
      journal: 'change',
      graceMs: deferred ? 0 : this.#options.graceMs,
    });
    timing.authorityAt = this.#context.runtime.clock.monotonic();
    if (deferred || written.version === null) return written;
    const { collection } = request;
    const follower = otherSide[authority];
    await this.#follower.apply(
      { collection, follower, epoch: state.epoch, written },
      collection.latencyBudgetMs,
    );
    return written;
  }

  /** The request in the authority's shape. */
  #authorityWrite(state: MigrationState, authority: Side, request: WriteRequest): AuthorityWrite {
    const { collection, key, action, record, view } = request;
    const base = {
      collection: collection.name,
      key,
      action,
      record,
      epoch: state.epoch,
      journal: 'none' as const,
      graceMs: 0,
      timeoutMs: this.#options.authorityTimeoutMs,
    };
    if (view === authority || collection.identity || action === 'delete') return base;
    // The application speaks the other side's shape: merge there, under the key's lock, then translate.
    const revise = (current: DataRecord | null): DataRecord => {
      const known = toFollower(collection, view, current) ?? {};
      const revised = toFollower(collection, authority, { ...known, ...record });
      if (revised === null)
        throw new ChangeoverError(
          'TRANSFORM_FAILED',
          `The transform of "${collection.name}" leaves out a record that the application writes.`,
        );
      return revised;
    };
    return { ...base, revise };
  }

  async #commit(authority: Side, write: AuthorityWrite): Promise<Written> {
    const records = this.#context.stores[authority].records;
    const written = await records.write(write);
    const { afterAuthority } = this.#options.hooks;
    if (afterAuthority) await afterAuthority(write.collection);
    return written;
  }

  async #writeWithoutFollower(
    state: MigrationState,
    authority: Side,
    write: AuthorityWrite,
    collection: Collection,
  ): Promise<Written> {
    const written = await this.#commit(authority, write);
    if (routingTable[state.phase].follow === 'discard') {
      // Nobody follows yet, so there is no real version; the rehearsal needs any that the fence lets in, and leaves nothing behind.
      const version = { epoch: state.epoch, sequence: 1n };
      const rehearsed = { ...written, version, journalId: null };
      this.#follower.rehearse({
        collection,
        follower: otherSide[authority],
        epoch: state.epoch,
        written: rehearsed,
      });
    }
    return written;
  }

  async #writeParallel(
    state: MigrationState,
    authority: Side,
    write: AuthorityWrite,
    collection: Collection,
  ): Promise<Written> {
    const follower = otherSide[authority];
    const whole = write.action !== 'update' && write.revise === undefined;
    let opening: Promise<OpenChange> | null = null;
    let sent: DataRecord | null = null;
    if (whole) {
      try {
        sent = write.action === 'delete' ? null : toFollower(collection, follower, write.record);
        opening = this.#follower.open(collection, follower, write.key, sent, state.epoch);
      } catch {
        // A transform that throws is settled after the authority has decided, like any other follower failure.
        opening = null;
      }
    }
    let written: Written;
    try {
      written = await this.#commit(authority, {
        ...write,
        journal: 'change',
        graceMs: this.#options.graceMs,
      });
    } catch (error) {
      this.#follower.cancel(follower, opening);
      throw error;
    }
    const change = { collection, follower, epoch: state.epoch, written };
    if (written.version === null) this.#follower.cancel(follower, opening);
    else if (whole) this.#follower.finish(change, sent, opening);
    else void this.#follower.apply(change, this.#options.followerTimeoutMs);
    return written;
  }

  /**
   * The follower commits inside the authority's open transaction. A committed intent stands first, so that whatever happens after the
   * follower's commit (crash, failed or unknown COMMIT of the authority) leaves an entry from which the worker re-reads and repairs.
   */
  async #writeFailClosed(
    state: MigrationState,
    authority: Side,
    write: AuthorityWrite,
    collection: Collection,
  ): Promise<Written> {
    const follower = otherSide[authority];
    const { queue } = this.#context.stores[authority];
    const graceMs = this.#options.authorityTimeoutMs + this.#options.graceMs;
    const [intent] = await queue.enqueue([
      { collection: collection.name, key: write.key, kind: 'intent', graceMs },
    ]);
    if (intent === undefined)
      throw new ChangeoverError('BUG', 'The queue gave no id for an intent.');
    let followerTouched = false;
    const beforeCommit = async (written: Written): Promise<void> => {
      if (written.version === null) return;
      followerTouched = true;
      await this.#applyFailClosed(state, follower, collection, written);
    };
    try {
      const written = await this.#commit(authority, {
        ...write,
        journal: { intent },
        graceMs,
        beforeCommit,
      });
      this.#settler.complete(authority, intent);
      return written;
    } catch (error) {
      const unknown = isChangeoverError(error, 'OUTCOME_UNKNOWN');
      if (followerTouched || unknown) this.#settler.release(authority, intent, messageOf(error));
      else this.#settler.complete(authority, intent);
      throw error;
    }
  }

  async #applyFailClosed(
    state: MigrationState,
    follower: Side,
    collection: Collection,
    written: Written,
  ): Promise<void> {
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    const version = written.version;
    if (version === null) return;
    try {
      const value = toFollower(collection, follower, written.record);
      const change = {
        collection: collection.name,
        key: written.key,
        version,
        value,
        origin: 'live' as const,
      };
      const timeoutMs = Math.min(this.#options.followerTimeoutMs, this.#options.authorityTimeoutMs);
      const work = this.#context.stores[follower].door.apply([change], {
        epoch: state.epoch,
        timeoutMs,
      });
      await withDeadline(clock, timeoutMs, 'The follower write', work);
    } catch (error) {
      this.#context.events.emit({
        type: 'follower-write',
        collection: collection.name,
        outcome: 'failed',
        ms: clock.monotonic() - started,
      });
      if (isChangeoverError(error, 'DOOR_SHUT')) throw error;
      throw new ChangeoverError(
        'FOLLOWER_FAILED',
        `The follower write of fail-closed collection "${collection.name}" failed: ${messageOf(error)}.`,
        { cause: error },
      );
    }
    this.#context.events.emit({
      type: 'follower-write',
      collection: collection.name,
      outcome: 'applied',
      ms: clock.monotonic() - started,
    });
  }
}
