import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import {
  type Collection,
  type MigrationState,
  otherSide,
  type Side,
  toFollower,
} from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { AuthorityWrite, Written } from '../store/index.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { JournalSettler } from './journal-settler.ts';
import type { RouterOptions } from './router-options.ts';

type Commit = (authority: Side, write: AuthorityWrite) => Promise<Written>;

/** Writes of collections that would rather fail than let the follower fall behind. */
export class FailClosedWrites {
  readonly #context: MigrationContext;
  readonly #options: RouterOptions;
  readonly #settler: JournalSettler;
  readonly #breaker: (side: Side) => CircuitBreaker;
  readonly #commit: Commit;

  constructor(
    context: MigrationContext,
    options: RouterOptions,
    settler: JournalSettler,
    breaker: (side: Side) => CircuitBreaker,
    commit: Commit,
  ) {
    this.#context = context;
    this.#options = options;
    this.#settler = settler;
    this.#breaker = breaker;
    this.#commit = commit;
  }

  /**
   * The follower commits inside the authority's open transaction. A committed intent stands first, so that whatever happens after the
   * follower's commit (crash, failed or unknown COMMIT of the authority) leaves an entry from which the worker re-reads and repairs.
   *
   * A follower that does not answer holds a connection of the authority for as long as it is waited for. So the breaker refuses such writes
   * before they take one: writes of fail-open collections need them.
   */
  async write(
    state: MigrationState,
    authority: Side,
    write: AuthorityWrite,
    collection: Collection,
  ): Promise<Written> {
    const follower = otherSide[authority];
    const breaker = this.#breaker(follower);
    if (!breaker.allows())
      throw new ChangeoverError(
        'FOLLOWER_FAILED',
        `The ${follower} is not answering: the write of fail-closed collection "${collection.name}" was not tried.`,
      );
    try {
      return await this.#attempt(state, authority, write, collection);
    } finally {
      // Nothing was learnt unless the follower was asked; then it has been told already.
      breaker.withdrawn();
    }
  }

  async #attempt(
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
      await this.#apply(state, follower, collection, written);
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

  async #apply(
    state: MigrationState,
    follower: Side,
    collection: Collection,
    written: Written,
  ): Promise<void> {
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    const version = written.version;
    if (version === null) return;
    const breaker = this.#breaker(follower);
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
      breaker.succeeded();
    } catch (error) {
      if (isChangeoverError(error, 'STORE_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'OUTCOME_UNKNOWN'))
        breaker.failed();
      else if (isChangeoverError(error, 'STORE_CONFLICT', 'STORE_REJECTED', 'DOOR_SHUT'))
        breaker.succeeded();
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
