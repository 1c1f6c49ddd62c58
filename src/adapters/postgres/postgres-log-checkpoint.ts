import { ChangeoverError } from '../../errors/index.ts';
import type { LogCheckpoint, LogStart } from '../../log/index.ts';
import { sqlStateOf } from './postgres-errors.ts';
import type { SqlResult, Statement } from './postgres-flight.ts';
import { DOOR_PREFIX } from './postgres-log-mark.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession } from './postgres-session.ts';

/** Named so that its violation cannot be taken for one of the user's. */
const MOVED = 'changeover_checkpoint_moved';

/** Where this store stands in the streams that it follows; see `LogDoor`. Also run by `begin`: earlier installations lack the table. */
export function checkpointTable(layout: PostgresLayout): string {
  return `CREATE TABLE IF NOT EXISTS ${layout.logCheckpoint} (
    stream text COLLATE "C" PRIMARY KEY,
    identity text NOT NULL,
    sequence bigint NOT NULL CONSTRAINT ${MOVED} CHECK (sequence >= 0),
    position text NOT NULL,
    skip bigint NOT NULL CHECK (skip >= 0)
  ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0)`;
}

/**
 * Waits for whoever is moving the checkpoint. A statement of its own, before `moveCheckpoint`: an UPDATE that waits has looked at the table's conditions with
 * the row as it was before, and would refuse what fits what it has waited for.
 */
export function holdCheckpoint(layout: PostgresLayout, stream: string): Statement {
  return {
    text: `SELECT 1 FROM ${layout.logCheckpoint} WHERE stream = $1 FOR NO KEY UPDATE`,
    values: [stream],
  };
}

/**
 * Compare-and-set as a statement that *fails* where the store holds something else, or nothing, so that nothing behind it in the same flight is
 * run: it would set a number that the table refuses. The row is held.
 */
export function moveCheckpoint(
  layout: PostgresLayout,
  stream: string,
  from: LogCheckpoint,
  to: LogCheckpoint,
): Statement {
  return {
    text: `WITH moved AS (
        UPDATE ${layout.logCheckpoint} SET position = $7, skip = $8, identity = $5,
          sequence = CASE WHEN identity = $2 AND sequence = $3 AND skip = $4 THEN $6::bigint ELSE -1 END
        WHERE stream = $1 RETURNING 1)
      INSERT INTO ${layout.logCheckpoint} (stream, identity, sequence, position, skip)
      SELECT '', '', -1, '', 0 WHERE NOT EXISTS (SELECT 1 FROM moved)`,
    values: [
      stream,
      from.identity,
      String(from.position.sequence),
      String(from.skip),
      to.identity,
      String(to.position.sequence),
      to.position.text,
      String(to.skip),
    ],
  };
}

/** True for the error by which `moveCheckpoint` refuses. */
export function hasMoved(error: unknown): boolean {
  return error instanceof ChangeoverError && error.data['constraint'] === MOVED;
}

export function checkpointMoved(stream: string, from: LogCheckpoint): ChangeoverError {
  return new ChangeoverError(
    'CHECKPOINT_MOVED',
    `This store does not stand at ${from.position.text} (and ${from.skip} changes) of stream "${stream}" any more: another worker has gone on, or the stream was removed. Nothing was applied.`,
    { data: { stream, position: from.position.text, skip: from.skip } },
  );
}

/** Whatever somebody has set for this database or role: the answer of this transaction's COMMIT waits for the disk. Stronger settings stay. */
export const waitForDisk: Statement = {
  text: `SELECT pg_catalog.set_config('synchronous_commit', CASE v WHEN 'off' THEN 'on' ELSE v END, true)
    FROM pg_catalog.current_setting('synchronous_commit') v`,
};

/** null: never begun, or nothing of ours is there. `durable`: what is told is on disk. */
export async function readCheckpoint(
  session: PostgresSession,
  layout: PostgresLayout,
  stream: string,
  durable: boolean,
): Promise<LogCheckpoint | null> {
  try {
    const read = readStatement(layout, stream);
    // What is seen is in the log of this server already; a commit that waits, and has something to write itself, brings the log up to there to the disk.
    const flush = durable ? [waitForDisk, writtenMessage(layout)] : [];
    const results = await session.run([read, ...flush], { what: 'look at a log checkpoint' });
    return checkpointIn(results[0]?.rows[0]);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Stores the beginning unless there is one; what is stored then. */
export async function beginStream(
  session: PostgresSession,
  layout: PostgresLayout,
  stream: string,
  { identity, position }: LogStart,
): Promise<LogCheckpoint> {
  const insert = {
    text: `INSERT INTO ${layout.logCheckpoint} (stream, identity, sequence, position, skip)
      VALUES ($1, $2, $3, $4, 0) ON CONFLICT (stream) DO NOTHING`,
    values: [stream, identity, String(position.sequence), position.text],
  };
  const statements = [insert, readStatement(layout, stream)];
  const what = 'beginning of a log stream';
  const results = await session.run(statements, { what }).catch(async (error: unknown) => {
    if (sqlStateOf(error) !== '42P01') throw error;
    await session.query(checkpointTable(layout), [], { what });
    return session.run(statements, { what });
  });
  const stored = checkpointIn(results[1]?.rows[0]);
  if (stored === null)
    throw new ChangeoverError('STORE_CONFLICT', `Stream "${stream}" was removed while it began.`);
  if (stored.identity === identity) return stored;
  throw new ChangeoverError(
    'LOG_LOST',
    `Stream "${stream}" was begun here on log ${stored.identity}, and is now of log ${identity}: slot or server were replaced, and what committed in between cannot be read. Abort the migration and start anew.`,
    { data: { stream, stored: stored.identity, found: identity } },
  );
}

export async function forgetStream(
  session: PostgresSession,
  layout: PostgresLayout,
  stream: string,
): Promise<void> {
  try {
    await session.query(`DELETE FROM ${layout.logCheckpoint} WHERE stream = $1`, [stream], {
      what: 'removal of a log checkpoint',
    });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** A transaction that only has a number, and has written nothing, would not wait. It carries the door's mark: no reader of this server's log takes it for anything. */
const writtenMessage = ({ migration }: PostgresLayout): Statement => ({
  text: 'SELECT pg_catalog.pg_logical_emit_message(true, $1::text, $2::text)',
  values: [DOOR_PREFIX, migration],
});

const readStatement = (layout: PostgresLayout, stream: string): Statement => ({
  text: `SELECT identity, sequence, position, skip FROM ${layout.logCheckpoint} WHERE stream = $1`,
  values: [stream],
});

function checkpointIn(row: SqlResult['rows'][number] | undefined): LogCheckpoint | null {
  const [identity, sequence, text, skip] = row ?? [];
  if (identity == null || sequence == null || text == null || skip == null) return null;
  return { identity, position: { sequence: BigInt(sequence), text }, skip: Number(skip) };
}

/** Schema or table are not there. */
function isMissing(error: unknown): boolean {
  return ['3F000', '42P01'].includes(sqlStateOf(error) ?? '');
}
