import { ChangeoverError, isChangeoverError, messageOf, waitsForAnother } from '../errors/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { ChunkTicket } from '../store/index.ts';
import type { BackfillLimits } from './backfill-options.ts';
import { type BackfillScope, stopReason } from './backfill-scope.ts';
import type { Chunk, RowCounts } from './chunk-ledger.ts';
import type { DeadRow } from './chunk-transform.ts';
import type { ChunkWorkshop, PreparedChunk } from './chunk-workshop.ts';
import type { DeadRows } from './dead-rows.ts';
import { passThrough } from './pass-through.ts';
import type { Permits } from './permits.ts';

/** What one attempt at a chunk came to. Everything else is thrown. */
export type AttemptOutcome =
  | {
      readonly type: 'done';
      readonly counts: RowCounts;
      readonly workMs: number;
      /** Only what is up to there was copied. */
      readonly at?: Key | null;
    }
  /** Too large, or refused: the two halves are to be tried. */
  | { readonly type: 'split'; readonly at: Key }
  /** The copied bytes were refused: to be tried as records. */
  | { readonly type: 'demote'; readonly at: Key | null }
  /** One single record was refused; after some attempts it is left out of the next one. */
  | { readonly type: 'refused' }
  /** The run ends; nothing was written. */
  | { readonly type: 'stopped' }
  /** Too many dead rows. */
  | { readonly type: 'dead-limit' };

/** A single record that the follower refused, so many times. */
export interface Refusal {
  readonly times: number;
  readonly reason: string;
  /** A record that it refers to may be missing yet: no use in trying at once again. */
  readonly waits: boolean;
}

/**
 * So often must a single record be refused before it is dead: a unique value may be held by a row whose own live change is still on its
 * way, and a dead letter parks the later changes of its key until a person comes.
 */
const REFUSALS = 3;

/** What the attempts of one run share. */
export interface AttemptTools {
  readonly scope: BackfillScope;
  readonly limits: BackfillLimits;
  readonly workshop: ChunkWorkshop;
  readonly writers: Permits;
  readonly dead: DeadRows;
  /** Encoded key → single records that the follower refused. */
  readonly refused: Map<string, Refusal>;
  /** True when so many more dead rows would be too many. */
  readonly tooManyDead: (more: number, alsoRead: number) => boolean;
}

/**
 * begin → read → transform → write, once. A failed attempt leaves the chunk record in flight; the next one takes it over with a
 * higher attempt and reads again, so a write that is still under way somewhere can no longer commit.
 * Dead rows are buried after the write and before the chunk counts as done: a crash in between repeats both.
 */
export async function attemptChunk(
  tools: AttemptTools,
  chunk: Chunk,
  expectedRows: number,
): Promise<AttemptOutcome> {
  const { scope } = tools;
  const ticket = await guarded(tools, 'beginChunk', (name) =>
    scope.follower.door.beginChunk(name, chunk.number, chunk.range, scope.context.instance),
  );
  let kept = false;
  try {
    const outcome =
      chunk.path === 'rows'
        ? await moveRecords(tools, ticket, expectedRows)
        : await copyBytes(tools, ticket, chunk.path === 'open' ? expectedRows : null);
    kept = outcome.type === 'done';
    return outcome;
  } finally {
    // An in-flight record that nobody writes any more costs each delete in its range a lock; losing this call costs nothing else.
    if (!kept) await abandon(scope, ticket);
  }
}

const ABANDON_MS = 5_000;

async function abandon(scope: BackfillScope, ticket: ChunkTicket): Promise<void> {
  const { clock } = scope.context.runtime;
  const asked = scope.follower.door.abandonChunk(ticket);
  await withDeadline(clock, ABANDON_MS, 'abandonChunk', asked).catch(() => undefined);
}

/** @param rowsMax null: the whole range */
async function copyBytes(
  tools: AttemptTools,
  ticket: ChunkTicket,
  rowsMax: number | null,
): Promise<AttemptOutcome> {
  const { scope } = tools;
  const { clock } = scope.context.runtime;
  const short = passThrough(scope);
  if (short === null) throw new ChangeoverError('BUG', 'A chunk was planned to be passed through.');
  return tools.writers.with(async () => {
    if (stopReason(scope) !== null) return { type: 'stopped' };
    const begun = clock.monotonic();
    try {
      const done = await guarded(tools, 'copyChunk', () =>
        short.copy(ticket, doorContext(tools), rowsMax),
      );
      const counts = { read: done.rows, inserted: done.inserted, dead: 0 };
      return { type: 'done', counts, workMs: clock.monotonic() - begun, at: done.last };
    } catch (error) {
      if (!isChangeoverError(error, 'STORE_REJECTED')) throw error;
      // As many records as a chunk should have, not the whole rest of the table.
      const at = rowsMax === null ? null : await endOf(tools, ticket, rowsMax);
      return { type: 'demote', at };
    }
  });
}

/** The end of the first `rows` rows; null: the range has no more. */
async function endOf(tools: AttemptTools, ticket: ChunkTicket, rows: number): Promise<Key | null> {
  const { authority } = tools.scope;
  const { until } = ticket.range;
  const at = await guarded(tools, 'boundary', (name) =>
    authority.records.boundary(name, ticket.range, rows),
  );
  return at === null || (until !== null && encodeKey(at) === encodeKey(until)) ? null : at;
}

async function moveRecords(
  tools: AttemptTools,
  ticket: ChunkTicket,
  expectedRows: number,
): Promise<AttemptOutcome> {
  const { clock } = tools.scope.context.runtime;
  const begun = clock.monotonic();
  const given = [...tools.refused].filter(([, refusal]) => isFinal(refusal)).map(([id]) => id);
  const prepared = await guarded(tools, 'scan', () =>
    tools.workshop.prepare(ticket, expectedRows, new Set(given)),
  );
  try {
    if (prepared.cutAt !== null) return { type: 'split', at: prepared.cutAt };
    return await writePrepared(tools, prepared, clock.monotonic() - begun);
  } finally {
    prepared.drop();
  }
}

async function writePrepared(
  tools: AttemptTools,
  prepared: PreparedChunk,
  readMs: number,
): Promise<AttemptOutcome> {
  const { scope, refused } = tools;
  const { clock } = scope.context.runtime;
  const dead = [...prepared.dead, ...prepared.leftOut.map((key) => deadOf(key, refused))];
  const deadCount = dead.filter(({ waits }) => waits !== true).length;
  if (deadCount > 0 && tools.tooManyDead(deadCount, prepared.read)) return { type: 'dead-limit' };
  return tools.writers.with(async () => {
    if (stopReason(scope) !== null) return { type: 'stopped' };
    const writing = clock.monotonic();
    let inserted: number;
    try {
      ({ inserted } = await guarded(tools, `writeChunk of ${scope.collection.name}`, () =>
        prepared.write(doorContext(tools)),
      ));
    } catch (error) {
      if (!isChangeoverError(error, 'STORE_REJECTED') || prepared.count === 0) throw error;
      return halved(prepared, refused, error);
    }
    const workMs = readMs + clock.monotonic() - writing;
    await guarded(tools, 'dead letters', () => tools.dead.bury(dead));
    const counts = { read: prepared.read, inserted, dead: deadCount };
    return { type: 'done', counts, workMs };
  });
}

const isFinal = ({ times, waits }: Refusal): boolean => times >= REFUSALS || waits;

function deadOf(key: Key, refused: ReadonlyMap<string, Refusal>): DeadRow {
  const { reason = '', waits = false } = refused.get(encodeKey(key)) ?? {};
  return { key, reason, waits };
}

/** Bisection: one bad row must not keep the others out (MOLT and pgloader reject whole batches). */
async function halved(
  prepared: PreparedChunk,
  refused: Map<string, Refusal>,
  error: unknown,
): Promise<AttemptOutcome> {
  const middle = Math.floor(prepared.count / 2) - 1;
  if (middle >= 0) return { type: 'split', at: await prepared.keyAt(middle) };
  const id = encodeKey(await prepared.keyAt(0));
  const times = (refused.get(id)?.times ?? 0) + 1;
  refused.set(id, { times, reason: messageOf(error), waits: waitsForAnother(error) });
  return { type: 'refused' };
}

function doorContext(tools: AttemptTools): { readonly epoch: number; readonly timeoutMs: number } {
  return { epoch: tools.scope.begun.epoch, timeoutMs: tools.limits.timeoutMs };
}

/** A hung store must not hang the run: the attempt fails, and the next one takes the chunk over. */
function guarded<T>(
  tools: AttemptTools,
  what: string,
  work: (collection: string) => Promise<T>,
): Promise<T> {
  const { clock } = tools.scope.context.runtime;
  const limitMs = tools.limits.timeoutMs * 1.5;
  return withDeadline(clock, limitMs, what, work(tools.scope.collection.name));
}
