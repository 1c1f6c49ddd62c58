import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import {
  authorityOf,
  type Collection,
  collectionOf,
  forwardIsShut,
  type MigrationState,
  otherSide,
  routingTable,
  type Side,
  toFollower,
} from '../migration/index.ts';
import type { DataRecord, Key } from '../record/index.ts';
import type { AuthorityWrite, OpenChange, Written } from '../store/index.ts';
import { FailClosedWrites } from './fail-closed-writes.ts';
import type { FollowerWriter, SentChange } from './follower-writer.ts';
import type { JournalSettler } from './journal-settler.ts';
import type { RouterOptions } from './router-options.ts';
import type { StateView } from './state-view.ts';
import { WriteGate, type WriteTiming } from './write-gate.ts';

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
  readonly #gate: WriteGate;
  readonly #follower: FollowerWriter;
  readonly #failClosed: FailClosedWrites;

  constructor(
    context: MigrationContext,
    options: RouterOptions,
    view: StateView,
    follower: FollowerWriter,
    settler: JournalSettler,
  ) {
    this.#context = context;
    this.#options = options;
    this.#gate = new WriteGate(context, options, view);
    this.#follower = follower;
    this.#failClosed = new FailClosedWrites(
      context,
      options,
      settler,
      (side) => follower.breaker(side),
      (authority, write) => this.#commit(authority, write),
    );
  }

  /** What was written, and in which store's shape it is told. */
  async write(request: WriteRequest): Promise<{ readonly written: Written; readonly side: Side }> {
    return this.#gate.routed(request.collection.name, async (pass, timing) => ({
      written: await this.#writeBy(pass.state, request, timing),
      side: authorityOf(pass.state.phase),
    }));
  }

  /** The authority's closure alone; see `Router.write`. */
  closures<T>(name: string, closures: Readonly<Record<Side, () => Promise<T>>>): Promise<T> {
    // Not an async function: handing a promise on through one costs as much as all the rest.
    if ((this.#context.migration.collections.get(name)?.capture ?? 'app') === 'app')
      return this.#refuseClosures(name);
    return this.#gate.routed(name, (pass) => closures[authorityOf(pass.state.phase)]());
  }

  async #refuseClosures(name: string): Promise<never> {
    const collection = collectionOf(this.#context.migration, name);
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `Collection "${collection.name}" is captured by the library, so a closure's write would not be seen: declare capture "outbox" or "log", or use keyed writes.`,
    );
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
      return this.#writeWithoutFollower(state, authority, write, request.collection, timing.stuck);
    if (state.gap && request.action !== 'put') await this.#touch(authority, request);
    // The log tells the follower, whoever wrote.
    if (request.collection.capture === 'log')
      return this.#commit(authority, { ...write, journal: 'log' });
    // After a rescue the follower is sealed for a while: nobody waits for it, whatever was declared.
    const shut = forwardIsShut(state);
    if (!shut && request.collection.failureMode === 'fail-closed')
      return this.#failClosed.write(state, authority, write, request.collection);
    if (!shut && request.collection.write === 'parallel')
      return this.#writeParallel(state, authority, write, request.collection);
    const deferred = shut || request.collection.write === 'deferred';
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

  /**
   * A delete, or an update, may find nothing, because the record stands only in the gap of a rescue; it would leave no trace, and the record would come back by the
   * gap. So it leaves one before. Whoever brings the record back looks for it under the key's lock: either sees it, or the delete sees the record.
   */
  async #touch(authority: Side, { collection, key }: WriteRequest): Promise<void> {
    const { queue } = this.#context.stores[authority];
    await queue.enqueue([{ collection: collection.name, key, kind: 'change', graceMs: 0 }]);
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
    // What is not written stays as it is: merged, it would go through both conversions, and come back with what they lose.
    if (collection.columnwise)
      return { ...base, record: toFollower(collection, authority, record) ?? {} };
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
    stuck: boolean,
  ): Promise<Written> {
    // Its entry waits until somebody follows, who then reads the key as it is. Not for fail-closed: its follower is asked first or nobody is.
    if (stuck && collection.capture === 'log')
      return this.#commit(authority, { ...write, journal: 'log' });
    if (stuck && collection.failureMode !== 'fail-closed')
      return this.#commit(authority, {
        ...write,
        journal: 'change',
        graceMs: this.#options.graceMs,
      });
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
    let sent: SentChange | null = null;
    if (whole) {
      try {
        const deletes = write.action === 'delete';
        const value = deletes ? null : toFollower(collection, follower, write.record);
        sent = { key: write.key, value };
        opening = this.#follower.open(collection, follower, sent, state.epoch);
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
}
