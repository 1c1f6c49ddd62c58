import { type MigrationContext, recordSamples, type SampleRecorder } from '../control/index.ts';
import {
  type Collection,
  collectionOf,
  type MigrationState,
  type Side,
  toFollower,
} from '../migration/index.ts';
import {
  type DataRecord,
  type Key,
  keyOf,
  type LooseRecord,
  type LooseValue,
  toKey,
  toRecord,
} from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { createFollowerWriter, type FollowerWriter } from './follower-writer.ts';
import { createJournalSettler, type JournalSettler } from './journal-settler.ts';
import { type ReadOptions, ReadPath } from './read-path.ts';
import {
  type RouterOptions,
  type RouterOptionsInput,
  resolveRouterOptions,
} from './router-options.ts';
import { createShadowReads, type ShadowReads } from './shadow-reads.ts';
import { fileStateMemory } from './state-memory.ts';
import { openStateView, type StateView } from './state-view.ts';
import { createTokenCodec, mergeTokens, type TokenCodec, tokenSubject } from './token.ts';
import { WritePath } from './write-path.ts';

/** What a write gives back. The write *is* on the authority when this resolves. */
export interface WriteReceipt {
  readonly key: Key;
  /** Present it with later reads, on any instance: they never answer older than this write. Empty when no follower is written. */
  readonly token: string;
  /**
   * The whole record after the write, in the handle's shape; null after a delete, or an update of nothing. Translated when it is
   * looked at, because the write stands already: TRANSFORM_FAILED comes from the look, never from the write.
   */
  readonly record: DataRecord | null;
}

type KeyInput = LooseValue | readonly LooseValue[];

/**
 * Keyed operations on one collection, in the shape of one side (`view`), whatever the phase.
 *
 * Errors of writes: HOLD_EXPIRED, STORE_CONFLICT, STORE_UNAVAILABLE, STORE_REJECTED, FOLLOWER_FAILED, DEADLINE_EXCEEDED: not written.
 * OUTCOME_UNKNOWN: perhaps written; the follower is settled either way.
 */
export interface CollectionHandle {
  get(key: KeyInput, options?: ReadOptions): Promise<DataRecord | null>;
  /** Insert or update by the key in the record; fields that are not given stay. */
  put(record: LooseRecord): Promise<WriteReceipt>;
  /** Changes the given fields of an existing record; `record` of the receipt is null when there is none. */
  update(key: KeyInput, fields: LooseRecord): Promise<WriteReceipt>;
  delete(key: KeyInput): Promise<WriteReceipt>;
}

/** The application's way to both stores. One per process and migration. */
export interface Router {
  /** `view`: the side whose shape the application speaks; default `source`. */
  collection(name: string, options?: { readonly view?: Side }): CollectionHandle;
  /** A named read for any ORM: one closure per store, routed and shadowed like keyed reads. `same` compares two answers. */
  read<T>(
    name: string,
    closures: Readonly<Record<Side, () => Promise<T>>>,
    options?: ReadOptions & { readonly same?: (a: T, b: T) => boolean },
  ): Promise<T>;
  /**
   * A named write for any ORM: only the authority's closure runs, held and fenced like keyed writes. The follower learns of it from the
   * outbox: collections written so need `capture: 'outbox'` (trigger, or `recordChange` in the same transaction).
   */
  write<T>(collection: string, closures: Readonly<Record<Side, () => Promise<T>>>): Promise<T>;
  mergeTokens(tokens: readonly string[]): string;
  state(): MigrationState;
  /** Waits, at most `ms`, until detached work is done, the journal is told and the evidence is counted. */
  settle(ms: number): Promise<void>;
  /** Idempotent. Refuses new operations, lets those in flight end (bounded), leaves the fleet. */
  close(): Promise<void>;
}

/** Opens a router: registers with the fleet before it routes anything. */
export async function createRouter(
  context: MigrationContext,
  input: RouterOptionsInput = {},
): Promise<Router> {
  const options = resolveRouterOptions(input);
  const view = await openStateView(context, {
    kind: 'router',
    label: options.label,
    leaseMs: options.leaseMs,
    memory: options.stateFile === null ? null : fileStateMemory(options.stateFile),
  });
  return new RoutingRouter(context, options, view);
}

class RoutingRouter implements Router {
  readonly #context: MigrationContext;
  readonly #options: RouterOptions;
  readonly #view: StateView;
  readonly #samples: SampleRecorder;
  readonly #tokens: TokenCodec;
  readonly #settler: JournalSettler;
  readonly #follower: FollowerWriter;
  readonly #shadow: ShadowReads;
  readonly #reads: ReadPath;
  readonly #writes: WritePath;

  constructor(context: MigrationContext, options: RouterOptions, view: StateView) {
    this.#context = context;
    this.#options = options;
    this.#view = view;
    this.#samples = recordSamples(context, 'router');
    this.#tokens = createTokenCodec(options.tokenSecret);
    this.#settler = createJournalSettler(context, 10);
    this.#follower = createFollowerWriter(context, options, this.#settler);
    this.#shadow = createShadowReads(context, options);
    this.#reads = new ReadPath(context, view, this.#tokens, this.#shadow, {
      dialledReadMs: options.dialledReadMs,
      breaker: this.#follower.breaker,
    });
    this.#writes = new WritePath(context, options, view, this.#follower, this.#settler);
  }

  collection(name: string, options: { readonly view?: Side } = {}): CollectionHandle {
    const collection = collectionOf(this.#context.migration, name);
    return new KeyedCollection(
      collection,
      options.view ?? 'source',
      this.#reads,
      this.#writes,
      this.#tokens,
    );
  }

  read<T>(
    name: string,
    closures: Readonly<Record<Side, () => Promise<T>>>,
    options: ReadOptions & { readonly same?: (a: T, b: T) => boolean } = {},
  ): Promise<T> {
    return this.#reads.closures(name, closures, options, options.same);
  }

  write<T>(name: string, closures: Readonly<Record<Side, () => Promise<T>>>): Promise<T> {
    return this.#writes.closures(name, closures);
  }

  mergeTokens(tokens: readonly string[]): string {
    return mergeTokens(this.#tokens, tokens);
  }

  state(): MigrationState {
    return this.#view.current();
  }

  async settle(ms: number): Promise<void> {
    const work = async (): Promise<void> => {
      await this.#follower.drain(ms);
      await Promise.all([this.#settler.flush(), this.#shadow.flush()]);
    };
    // What is not told in time is not lost: journal entries fall due by themselves.
    await withDeadline(this.#context.runtime.clock, ms, 'Settling', work()).catch(() => {});
  }

  async close(): Promise<void> {
    await this.#view.quiesce(this.#options.authorityTimeoutMs);
    await this.settle(this.#options.followerTimeoutMs);
    this.#shadow.close();
    await Promise.all([this.#samples.close(), this.#view.close()]);
  }
}

class KeyedCollection implements CollectionHandle {
  readonly #collection: Collection;
  readonly #view: Side;
  readonly #reads: ReadPath;
  readonly #writes: WritePath;
  readonly #tokens: TokenCodec;

  constructor(
    collection: Collection,
    view: Side,
    reads: ReadPath,
    writes: WritePath,
    tokens: TokenCodec,
  ) {
    this.#collection = collection;
    this.#view = view;
    this.#reads = reads;
    this.#writes = writes;
    this.#tokens = tokens;
  }

  get #keyColumns(): readonly string[] {
    return this.#collection[this.#view].key;
  }

  async get(key: KeyInput, options: ReadOptions = {}): Promise<DataRecord | null> {
    return this.#reads.get(this.#collection, this.#view, toKey(key, this.#keyColumns), options);
  }

  async put(input: LooseRecord): Promise<WriteReceipt> {
    const record = this.#record(input);
    return this.#write('put', keyOf(record, this.#keyColumns), record);
  }

  async update(key: KeyInput, fields: LooseRecord): Promise<WriteReceipt> {
    return this.#write('update', toKey(key, this.#keyColumns), this.#record(fields));
  }

  async delete(key: KeyInput): Promise<WriteReceipt> {
    return this.#write('delete', toKey(key, this.#keyColumns), {});
  }

  #record(input: LooseRecord): DataRecord {
    return toRecord(input, Object.keys(this.#collection[this.#view].children ?? {}));
  }

  async #write(
    action: 'put' | 'update' | 'delete',
    key: Key,
    record: DataRecord,
  ): Promise<WriteReceipt> {
    const { written, side } = await this.#writes.write({
      collection: this.#collection,
      view: this.#view,
      action,
      key,
      record,
    });
    const { version } = written;
    const entry = version && { subject: tokenSubject(this.#collection.name, written.key), version };
    const token = entry ? this.#tokens.encode([entry]) : '';
    const { record: stored } = written;
    if (side === this.#view) return { key: written.key, token, record: stored };
    const [collection, view] = [this.#collection, this.#view];
    return {
      key: written.key,
      token,
      get record() {
        return toFollower(collection, view, stored);
      },
    };
  }
}
