import type { LogCheckpoint, LogStart } from '../../capture/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import type { Scalar } from '../../record/index.ts';
import type { DoorContext, LogApplied, LogApply, LogDoor } from '../../store/index.ts';
import { applyBatch } from './mysql-door-batch.ts';
import {
  doorTransaction,
  enterDoor,
  type MysqlStoreParts,
  withRetries,
} from './mysql-door-entry.ts';
import { winnersOf } from './mysql-fences.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import { quoteLiteral } from './mysql-text.ts';

const COLUMNS = 'identity, sequence, position, skip';

/**
 * Entry of a log; see `LogDoor`. The checkpoint moves first in the transaction: whoever comes second with the same part of the log waits there, and then finds that
 * it has moved.
 *
 * **Foreign keys are not checked here.** A batch is the state after a series of whole transactions of the authority, where they held; on the way
 * to it they need not (records that refer to each other, parts of a large transaction), and InnoDB cannot put its checks off to the commit. An
 * orphan that is let in gets its parent with a later part of the same log. The price: ON DELETE actions of this store's own foreign keys do not run for
 * these changes, which `inspect` says where there are any.
 *
 * Every commit is as durable as the server makes it (`innodb_flush_log_at_trx_commit` is not a session's to choose), so nothing is lazy here.
 */
export function createMysqlLogDoor(parts: MysqlStoreParts): LogDoor {
  const { session, layout } = parts;
  const checkpoint = async (stream: string): Promise<LogCheckpoint | null> => {
    const { rows } = await session.query(lookAt(layout, stream), { what: 'look at a checkpoint' });
    return checkpointIn(rows[0]);
  };
  return {
    checkpoint,
    begin: (stream, start) => begin(parts, stream, start),
    apply: (batch, context) => withRetries(parts, context, (left) => apply(parts, batch, left)),
    async move(stream, from, to) {
      const moved = await session.query(moveStatement(layout, stream, from, to), {
        what: 'move of a checkpoint',
      });
      if (moved.count !== 1) throw checkpointMoved(stream, from);
    },
    async forget(stream) {
      await session.query(
        `DELETE FROM ${layout.logCheckpoint} WHERE stream = ${quoteLiteral(stream)}`,
        { what: 'end of a checkpoint' },
      );
    },
  };
}

function lookAt(layout: MysqlLayout, stream: string): string {
  return `SELECT ${COLUMNS} FROM ${layout.logCheckpoint} WHERE stream = ${quoteLiteral(stream)}`;
}

function checkpointIn(row: readonly Scalar[] | undefined): LogCheckpoint | null {
  if (row === undefined) return null;
  const [identity, sequence, text, skip] = row;
  return {
    identity: identity ?? '',
    position: { sequence: BigInt(sequence ?? 0), text: text ?? '' },
    skip: Number(skip),
  };
}

async function begin(
  { session, layout }: MysqlStoreParts,
  stream: string,
  { identity, position }: LogStart,
): Promise<LogCheckpoint> {
  const [, found] = await session.run(
    [
      `INSERT INTO ${layout.logCheckpoint} (stream, ${COLUMNS})
        VALUES (${quoteLiteral(stream)}, ${quoteLiteral(identity)}, ${position.sequence}, ${quoteLiteral(position.text)}, 0)
        ON DUPLICATE KEY UPDATE stream = stream`,
      lookAt(layout, stream),
    ],
    { what: 'beginning of a checkpoint' },
  );
  const held = checkpointIn(found?.rows[0]);
  if (held === null) throw new ChangeoverError('BUG', `The checkpoint of "${stream}" was gone.`);
  if (held.identity === identity) return held;
  throw new ChangeoverError(
    'LOG_LOST',
    `The follower stands at ${held.position.text} of log ${held.identity}, and "${stream}" is now read from log ${identity}.`,
    { data: { stream, held: held.identity, found: identity } },
  );
}

function moveStatement(
  layout: MysqlLayout,
  stream: string,
  from: LogCheckpoint,
  to: LogCheckpoint,
): string {
  return `UPDATE ${layout.logCheckpoint}
    SET identity = ${quoteLiteral(to.identity)}, sequence = ${to.position.sequence}, position = ${quoteLiteral(to.position.text)}, skip = ${to.skip}
    WHERE stream = ${quoteLiteral(stream)} AND identity = ${quoteLiteral(from.identity)} AND sequence = ${from.position.sequence} AND skip = ${from.skip}`;
}

function checkpointMoved(stream: string, from: LogCheckpoint): ChangeoverError {
  return new ChangeoverError(
    'CHECKPOINT_MOVED',
    `The follower does not stand at ${from.position.text} (${from.skip}) of "${stream}" any more.`,
    { data: { stream, from: from.position.text, skip: from.skip } },
  );
}

async function apply(
  parts: MysqlStoreParts,
  { stream, from, to, changes }: LogApply,
  context: DoorContext,
): Promise<LogApplied> {
  const { session, layout } = parts;
  const move = moveStatement(layout, stream, from, to);
  const entered = enterDoor(parts, context.epoch);
  const entrance = [...entered, move, 'SET SESSION foreign_key_checks = 0'];
  const winners = await winnersOf(parts, changes);
  const accepted = await session.transaction(
    (transaction) =>
      applyBatch(parts, transaction, winners, {
        entrance,
        checked(results) {
          if (results[entered.length]?.count === 1) return;
          throw checkpointMoved(stream, from);
        },
        acceptsEqual: true,
        order: [...new Set(changes.map(({ collection }) => collection))],
      }),
    doorTransaction(context, `apply of "${stream}" to the follower`),
  );
  return { applied: accepted.size, stale: changes.length - accepted.size, durable: true };
}
