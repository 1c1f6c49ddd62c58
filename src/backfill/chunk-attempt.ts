import { isChangeoverError, messageOf, waitsForAnother } from '../errors/index.ts';
import { encodeKey, type Key } from '../record/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { ChunkTicket, StoredRecord } from '../store/index.ts';
import type { BackfillLimits } from './backfill-options.ts';
import { type BackfillScope, stopReason } from './backfill-scope.ts';
import type { Chunk, RowCounts } from './chunk-ledger.ts';
import type { ChunkReader } from './chunk-reader.ts';
import { type DeadRow, transformChunk } from './chunk-transform.ts';
import type { DeadRows } from './dead-rows.ts';
import type { Permits } from './permits.ts';

/** What one attempt at a chunk came to. Everything else is thrown. */
export type AttemptOutcome =
  | { readonly type: 'done'; readonly counts: RowCounts; readonly workMs: number }
  /** Too large, or refused: the two halves are to be tried. */
  | { readonly type: 'split'; readonly at: Key }
  /** The copied bytes were refused: to be tried as records. */
  | { readonly type: 'demote' }
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
  readonly reader: ChunkReader;
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
      chunk.path === 'copy'
        ? await copyBytes(tools, ticket)
        : await moveRecords(tools, ticket, expectedRows);
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

async function copyBytes(tools: AttemptTools, ticket: ChunkTicket): Promise<AttemptOutcome> {
  const { scope } = tools;
  const { clock } = scope.context.runtime;
  const { authority, follower } = scope;
  return tools.writers.with(async () => {
    if (stopReason(scope) !== null) return { type: 'stopped' };
    const begun = clock.monotonic();
    const from = { engine: authority.engine, collection: ticket.collection, store: authority };
    try {
      const done = await guarded(tools, 'copyChunk', () =>
        // The pipeline chooses this path only where the method exists.
        follower.door.copyChunk!(ticket, from, doorContext(tools)),
      );
      const counts = { read: done.rows, inserted: done.inserted, dead: 0 };
      return { type: 'done', counts, workMs: clock.monotonic() - begun };
    } catch (error) {
      if (isChangeoverError(error, 'STORE_REJECTED')) return { type: 'demote' };
      throw error;
    }
  });
}

async function moveRecords(
  tools: AttemptTools,
  ticket: ChunkTicket,
  expectedRows: number,
): Promise<AttemptOutcome> {
  const { scope, refused } = tools;
  const { clock } = scope.context.runtime;
  const begun = clock.monotonic();
  const read = await guarded(tools, 'scan', () => tools.reader.read(ticket.range, expectedRows));
  if (read.cutAt && ticket.range.until && encodeKey(read.cutAt) !== encodeKey(ticket.range.until))
    return { type: 'split', at: read.cutAt };
  const { name } = scope.collection;
  const side = scope.follower.side;
  const made = await transformChunk(scope.collection, side, read.records, clock);
  const { records, dead } = withoutRefused(made.records, made.dead, refused);
  const readMs = clock.monotonic() - begun;
  const deadCount = dead.filter(({ waits }) => waits !== true).length;
  if (deadCount > 0 && tools.tooManyDead(deadCount, read.records.length))
    return { type: 'dead-limit' };
  return tools.writers.with(async () => {
    if (stopReason(scope) !== null) return { type: 'stopped' };
    const writing = clock.monotonic();
    let inserted: number;
    try {
      ({ inserted } = await guarded(tools, `writeChunk of ${name}`, () =>
        scope.follower.door.writeChunk(ticket, records, doorContext(tools)),
      ));
    } catch (error) {
      if (!isChangeoverError(error, 'STORE_REJECTED') || records.length === 0) throw error;
      return halved(records, refused, error);
    }
    const workMs = readMs + clock.monotonic() - writing;
    await guarded(tools, 'dead letters', () => tools.dead.bury(dead));
    const counts = { read: read.records.length, inserted, dead: deadCount };
    return { type: 'done', counts, workMs };
  });
}

function withoutRefused(
  records: readonly StoredRecord[],
  dead: readonly DeadRow[],
  refused: ReadonlyMap<string, Refusal>,
): { readonly records: readonly StoredRecord[]; readonly dead: readonly DeadRow[] } {
  if (refused.size === 0) return { records, dead };
  const more: DeadRow[] = [];
  const rest = records.filter(({ key }) => {
    const refusal = refused.get(encodeKey(key));
    if (refusal === undefined || (refusal.times < REFUSALS && !refusal.waits)) return true;
    more.push({ key, reason: refusal.reason, waits: refusal.waits });
    return false;
  });
  return { records: rest, dead: [...dead, ...more] };
}

/** Bisection: one bad row must not keep the others out (MOLT and pgloader reject whole batches). */
function halved(
  records: readonly StoredRecord[],
  refused: Map<string, Refusal>,
  error: unknown,
): AttemptOutcome {
  const middle = records[Math.floor(records.length / 2) - 1];
  if (middle) return { type: 'split', at: middle.key };
  const only = records[0] as StoredRecord;
  const id = encodeKey(only.key);
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
