import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import type { ChunkTicket, Door, DoorContext, KeyRange } from '../../store/index.ts';
import { type ChunkPath, RangeDisagrees } from './postgres-chunk-record.ts';
import { writeRecords } from './postgres-chunk-write.ts';
import { copyChunk } from './postgres-copy.ts';
import { copyText } from './postgres-copy-text.ts';
import {
  asDoorError,
  doorLock,
  doorTransaction,
  enterFollower,
  type PostgresStoreParts,
} from './postgres-door-entry.ts';
import { sqlStateOf } from './postgres-errors.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, PostgresTransaction } from './postgres-session.ts';
import { textArray } from './postgres-text.ts';

/** Longest wait for the door transactions that are older than a chunk. */
const OLDER_DOORS_MS = 30_000;
/**
 * A chunk that waits longer than this for a row gives way, well before the server looks for deadlocks (1 s): then the victim is
 * never a live write.
 */
const ROW_WAIT_MS = 400;
const WRITE_ATTEMPTS_MAX = 50;

/** The chunk operations of the door. */
export function createPostgresChunks(
  parts: PostgresStoreParts,
): Pick<Door, 'beginChunk' | 'writeChunk' | 'abandonChunk'> &
  Required<Pick<Door, 'copyChunk' | 'copyText'>> {
  return {
    beginChunk: (collection, chunk, range, owner) =>
      beginChunk(parts, collection, chunk, range, owner),
    async writeChunk(ticket, records, context) {
      const written = await write(parts, ticket, context, (transaction, path) =>
        writeRecords(parts, transaction, ticket, records, path, context.timeoutMs),
      );
      return { inserted: written.inserted };
    },
    copyChunk: (ticket, from, context) =>
      write(parts, ticket, context, (transaction, path) =>
        copyChunk(parts, transaction, ticket, from, path, context.timeoutMs),
      ),
    copyText: (ticket, from, context, rowsMax) =>
      write(parts, ticket, context, (transaction, path) =>
        copyText(parts, transaction, ticket, { from, rowsMax }, path, context.timeoutMs),
      ),
    abandonChunk: (ticket) => abandon(parts, ticket),
  };
}

async function beginChunk(
  { session, layout, catalog }: PostgresStoreParts,
  collection: string,
  chunk: number,
  range: KeyRange,
  owner: string,
): Promise<ChunkTicket> {
  await catalog.collection(collection);
  // The first attempt is drawn: after a truncation a ticket of an earlier generation must not fit again.
  const { rows } = await session.query(
    `INSERT INTO ${layout.chunk} AS c (collection, chunk, owner, attempt, after_key, until_key, state)
      VALUES ($1, $2, $3, 1 + floor(random() * 1000000)::int, $4, $5, 'in-flight')
      ON CONFLICT (collection, chunk) DO UPDATE SET owner = excluded.owner, attempt = c.attempt + 1,
        after_key = excluded.after_key, until_key = excluded.until_key, state = 'in-flight', began_at = clock_timestamp()
      RETURNING attempt`,
    [collection, String(chunk), owner, boundText(range.after), boundText(range.until)],
    { what: `beginning of chunk ${chunk} of "${collection}"` },
  );
  const ticket = { collection, chunk, range, owner, attempt: Number(rows[0]?.[0]) };
  try {
    await outwaitDoors(session, layout);
  } catch (error) {
    await abandon({ session, layout }, ticket).catch(() => {});
    throw error;
  }
  return ticket;
}

const boundText = (key: Key | null): string | null => (key === null ? null : textArray(key));

/**
 * Waits until the live door transactions that are open now have ended. Looks at who holds the lock instead of taking it: an
 * exclusive waiter would make every live write behind it queue for as long as the slowest one before it.
 */
export async function outwaitDoors(
  session: PostgresSession,
  layout: PostgresLayout,
): Promise<void> {
  const { clock } = session.runtime;
  const endsAt = clock.monotonic() + OLDER_DOORS_MS;
  const id = BigInt.asUintN(64, doorLock(layout));
  const holders = `SELECT virtualtransaction FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND classid = ${id >> 32n}::text::oid AND objid = ${id & 0xffffffffn}::text::oid`;
  const { rows } = await session.query(holders);
  const older = new Set(rows.map(([holder]) => holder));
  for (let pauseMs = 2; older.size > 0; pauseMs = Math.min(50, pauseMs * 2)) {
    if (clock.monotonic() > endsAt) {
      throw new ChangeoverError(
        'STORE_CONFLICT',
        `Door transactions older than a chunk are still open after ${OLDER_DOORS_MS} ms.`,
      );
    }
    await clock.sleep(pauseMs);
    const now = new Set((await session.query(holders)).rows.map(([holder]) => holder));
    for (const holder of older) if (!now.has(holder)) older.delete(holder);
  }
}

async function abandon(
  { session, layout }: Pick<PostgresStoreParts, 'session' | 'layout'>,
  { collection, chunk, owner, attempt }: ChunkTicket,
): Promise<void> {
  await session.query(
    `UPDATE ${layout.chunk} SET state = 'abandoned'
      WHERE collection = $1 AND chunk = $2 AND owner = $3 AND attempt = $4 AND state = 'in-flight'`,
    [collection, String(chunk), owner, String(attempt)],
    { what: `abandoning of chunk ${chunk} of "${collection}"` },
  );
}

type ChunkBody<Result> = (transaction: PostgresTransaction, path: ChunkPath) => Promise<Result>;

/** The write transaction of a chunk, again where it gave way, and by the stage where the straight path met a row. */
async function write<Result>(
  parts: PostgresStoreParts,
  ticket: ChunkTicket,
  context: DoorContext,
  body: ChunkBody<Result>,
): Promise<Result> {
  const { clock, random } = parts.session.runtime;
  const endsAt = clock.monotonic() + context.timeoutMs;
  let path: ChunkPath = 'straight';
  for (let attempt = 1; ; attempt += 1) {
    const timeoutMs = Math.max(1, endsAt - clock.monotonic());
    try {
      return await writeOnce(parts, ticket, { ...context, timeoutMs }, path, body);
    } catch (error) {
      const met = path === 'straight' && sqlStateOf(error) === '23505';
      const gaveWay = isChangeoverError(error, 'STORE_CONFLICT') && attempt < WRITE_ATTEMPTS_MAX;
      if ((!met && !gaveWay) || clock.monotonic() >= endsAt) throw asDoorError(error);
      path = 'stage';
      if (error instanceof RangeDisagrees) await widen(parts, ticket);
      else if (gaveWay) await clock.sleep(random.next() * 50);
    }
  }
}

async function writeOnce<Result>(
  parts: PostgresStoreParts,
  ticket: ChunkTicket,
  context: DoorContext,
  path: ChunkPath,
  body: ChunkBody<Result>,
): Promise<Result> {
  const { session, layout } = parts;
  const { collection, chunk, owner, attempt } = ticket;
  const options = doorTransaction(context, `writing of chunk ${chunk} of "${collection}"`);
  return session.transaction(
    async (transaction) => {
      const [, claimed] = await transaction.run([
        enterFollower(parts, context.epoch),
        {
          text: `UPDATE ${layout.chunk} SET state = 'done'
            WHERE collection = $1 AND chunk = $2 AND owner = $3 AND attempt = $4 AND state = 'in-flight'`,
          values: [collection, String(chunk), owner, String(attempt)],
        },
        // Estimates about new tables and about ranges of several columns are far too high: compiled for them, a statement takes several times as long.
        {
          text: `SELECT pg_catalog.set_config('lock_timeout', '${ROW_WAIT_MS}', true), pg_catalog.set_config('jit', 'off', true)`,
        },
      ]);
      if (claimed?.count !== 1) {
        throw new ChangeoverError(
          'CHUNK_LOST',
          `Chunk ${chunk} of "${collection}" is not ours any more.`,
          {
            data: { collection, chunk, owner, attempt },
          },
        );
      }
      return body(transaction, path);
    },
    { ...options, ...(context.discard ? { discard: true } : {}) },
  );
}

/** Makes the record cover every key, and waits out the door transactions that may have seen it narrow. */
async function widen({ session, layout }: PostgresStoreParts, ticket: ChunkTicket): Promise<void> {
  await session.query(
    `UPDATE ${layout.chunk} SET after_key = NULL, until_key = NULL
      WHERE collection = $1 AND chunk = $2 AND owner = $3 AND attempt = $4 AND state = 'in-flight'`,
    [ticket.collection, String(ticket.chunk), ticket.owner, String(ticket.attempt)],
  );
  await outwaitDoors(session, layout);
}
