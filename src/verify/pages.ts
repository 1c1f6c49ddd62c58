import { dispositionOf } from '../errors/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import type { KeyRange, RecordReader, StoredRecord } from '../store/index.ts';
import type { Pair } from './comparator.ts';
import { pause, stopReason, type VerifyScope } from './verify-scope.ts';

/** A page of the authority and the range of keys that it stands for, up to the end of the scope on the last page. */
export interface AuthorityPage {
  readonly rows: readonly StoredRecord[];
  readonly range: KeyRange;
  readonly last: boolean;
}

/** What pages are read from: the stores, or a snapshot of each. */
export interface PageReaders {
  readonly collection: string;
  readonly authority: RecordReader;
  readonly follower: RecordReader;
  /** Reads once, or again while failures may pass: a snapshot that failed is gone. */
  ask<T>(work: () => Promise<T>): Promise<T>;
}

const storesOf = (scope: VerifyScope): PageReaders => ({
  collection: scope.collection.name,
  authority: scope.authority.records,
  follower: scope.follower.records,
  ask: (work) => persistently(scope, work),
});

const GIVE_UP_MS = 60_000;
const RETRY_MS = 500;

/** `work`, again while its failures may pass (a minute) and the work goes on. */
export async function persistently<T>(scope: VerifyScope, work: () => Promise<T>): Promise<T> {
  const { clock } = scope.context.runtime;
  const begun = clock.monotonic();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const passing = dispositionOf(error) === 'retry' && clock.monotonic() - begun < GIVE_UP_MS;
      if (!passing || stopReason(scope) !== null) throw error;
      await pause(scope, RETRY_MS);
    }
  }
}

/**
 * Pairs of both stores by ranges of keys, in the authority's key order: each authority page with everything that the follower holds in the
 * same range; the last range has no end but the scope's, so records beyond the authority's last key are found, too. Memory is bounded by two pages. If the
 * two stores order keys differently a pair may come apart into a missing and an extra one; their recheck by key joins it again, and
 * every key of either side is still met at least once.
 */
export async function* pairsByRange(
  scope: VerifyScope,
  range: KeyRange,
  batchRows: number,
): AsyncGenerator<readonly Pair[], void, void> {
  const readers = storesOf(scope);
  const read = (after: Key | null): Promise<AuthorityPage> =>
    readPage(readers, { after, until: range.until }, batchRows);
  // The next authority page is read while the follower's is; a failure is kept until it is asked for.
  const ahead = (after: Key | null): (() => Promise<AuthorityPage>) => {
    const settled = read(after).then(
      (page) => () => Promise.resolve(page),
      (error: unknown) => () => Promise.reject(error),
    );
    return async () => (await settled)();
  };
  let next: (() => Promise<AuthorityPage>) | null = ahead(range.after);
  try {
    while (next) {
      const page: AuthorityPage = await next();
      next = page.last ? null : ahead(page.range.until);
      yield* pairsOfPage(readers, page, batchRows);
    }
  } finally {
    await next?.().catch(() => undefined);
  }
}

/** The next page of the authority. */
export async function readPage(
  { collection, authority, ask }: PageReaders,
  range: KeyRange,
  batchRows: number,
): Promise<AuthorityPage> {
  const rows = await ask(() => authority.scan(collection, range, batchRows));
  const lastKey = rows.at(-1)?.key;
  if (rows.length < batchRows || lastKey === undefined) return { rows, range, last: true };
  return { rows, range: { after: range.after, until: lastKey }, last: false };
}

/** Leaving a page in the middle. */
export interface PageExit {
  /** No more pairs are wanted. */
  isWanted(): boolean;
  /** It was left: all up to this key has been paired, and nothing behind it. */
  left(until: Key): void;
}

/**
 * The pairs of a page. The follower's range may hold far more than it (extras), and is read in pages as well. Behind one of these it may be left, where all readers
 * see one moment: then only what lies up to there is paired.
 */
export async function* pairsOfPage(
  readers: PageReaders,
  page: AuthorityPage,
  batchRows: number,
  exit: PageExit | null = null,
): AsyncGenerator<readonly Pair[], void, void> {
  const { collection, follower, ask } = readers;
  const expected = new Map(page.rows.map((row) => [idOf(row.key), row]));
  let after = page.range.after;
  for (;;) {
    const range = { after, until: page.range.until };
    const limit = batchRows + 1;
    const rows = await ask(() => follower.scan(collection, range, limit));
    const pairs: Pair[] = rows.map(({ key, record }) => {
      const id = idOf(key);
      const authority = expected.get(id)?.record ?? null;
      expected.delete(id);
      return { key, authority, follower: record };
    });
    const last = rows.at(-1)?.key;
    const exhausted = rows.length < limit || last === undefined;
    if (exhausted) pairs.push(...[...expected.values()].map(missing));
    if (pairs.length > 0) yield pairs;
    if (exhausted) return;
    after = last;
    if (!exit?.isWanted()) continue;
    const before = await missingBefore(readers, page, after, expected);
    if (before === null) continue;
    if (before.length > 0) yield before.map(missing);
    exit.left(after);
    return;
  }
}

const missing = ({ key, record }: StoredRecord): Pair => ({
  key,
  authority: record,
  follower: null,
});

/**
 * The authority's rows of the page up to this key of the follower that were not met; null: the page cannot be left there. It can where the authority has the rest of the page behind the key,
 * all of it and nothing else, and none of that was met: where two stores order keys differently a walk from there could miss records, or never end.
 */
async function missingBefore(
  { collection, authority, ask }: PageReaders,
  { rows, range, last }: AuthorityPage,
  key: Key,
  expected: ReadonlyMap<string, StoredRecord>,
): Promise<readonly StoredRecord[] | null> {
  const behind = { after: key, until: range.until };
  const rest = await ask(() => authority.scan(collection, behind, rows.length + 1));
  if (rest.length > rows.length || (rest.length === 0 && !last)) return null;
  const at = rows.length - rest.length;
  const isRest = rest.every((row, index) => {
    const id = idOf(row.key);
    return id === idOf((rows[at + index] as StoredRecord).key) && expected.has(id);
  });
  return isRest ? rows.slice(0, at).filter((row) => expected.has(idOf(row.key))) : null;
}

const idOf = (key: Key): string => (key.length === 1 ? (key[0] as string) : encodeKey(key));

/** Pairs of the given keys. */
export async function* pairsByKey(
  scope: VerifyScope,
  keys: readonly Key[],
  batchRows: number,
): AsyncGenerator<readonly Pair[], void, void> {
  const { name } = scope.collection;
  for (let from = 0; from < keys.length; from += batchRows) {
    const batch = keys.slice(from, from + batchRows);
    const [authority, follower] = await persistently(scope, async () => [
      await scope.authority.records.read(name, batch),
      await scope.follower.records.read(name, batch),
    ]);
    yield batch.map((key, index) => ({
      key,
      authority: authority?.[index]?.record ?? null,
      follower: follower?.[index]?.record ?? null,
    }));
  }
}

/** About `share` of the collection, by pages of `batchRows` records that chance picks. */
export async function* pairsBySample(
  scope: VerifyScope,
  share: number,
  batchRows: number,
): AsyncGenerator<readonly Pair[], void, void> {
  const { random } = scope.context.runtime;
  let after: Key | null = null;
  for (;;) {
    const from: Key | null = after;
    const until: Key | null = await persistently(scope, () =>
      scope.authority.records.boundary(
        scope.collection.name,
        { after: from, until: null },
        batchRows,
      ),
    );
    if (random.next() < share) yield* pairsByRange(scope, { after: from, until }, batchRows);
    if (until === null) return;
    after = until;
  }
}

/** The same items, the next one being made while the present one is used. A failure comes out in its turn. */
export async function* readAhead<T>(
  items: AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> {
  const ask = (): (() => Promise<IteratorResult<T, void>>) => {
    const settled = items.next().then(
      (result) => () => Promise.resolve(result),
      (error: unknown) => () => Promise.reject(error),
    );
    return async () => (await settled)();
  };
  let next = ask();
  try {
    for (;;) {
      const { done, value } = await next();
      if (done) return;
      next = ask();
      yield value as T;
    }
  } finally {
    // Nothing of ours may be under way when the caller has stopped.
    await next().catch(() => undefined);
    await items.return();
  }
}
