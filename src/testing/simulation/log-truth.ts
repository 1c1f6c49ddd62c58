import type { FenceRow, LoggedRow } from '../../adapters/memory/index.ts';
import type { Shape, Side } from '../../migration/index.ts';
import { type DataRecord, encodeKey, type Row, type Scalar } from '../../record/index.ts';

/** What is judged of one state of a record that is captured from a log. */
export interface LoggedState {
  readonly side: Side;
  /** Of its transaction in the log of `side`. */
  readonly position: bigint;
  readonly text: Readonly<Record<Side, string | null>>;
  /** In the follower's shape: what the record was after each change in its transaction, the last included. Of records of one row. */
  readonly steps: readonly (string | null)[];
}

/** How far the log has brought a key within one transaction. */
export interface LogStep {
  readonly position: bigint;
  readonly step: number;
}

/** States of a record within its transaction. Of records of several rows none: those are read again, and a read sees no half of a transaction. */
export function stepsOf(
  rows: readonly LoggedRow[],
  shape: Shape,
  key: string,
): readonly (DataRecord | null)[] {
  if (shape.children && Object.keys(shape.children).length > 0) return [];
  const steps: (DataRecord | null)[] = [];
  for (const { table, before, after } of rows) {
    if (table !== shape.table) continue;
    if (keyOfRow(shape, after) === key) steps.push(recordOf(shape, after as Row));
    else if (keyOfRow(shape, before) === key) steps.push(null);
  }
  return steps;
}

function keyOfRow(shape: Shape, row: unknown): string | null {
  if (row === undefined) return null;
  return encodeKey(shape.key.map((column) => (row as Row)[column] ?? ''));
}

function recordOf(shape: Shape, row: Row): DataRecord {
  const columns = shape.columns ?? Object.keys(row);
  return Object.fromEntries(
    columns.map((column): [string, Scalar] => [column, row[column] ?? null]),
  );
}

/** What the follower holds of a key, and how it came there. */
export interface Observed {
  readonly side: Side;
  readonly text: string | null;
  /** null: unfenced. */
  readonly fence: FenceRow | null;
  /** Whose log the positions of the fence's epoch are of. */
  readonly authority: Side | undefined;
  /** Index in the history before which nothing is to be seen any more, whatever the fence says. */
  readonly reached: number;
  readonly lastStep: LogStep | null;
}

/**
 * A record that follows a log is at least as new as its fence says: it may be newer (it was read again, and the log brings the rest), never older.
 * It may be a state from within the fence's transaction, the rest of which the log is about to bring; there it only goes forward.
 * Index in the history (`step` set: within that transaction); null: neither.
 */
export function placeOf(
  history: readonly LoggedState[],
  observed: Observed,
): { readonly index: number; readonly step: LogStep | null } | null {
  const { side, text, fence, authority, reached, lastStep } = observed;
  const fenced = fence
    ? history.findLastIndex((state) => state.side === authority && state.position <= fence.sequence)
    : -1;
  const from = Math.max(fenced, reached);
  const state = history[fenced];
  if (state && fence && state.position === fence.sequence && fenced >= reached) {
    const { position, steps } = state;
    const least = lastStep?.position === position ? lastStep.step : 0;
    const step = steps.findIndex((one, at) => at >= least && one === text);
    // What is the last state, too, may have been read again in the middle of the transaction; its other parts are then still to come.
    const read = step >= 0 && steps.at(-1) === text;
    if (step >= 0) return { index: fenced, step: read ? null : { position, step } };
  }
  const index = history.findIndex((one, at) => at >= from && one.text[side] === text);
  if (index >= 0) return { index, step: null };
  return text === null && from < 0 ? { index: -1, step: null } : null;
}
