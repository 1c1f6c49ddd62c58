import type { LogTable } from '../../log/index.ts';
import type { Position } from '../../record/index.ts';
import type { RowTable } from './binlog-rows.ts';

/** What the assembler makes of the log, in commit order. */
export type LogItem =
  /** One row event, not decoded yet. */
  | {
      readonly kind: 'rows';
      readonly table: RowTable;
      readonly event: Buffer;
      readonly type: number;
      /** Of the event without its checksum. */
      readonly end: number;
      readonly sequence: bigint;
    }
  | { readonly kind: 'truncate'; readonly table: LogTable; readonly sequence: bigint }
  | { readonly kind: 'challenge'; readonly token: string }
  /** A transaction is complete. `position`: reading may go on there; null: not yet, an earlier transaction is still open (XA), or the place cannot be asked for. */
  | {
      readonly kind: 'end';
      readonly position: Position | null;
      readonly committedAtMs: number | null;
    };

export function itemBytes(item: LogItem): number {
  return item.kind === 'rows' ? item.event.length : 64;
}

/**
 * As text: `mariadb-bin.000003:4711@17-1763726400 0-17-812,3-17-9 4500#1a2b3c4d`. Behind file and offset stands what tells this log from others: which
 * file of that name it is, the transactions that lie before the place, and the last one of them.
 */
export interface LogPlace {
  readonly file: string;
  readonly offset: number;
  /** `17-1763726400`: the file's server and the second in which it was begun. null: not known. */
  readonly stamp: string | null;
  /** See `GtidState`. null: not known, or the server has no GTIDs. */
  readonly gtids: string | null;
  /** null: not known, or in an earlier file. */
  readonly last: LogWitness | null;
}

/** A transaction by its first event (GTID, when it was made, number of the group commit): where it begins, and a CRC-32 of it. */
export interface LogWitness {
  readonly offset: number;
  /** Eight hexadecimal digits. */
  readonly sum: string;
}

/** A place that nothing else is known of. */
export const barePlace = (file: string, offset: number): LogPlace => ({
  file,
  offset,
  stamp: null,
  gtids: null,
  last: null,
});

const OFFSETS = 4_294_967_296;

/** Number of a file of the log: the digits at its end. */
export function fileNumber(file: string): number {
  return Number(/(\d+)$/.exec(file)?.[1] ?? 0);
}

/** @param offset beyond 2^32 (a transaction of gigabytes) all places of a file share one sequence */
export function sequenceAt(file: string, offset: number): bigint {
  return BigInt(fileNumber(file)) * BigInt(OFFSETS) + BigInt(Math.min(offset, OFFSETS - 1));
}

/** The inverse, for a file whose name is like that of `alike`. */
export function placeAt(
  sequence: bigint,
  alike: string,
): { readonly file: string; readonly offset: number } {
  const number = String(sequence / BigInt(OFFSETS));
  const file = alike.replace(/\d+$/, (digits) => number.padStart(digits.length, '0'));
  return { file, offset: Number(sequence % BigInt(OFFSETS)) };
}

/** True when the server can be asked to read on from there. */
export function isReachable(offset: number): boolean {
  return offset < OFFSETS;
}

/** What commits behind a place begins there at the soonest: the sequence of a position is that of the byte before, so that it is below all of theirs. */
export function positionAt({ file, offset, stamp, gtids, last }: LogPlace): Position {
  let text = `${file}:${offset}`;
  if (stamp !== null) text += `@${stamp}`;
  if (gtids !== null) text += ` ${gtids}`;
  if (last !== null) text += ` ${last.offset}#${last.sum}`;
  return { sequence: sequenceAt(file, offset) - 1n, text };
}

const PLACE = /^(.+?):(\d+)(?:@(\d+-\d+))?(?: ([^ #]+))?(?: (\d+)#([0-9a-f]{8}))?$/;

/** null: the text is no place of a binary log. */
export function placeOf(text: string): LogPlace | null {
  const match = PLACE.exec(text);
  if (match === null) return null;
  const [, file = '', offset, stamp = null, gtids = null, begin, sum] = match;
  const last = sum === undefined ? null : { offset: Number(begin), sum };
  return { file, offset: Number(offset), stamp, gtids, last };
}
