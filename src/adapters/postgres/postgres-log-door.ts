import { isChangeoverError } from '../../errors/index.ts';
import type { DoorContext, LogApplied, LogApply, LogDoor } from '../../store/index.ts';
import { CopyHabit } from './postgres-copy-habit.ts';
import {
  asDoorError,
  doorTransaction,
  enterDoor,
  type PostgresStoreParts,
} from './postgres-door-entry.ts';
import { type LogPart, partsOf } from './postgres-log-batch.ts';
import {
  beginStream,
  checkpointMoved,
  forgetStream,
  hasMoved,
  holdCheckpoint,
  moveCheckpoint,
  readCheckpoint,
  waitForDisk,
} from './postgres-log-checkpoint.ts';
import {
  type AtOnce,
  atOnce,
  inSteps,
  isActing,
  isDeferrable,
  otherWay,
  type Way,
} from './postgres-log-ways.ts';
import type { PostgresTransaction, Statement } from './postgres-session.ts';

/** A batch that lost against another lock order (a user's trigger, a foreign key) is tried again this often. */
const ATTEMPTS_MAX = 3;
/** So many batches of a stream are committed in a round trip of their own, after one whose end was not told. */
const CAREFUL_AFTER_UNKNOWN = 20;

/**
 * The log's entry of a PostgreSQL store; see `LogDoor`. A batch is one round trip, however many collections it has: {enter, checkpoint,
 * fences, rows, COMMIT}.
 *
 * **In turn.** Batches of one stream are applied in the order of the calls, whether the one before came through or not (if not, the next one is told
 * CHECKPOINT_MOVED). Each is encoded when it is handed in, and sent (on another connection) as soon as the one before *holds* the checkpoint row: there
 * it waits in the server, and goes on with the commit of the one before without a word from us, who may be busy with the next.
 * Where the one before had to be tried again, it has come too early and is sent once more.
 *
 * **Locks**: role (shared) → door (shared) → *checkpoint row* → fences by (collection, key) → chunk records → rows, as in `postgres-door.ts`; the
 * checkpoint row is nobody else's. Of two workers that apply the same part the second waits there until the first has ended, and then is refused
 * by the server before it has touched anything.
 *
 * **All fences at once.** Rows are sent behind the fences without waiting for which of these were raised. Nearly always all of them are. Where
 * one is higher (a re-read came in that is newer than this change), the server refuses what stands behind it, and the batch is done again in two steps.
 *
 * **Order of rows.** Deletes, children's collections first, then upserts, parents' first: a unique value may move from a deleted record to a new one. Where a
 * record that stays has left a deleted one, that order offends its foreign key; then the batch is done again with the deletes behind the upserts. Where a
 * foreign key of this store acts on deletes (CASCADE, SET NULL), they always stand behind: a record that has left a deleted one must not go with it,
 * for what refers to it would go as well, and does not come again.
 * Deferrable foreign keys are looked at when the batch is complete.
 *
 * **Lazy batches** commit without waiting for the disk. What the server writes down is in the order of the commits, so one that waits, of whatever kind, takes all
 * before it with it, and a crash leaves a beginning of the stream: rows, fences and checkpoint of the same moment.
 */
export function createPostgresLogDoor(parts: PostgresStoreParts): LogDoor {
  const { session, layout } = parts;
  const entry: Entry = { parts, habit: new CopyHabit(), careful: new Map() };
  const turns = new Map<string, Turn>();
  return {
    checkpoint: (stream, { durable = false } = {}) =>
      readCheckpoint(session, layout, stream, durable),
    begin: (stream, start) => beginStream(session, layout, stream, start),
    async move(stream, from, to) {
      try {
        const hold = holdCheckpoint(layout, stream);
        // The log before it is let go of afterwards.
        const statements = [hold, moveCheckpoint(layout, stream, from, to), waitForDisk];
        await session.run(statements, { what: 'log checkpoint' });
      } catch (error) {
        throw hasMoved(error) ? checkpointMoved(stream, from) : error;
      }
    },
    forget: (stream) => forgetStream(session, layout, stream),
    apply(batch, context) {
      const { stream } = batch;
      let locks = (): void => {};
      const holds = new Promise<void>((resolve) => {
        locks = resolve;
      });
      const applied = applyInTurn(entry, batch, context, turns.get(stream) ?? nobody, locks);
      const ended = applied.then(
        () => true,
        () => false,
      );
      const turn = { holds, ended };
      turns.set(stream, turn);
      ended.then(() => {
        locks();
        if (turns.get(stream) === turn) turns.delete(stream);
      });
      return applied;
    },
  };
}

/** What the batches of one store share. */
interface Entry {
  readonly parts: PostgresStoreParts;
  readonly habit: CopyHabit;
  /** Stream → batches that are still to be committed by themselves. */
  readonly careful: Map<string, number>;
}

interface Turn {
  /** The checkpoint row is locked, or it has ended. */
  readonly holds: Promise<void>;
  /** True: it was applied. */
  readonly ended: Promise<boolean>;
}

const nobody: Turn = { holds: Promise.resolve(), ended: Promise.resolve(true) };

/** A batch as it was handed in. */
interface Given {
  readonly batch: LogApply;
  readonly context: DoorContext;
  readonly found: readonly LogPart[];
  /** Called when it holds the checkpoint row. */
  readonly locks: () => void;
}

async function applyInTurn(
  entry: Entry,
  batch: LogApply,
  context: DoorContext,
  before: Turn,
  locks: () => void,
): Promise<LogApplied> {
  const { parts, habit } = entry;
  const found = await partsOf(parts, batch.changes);
  const copying = found.filter((part) => habit.copies(part));
  const way: Way = {
    copied: new Set(copying.map(({ collection }) => collection.collection)),
    inSteps: false,
    deletesLast: await isActing(parts, found),
    turned: false,
  };
  const given: Given = { batch, context, found, locks };
  const encoded = atOnce(parts, habit, found, way);
  await before.holds;
  let early = true;
  before.ended.then(() => {
    early = false;
  });
  await Promise.resolve();
  const wasEarly = early;
  try {
    return await applySomehow(entry, given, way, encoded);
  } catch (error) {
    // Without a free connection it cannot wait in the server.
    const inVain = hasMoved(error) || isChangeoverError(error, 'STORE_UNAVAILABLE');
    const again = wasEarly && inVain && (await before.ended);
    if (!again) throw hasMoved(error) ? checkpointMoved(batch.stream, batch.from) : error;
  }
  try {
    return await applySomehow(entry, given, way, encoded);
  } catch (error) {
    throw hasMoved(error) ? checkpointMoved(batch.stream, batch.from) : error;
  }
}

async function applySomehow(
  entry: Entry,
  given: Given,
  first: Way,
  encodedFirst: AtOnce,
): Promise<LogApplied> {
  const { parts, habit, careful } = entry;
  const { batch, context, found } = given;
  const { clock } = parts.session.runtime;
  const endsAt = clock.monotonic() + context.timeoutMs;
  let [way, encoded] = [first, encodedFirst];
  for (let attempt = 1; ; attempt += 1) {
    try {
      const timeoutMs = Math.max(1, endsAt - clock.monotonic());
      return await applyOnce(entry, given, encoded, way, timeoutMs);
    } catch (error) {
      if (isChangeoverError(error, 'OUTCOME_UNKNOWN'))
        careful.set(batch.stream, CAREFUL_AFTER_UNKNOWN);
      if (hasMoved(error) || clock.monotonic() >= endsAt) throw asDoorError(error);
      const next = otherWay(way, batch.changes, error);
      if (next === null) {
        if (isChangeoverError(error, 'STORE_CONFLICT') && attempt < ATTEMPTS_MAX) continue;
        throw asDoorError(error);
      }
      if (next.copied.size < way.copied.size)
        for (const part of found)
          if (way.copied.has(part.collection.collection)) habit.failed(part);
      way = next;
      if (!way.inSteps) encoded = atOnce(parts, habit, found, way);
    }
  }
}

async function applyOnce(
  { parts, careful }: Entry,
  { batch, context, found, locks }: Given,
  encoded: AtOnce,
  way: Way,
  timeoutMs: number,
): Promise<LogApplied> {
  const { session, layout } = parts;
  const { stream, from, to, changes, lazy = false } = batch;
  const before: Statement[] = [
    enterDoor(parts, context.epoch),
    { ...holdCheckpoint(layout, stream), done: locks },
    moveCheckpoint(layout, stream, from, to),
  ];
  if (!lazy) before.push(waitForDisk);
  if (found.some(({ collection }) => isDeferrable(collection)))
    before.push({ text: 'SET CONSTRAINTS ALL DEFERRED' });
  const options = { ...doorTransaction({ ...context, timeoutMs }, 'application of a log'), lazy };
  const statements = [...before, ...encoded.statements];
  const all = { applied: changes.length, stale: 0, durable: !lazy };
  const left = careful.get(stream) ?? 0;
  if (left > 0) careful.set(stream, left - 1);
  if (!way.inSteps && !context.discard && left === 0) {
    const results = await session.runCommitted(statements, options);
    encoded.learn(results.slice(before.length));
    return all;
  }
  // Rolled back for certain, where time runs out before COMMIT: then the caller may divide it.
  const body = async (transaction: PostgresTransaction): Promise<LogApplied> => {
    if (way.inSteps) {
      const raised = await inSteps(parts, found, transaction, before, way);
      return { applied: raised, stale: changes.length - raised, durable: !lazy };
    }
    const results = await transaction.run(statements);
    encoded.learn(results.slice(before.length));
    return all;
  };
  return session.transaction(body, {
    ...options,
    ...(context.discard ? { discard: true } : {}),
  });
}
