import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import { encodeKey, type Key } from '../../record/index.ts';
import type { ChunkTicket, Door, DoorContext, KeyRange } from '../../store/index.ts';
import { RangeDisagrees } from './mysql-chunk-record.ts';
import { writeRecords } from './mysql-chunk-write.ts';
import { asDoorError, doorTransaction, type MysqlStoreParts } from './mysql-door-entry.ts';
import { errnoOf } from './mysql-errors.ts';
import { outwaitDoors } from './mysql-gates.ts';
import { enterStatement } from './mysql-schema.ts';
import type { MysqlTransaction } from './mysql-session.ts';
import { literal, quoteLiteral } from './mysql-text.ts';

/** A chunk that waits longer than this for a row gives way; the smallest wait that every server knows. */
const ROW_WAIT_MS = 1_000;
const WRITE_ATTEMPTS_MAX = 50;
/** Duplicate entry: a live change has put in a record between the look and the insert. */
const DUPLICATE = 1062;

/** The chunk operations of the door. */
export function createMysqlChunks(
  parts: MysqlStoreParts,
): Pick<Door, 'beginChunk' | 'writeChunk' | 'abandonChunk'> {
  return {
    beginChunk: (collection, chunk, range, owner) =>
      beginChunk(parts, collection, chunk, range, owner),
    writeChunk: (ticket, records, context) =>
      write(parts, ticket, context, (transaction) =>
        writeRecords(parts, transaction, ticket, records),
      ),
    abandonChunk: (ticket) => abandon(parts, ticket),
  };
}

async function beginChunk(
  { session, layout, catalog }: MysqlStoreParts,
  collection: string,
  chunk: number,
  range: KeyRange,
  owner: string,
): Promise<ChunkTicket> {
  await catalog.collection(collection);
  // The first attempt is drawn: after a truncation a ticket of an earlier generation must not fit again.
  const first = 1 + Math.floor(session.runtime.random.next() * 1_000_000);
  const attempt = await session.transaction(
    async (transaction) => {
      const results = await transaction.run([
        // Pruning of fences holds this row: no chunk begins before the fences have gone.
        `SELECT one FROM ${layout.meta} WHERE one = 1 LOCK IN SHARE MODE`,
        `INSERT INTO ${layout.chunk} (collection, chunk, owner, attempt, after_key, until_key, state, began_at)
          VALUES (${quoteLiteral(collection)}, ${chunk}, ${quoteLiteral(owner)}, ${first}, ${bound(range.after)}, ${bound(range.until)}, 'in-flight', UTC_TIMESTAMP(6))
          ON DUPLICATE KEY UPDATE owner = VALUES(owner), attempt = attempt + 1, after_key = VALUES(after_key),
            until_key = VALUES(until_key), state = 'in-flight', began_at = VALUES(began_at)`,
        `SELECT attempt FROM ${layout.chunk} WHERE collection = ${quoteLiteral(collection)} AND chunk = ${chunk}`,
      ]);
      return Number(results[2]?.rows[0]?.[0]);
    },
    { timeoutMs: 30_000, what: `beginning of chunk ${chunk} of "${collection}"` },
  );
  const ticket = { collection, chunk, range, owner, attempt };
  try {
    await outwaitDoors(session, layout);
  } catch (error) {
    await abandon({ session, layout }, ticket).catch(() => {});
    throw error;
  }
  return ticket;
}

const bound = (key: Key | null): string => literal(key === null ? null : encodeKey(key));

/** Condition that the record of the chunk is still this ticket's. */
function isOurs({ collection, chunk, owner, attempt }: ChunkTicket): string {
  return `collection = ${quoteLiteral(collection)} AND chunk = ${chunk} AND owner = ${quoteLiteral(owner)} AND attempt = ${attempt} AND state = 'in-flight'`;
}

async function abandon(
  { session, layout }: Pick<MysqlStoreParts, 'session' | 'layout'>,
  ticket: ChunkTicket,
): Promise<void> {
  await session.query(`UPDATE ${layout.chunk} SET state = 'abandoned' WHERE ${isOurs(ticket)}`, {
    what: `abandoning of chunk ${ticket.chunk} of "${ticket.collection}"`,
  });
}

/** The write transaction of a chunk, again where it gave way. */
async function write<Result>(
  parts: MysqlStoreParts,
  ticket: ChunkTicket,
  context: DoorContext,
  body: (transaction: MysqlTransaction) => Promise<Result>,
): Promise<Result> {
  const { clock, random } = parts.session.runtime;
  const endsAt = clock.monotonic() + context.timeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    const timeoutMs = Math.max(1, endsAt - clock.monotonic());
    try {
      return await writeOnce(parts, ticket, { ...context, timeoutMs }, body);
    } catch (error) {
      const met = errnoOf(error) === DUPLICATE && attempt < MET_MAX;
      const gaveWay = isChangeoverError(error, 'STORE_CONFLICT') && attempt < WRITE_ATTEMPTS_MAX;
      if ((!met && !gaveWay) || clock.monotonic() >= endsAt) throw asDoorError(error);
      if (error instanceof RangeDisagrees) await widen(parts, ticket);
      else await clock.sleep(random.next() * 50);
    }
  }
}

/** A duplicate that is still met after so many new looks is not a live change: a unique value is held by another record. */
const MET_MAX = 8;

function writeOnce<Result>(
  { session, layout }: MysqlStoreParts,
  ticket: ChunkTicket,
  context: DoorContext,
  body: (transaction: MysqlTransaction) => Promise<Result>,
): Promise<Result> {
  const { collection, chunk, owner, attempt } = ticket;
  return session.transaction(
    async (transaction) => {
      const [, claimed] = await transaction.run([
        enterStatement(layout, 'follower', context.epoch),
        `UPDATE ${layout.chunk} SET state = 'done' WHERE ${isOurs(ticket)}`,
      ]);
      if (claimed?.count !== 1) {
        throw new ChangeoverError(
          'CHUNK_LOST',
          `Chunk ${chunk} of "${collection}" is not ours any more.`,
          { data: { collection, chunk, owner, attempt } },
        );
      }
      return body(transaction);
    },
    {
      ...doorTransaction(context, `writing of chunk ${chunk} of "${collection}"`),
      lockWaitMs: ROW_WAIT_MS,
    },
  );
}

/** Makes the record cover every key, and waits out the door transactions that may have seen it narrow. */
async function widen({ session, layout }: MysqlStoreParts, ticket: ChunkTicket): Promise<void> {
  await session.query(
    `UPDATE ${layout.chunk} SET after_key = NULL, until_key = NULL WHERE ${isOurs(ticket)}`,
    { what: 'widening of a chunk' },
  );
  await outwaitDoors(session, layout);
}
