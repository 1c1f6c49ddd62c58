import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError } from '../errors/index.ts';
import {
  authorityOf,
  type Collection,
  dialBucket,
  isDialled,
  type MigrationState,
  routingTable,
  type Side,
  toFollower,
} from '../migration/index.ts';
import { compareVersions, type DataRecord, encodeKey, type Key, keyOf } from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { ReadAnswer } from '../store/index.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import { lostIn, readBehindGap, refuseBehindGap } from './gap-tokens.ts';
import type { ShadowReads } from './shadow-reads.ts';
import type { StateView } from './state-view.ts';
import { everySubject, type TokenCodec, type TokenEntry, tokenSubject } from './token.ts';

/** How one read wants to be routed. */
export interface ReadOptions {
  /** What the dial hashes; for keyed reads the key is the default. Missing on a closure: the authority, counted. */
  readonly routingKey?: string;
  /** Segments of this caller; one that is switched reads the target. */
  readonly segment?: string;
  /** From an earlier write: the answer is never older than that write. An empty one asks for nothing. */
  readonly token?: string | undefined;
}

type Why = 'authority' | 'dial' | 'segment' | 'token' | 'no-routing-key' | 'fallback';

/** Why the follower could not answer a read that was routed to it. */
type Behind = Extract<Why, 'token' | 'fallback'>;

export interface ReadRoute {
  readonly side: Side;
  readonly why: Why;
}

/** Where a read goes: pure, by SPEC.md table R. */
export function routeRead(
  state: MigrationState,
  routingKey: string | Key | undefined,
  segment: string | undefined,
): ReadRoute {
  const routing = routingTable[state.phase];
  if (routing.reads === 'authority') return { side: routing.authority, why: 'authority' };
  if (segment !== undefined && state.segments.includes(segment))
    return { side: 'target', why: 'segment' };
  if (state.dialBasisPoints === 0) return { side: routing.authority, why: 'authority' };
  if (routingKey === undefined) return { side: routing.authority, why: 'no-routing-key' };
  const text = typeof routingKey === 'string' ? routingKey : encodeKey(routingKey);
  const dialled = isDialled(dialBucket(state.migration, text), state.dialBasisPoints);
  return dialled ? { side: 'target', why: 'dial' } : { side: routing.authority, why: 'authority' };
}

/** Reads by key and by named closures. */
export class ReadPath {
  readonly #context: MigrationContext;
  readonly #view: StateView;
  readonly #tokens: TokenCodec;
  readonly #shadow: ShadowReads;
  readonly #dialledReadMs: number;
  readonly #breaker: (side: Side) => CircuitBreaker;

  constructor(
    context: MigrationContext,
    view: StateView,
    tokens: TokenCodec,
    shadow: ShadowReads,
    follower: { readonly dialledReadMs: number; readonly breaker: (side: Side) => CircuitBreaker },
  ) {
    this.#context = context;
    this.#view = view;
    this.#tokens = tokens;
    this.#shadow = shadow;
    this.#dialledReadMs = follower.dialledReadMs;
    this.#breaker = follower.breaker;
  }

  /** The record in the shape of `view`, or null. */
  async get(
    collection: Collection,
    view: Side,
    key: Key,
    options: ReadOptions,
  ): Promise<DataRecord | null> {
    const bearer = options.token ? await this.#admitToken(options.token) : null;
    const pass = this.#view.enter();
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    const { state } = pass;
    const authority = authorityOf(state.phase);
    let { side, why } = routeRead(state, options.routingKey ?? key, options.segment);
    try {
      let answer: DataRecord | null | undefined;
      if (side !== authority) {
        const found = await this.#readFollower(collection, side, key, bearer);
        if (typeof found === 'string') {
          why = found;
          side = authority;
        } else answer = found;
      }
      if (answer === undefined)
        answer = await this.#readAuthority(collection, side, key, bearer, state);
      const servedMs = timed(why, clock.monotonic() - started);
      const shown = side === view ? answer : toFollower(collection, view, answer);
      this.#emit(collection.name, side, why, 'ok', clock.monotonic() - started);
      if (routingTable[state.phase].shadowReads && !state.gap)
        this.#shadow.keyed(collection, state, side, key, answer, servedMs);
      return shown;
    } catch (error) {
      this.#emit(collection.name, side, why, 'failed', clock.monotonic() - started);
      throw error;
    } finally {
      pass.leave();
    }
  }

  /** One of two closures, by the route; the other one as shadow read. */
  async closures<T>(
    name: string,
    closures: Readonly<Record<Side, () => Promise<T>>>,
    options: ReadOptions,
    same?: (a: T, b: T) => boolean,
  ): Promise<T> {
    const bearer = options.token ? await this.#admitToken(options.token) : null;
    const pass = this.#view.enter();
    const { clock } = this.#context.runtime;
    const started = clock.monotonic();
    const { state } = pass;
    const authority = authorityOf(state.phase);
    let { side, why } = routeRead(state, options.routingKey, options.segment);
    if (bearer && side !== authority) {
      // A closure's answer cannot be checked against a fence: its bearer reads the authority.
      side = authority;
      why = 'token';
    }
    try {
      if (bearer && bearer.epoch > state.epoch) throw behind();
      if (bearer) await refuseBehindGap(this.#context, state, lostIn(state, bearer.entries));
      const called = clock.monotonic();
      const answer = await closures[side]();
      const servedMs = clock.monotonic() - called;
      this.#emit(name, side, why, 'ok', clock.monotonic() - started);
      if (routingTable[state.phase].shadowReads && !state.gap)
        this.#shadow.closures(name, closures, side, answer, servedMs, same);
      return answer;
    } catch (error) {
      this.#emit(name, side, why, 'failed', clock.monotonic() - started);
      throw error;
    } finally {
      pass.leave();
    }
  }

  #emit(collection: string, servedBy: Side, why: Why, outcome: 'ok' | 'failed', ms: number): void {
    this.#context.events.emit({ type: 'read', collection, servedBy, why, outcome, ms });
  }

  /** A token from a later epoch proves that this process is behind, for authority has moved: it asks before it reads. */
  async #admitToken(token: string): Promise<Bearer> {
    const entries = this.#tokens.decode(token);
    const epoch = Math.max(...entries.map((entry) => entry.version.epoch));
    if (epoch > this.#view.current().epoch) await this.#view.refresh();
    return { entries, epoch };
  }

  /** `token`: the follower is not there yet. `fallback`: it does not answer (in time). Then the authority is read. */
  async #readFollower(
    collection: Collection,
    side: Side,
    key: Key,
    bearer: Bearer | null,
  ): Promise<DataRecord | null | Behind> {
    const { records } = this.#context.stores[side];
    const { clock } = this.#context.runtime;
    const breaker = this.#breaker(side);
    if (!breaker.allows()) return 'fallback';
    try {
      const read = records.read(collection.name, [key], { withFence: bearer !== null });
      const [answer] = await withDeadline(clock, this.#dialledReadMs, 'A dialled read', read);
      breaker.succeeded();
      if (bearer && !isCaughtUp(bearer, collection, side, key, answer)) return 'token';
      return answer?.record ?? null;
    } catch (error) {
      const silent = isChangeoverError(error, 'STORE_UNAVAILABLE', 'DEADLINE_EXCEEDED');
      if (silent) breaker.failed();
      else breaker.withdrawn();
      if (silent || isChangeoverError(error, 'STORE_CONFLICT')) return 'fallback';
      throw error;
    }
  }

  async #readAuthority(
    collection: Collection,
    side: Side,
    key: Key,
    bearer: Bearer | null,
    state: MigrationState,
  ): Promise<DataRecord | null> {
    const lost = bearer === null ? [] : lostIn(state, bearer.entries);
    if (lost.length > 0)
      return readBehindGap(this.#context, state, lost, { collection, side, key });
    const stale = bearer !== null && bearer.epoch > state.epoch;
    const [answer] = await this.#context.stores[side].records.read(collection.name, [key], {
      withFence: stale,
    });
    if (stale && !isCaughtUp(bearer, collection, side, key, answer)) throw behind();
    return answer?.record ?? null;
  }
}

/** How long the store took; null where another one was asked in vain before. */
const timed = (why: Why, ms: number): number | null =>
  why === 'token' || why === 'fallback' ? null : ms;

interface Bearer {
  readonly entries: readonly TokenEntry[];
  /** The latest epoch in it. */
  readonly epoch: number;
}

/**
 * Whether an answer with its fence is at least as new as every write of the bearer to this key. The caller may spell a key otherwise than the
 * store ('05', '5'): the record's own spelling counts too, and without a record nobody knows, so only the authority can answer.
 */
function isCaughtUp(
  bearer: Bearer,
  collection: Collection,
  side: Side,
  key: Key,
  answer: ReadAnswer | undefined,
): boolean {
  const record = answer?.record ?? null;
  const subjects = [tokenSubject(collection.name, key)];
  if (record) subjects.push(tokenSubject(collection.name, keyOf(record, collection[side].key)));
  const relevant = bearer.entries.filter(
    ({ subject }) => subject === everySubject || subjects.includes(subject),
  );
  if (relevant.length === 0) return record !== null;
  const fence = answer?.fence ?? null;
  return fence !== null && relevant.every((entry) => compareVersions(fence, entry.version) >= 0);
}

function behind(): ChangeoverError {
  return new ChangeoverError(
    'CONTROL_UNAVAILABLE',
    'The token is from a later epoch than this process knows, so its store may be behind; an older record is refused.',
  );
}
