/** What the caller should do with an error: try again, give the write up, or stop everything and look. */
export type Disposition = 'retry' | 'reject' | 'halt';

/** One entry of the error reference; `docs/reference/errors.md` is generated from these. */
export interface ErrorEntry {
  readonly disposition: Disposition;
  /** What has happened, in one sentence. */
  readonly meaning: string;
  /** What to do about it, in one sentence. */
  readonly action: string;
}

const entry = (disposition: Disposition, meaning: string, action: string): ErrorEntry => ({
  disposition,
  meaning,
  action,
});

/** Every error code. Codes are stable: they are part of the public API. */
export const errorCatalogue = {
  CONFIG_INVALID: entry(
    'reject',
    'The configuration or an argument is not valid.',
    'Correct the value named in the message; nothing was changed.',
  ),
  KEY_INVALID: entry(
    'reject',
    'A key has missing, NULL or surplus parts, or its collection has no usable key.',
    'Give every key column a value; declare a primary key or a unique NOT NULL key.',
  ),
  VALUE_INVALID: entry(
    'reject',
    'A value cannot be represented exactly.',
    'Pass numbers beyond 2^53 as bigint or string, and dates as Date or ISO text.',
  ),
  MAPPING_REFUSED: entry(
    'reject',
    'A value of one store cannot be held by the column of the other one.',
    'Correct the value or the column, or say in `columns` of the collection what becomes of such values; until then its change waits in the dead letters.',
  ),
  COLLECTION_UNKNOWN: entry(
    'reject',
    'The migration has no collection of this name.',
    'Use one of the names in the message, or add the collection to the configuration.',
  ),
  STATE_CHANGED: entry(
    'retry',
    'The migration state changed between the look and the act (compare-and-set failed).',
    'Look at the state again and decide anew.',
  ),
  TRANSITION_REFUSED: entry(
    'reject',
    'The phase machine does not allow this step from here.',
    '`changeover status` shows what is possible from here.',
  ),
  GATE_FAILED: entry(
    'reject',
    'A gate answered fail or unknown.',
    'Read the evidence, remove the cause, or override the gate by name with a reason.',
  ),
  CONTROL_UNAVAILABLE: entry(
    'retry',
    'The control store cannot be reached.',
    'Instances keep their last persisted state; bring the control store back to change phases.',
  ),
  CONTROL_MISMATCH: entry(
    'halt',
    'A store carries the guard of a migration that this control store does not know: there are two control stores, or this is an old copy.',
    'Use the control store that runs the migration (`control` in the configuration, or the folder of its file); only if it is lost for good, stop every process and remove what it left with `changeover abort --take-over`.',
  ),
  STORE_RESTORED: entry(
    'halt',
    'A store is not as this migration left it: restored from a backup, or another server.',
    'After a rescue, while its gap is open: `changeover rescue collect --sweep` compares every record instead of believing queue and log. Otherwise nothing that the store says about itself counts: compare in full (`changeover verify`), or `changeover abort` and start anew.',
  ),
  STORE_UNAVAILABLE: entry(
    'retry',
    'A store cannot be reached, or refused the connection.',
    'Check address, credentials and server; queued changes wait and are sent again.',
  ),
  STORE_CONFLICT: entry(
    'retry',
    'The store gave up a transaction because of contention (deadlock, serialization, lock timeout).',
    'Try again; it is retried by itself where that is safe.',
  ),
  STORE_REJECTED: entry(
    'reject',
    'The store refused the statement for good (constraint, type, privilege).',
    'Correct the data, the mapping or the privilege; the change waits in the dead letters.',
  ),
  OUTCOME_UNKNOWN: entry(
    'retry',
    'A commit was sent and no answer came: the write may or may not have happened.',
    'Read the record before writing it again; the journal settles the follower either way.',
  ),
  DEADLINE_EXCEEDED: entry(
    'retry',
    'An operation did not finish within its deadline.',
    'Raise the deadline or find what is slow.',
  ),
  AUTHORITY_FENCED: entry(
    'halt',
    'This process wrote with a stale epoch and the store itself refused it (guard).',
    'The authority has moved: let the process take up the current state, or restart it.',
  ),
  DOOR_SHUT: entry(
    'halt',
    'A change came to a door that is shut for its direction or epoch.',
    'Nothing to do: authority has moved, and the change is read again from the new side.',
  ),
  HOLD_EXPIRED: entry(
    'retry',
    'Writes were held for a switch longer than the deadline; this write was not made.',
    'Send the write again.',
  ),
  FOLLOWER_FAILED: entry(
    'reject',
    'The follower refused the write of a fail-closed collection; the authority is unchanged.',
    'Correct the cause named in the message, or declare the collection fail-open.',
  ),
  TRANSFORM_FAILED: entry(
    'reject',
    'The transform threw, or returned something that is not a record.',
    'Correct the transform, then redrive the dead letters.',
  ),
  TOKEN_INVALID: entry(
    'reject',
    'A read-your-writes token cannot be read or is not signed by this migration.',
    'Pass tokens on unchanged; drop tokens from other migrations.',
  ),
  TOKEN_GAP: entry(
    'reject',
    'The token names a write that a rescue left behind.',
    'Read without the token and tell the user, or decide the record with `changeover rescue`.',
  ),
  FLEET_NOT_ACKNOWLEDGED: entry(
    'retry',
    'Some instances have not acknowledged the state in time.',
    'Look at the instances in the message; attest dead ones as gone.',
  ),
  PAUSE_TOO_LONG: entry(
    'retry',
    'A change of authority was not begun: by what was measured just before it, writes would be held for longer than `switch.holdMs` allows.',
    'Remove what the message names (a long transaction by its process, a queue that grows, a log that is behind) and look again with `changeover switch-writes --dry-run`; `--override predicted-pause` with a reason tries it all the same.',
  ),
  CUTOVER_ABORTED: entry(
    'retry',
    'The switch was undone before the point of no return; the old authority serves on.',
    'Read the reason, remove it, switch again.',
  ),
  REVERSE_NOT_DRAINED: entry(
    'retry',
    'The reverse direction still has changes to apply, so authority cannot move back safely.',
    'Wait for the drain, or go back without it: `changeover rescue --dry-run`.',
  ),
  CHUNK_LOST: entry(
    'retry',
    'Another worker took over this backfill chunk.',
    'Nothing to do: the other worker finishes it.',
  ),
  CHECKPOINT_MOVED: entry(
    'retry',
    'Another worker has applied this part of the log.',
    'Nothing to do: the other worker goes on from there.',
  ),
  LOG_LOST: entry(
    'halt',
    'A part of the log that has not been applied can never be read again: the slot or the log is gone, or it is another server.',
    'The follower cannot be brought up to date from the log: `changeover abort`, then start anew; look at what removed the slot or purged the log first.',
  ),
  LOG_UNSUPPORTED: entry(
    'reject',
    'The log of a store cannot be read: a setting or a privilege is missing.',
    'Do what the message says; `changeover check` shows all findings at once.',
  ),
  SCHEMA_CHANGED: entry(
    'halt',
    'A table changed its form in the middle of the migration in a way that the mapping does not cover.',
    'Nothing was skipped: the log goes on from here as soon as the tables and the mapping fit.',
  ),
  LEFTOVERS_FOUND: entry(
    'reject',
    'The target holds rows or objects of an earlier attempt.',
    'Start with consent to truncate, or reconcile them first.',
  ),
  CLOSED: entry('reject', 'The object was used after close().', 'Open a new one.'),
  BUG: entry(
    'halt',
    'An internal rule was broken. This is a defect of changeover.',
    'Report it with the message; nothing was applied.',
  ),
} as const satisfies Record<string, ErrorEntry>;

/** A stable, documented error code. */
export type ErrorCode = keyof typeof errorCatalogue;
