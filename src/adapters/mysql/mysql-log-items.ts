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

/** `mariadb-bin.000003:4711`, and behind it which file of that name: its server and the second in which it was begun. */
export interface LogPlace {
  readonly file: string;
  readonly offset: number;
  /** `17-1763726400`; null: not known. */
  readonly stamp: string | null;
}

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
export function positionAt({ file, offset, stamp }: LogPlace): Position {
  const text = `${file}:${offset}${stamp === null ? '' : `@${stamp}`}`;
  return { sequence: sequenceAt(file, offset) - 1n, text };
}

/** null: the text is no place of a binary log. */
export function placeOf(text: string): LogPlace | null {
  const match = /^(.+):(\d+)(?:@(\d+-\d+))?$/.exec(text);
  if (match === null) return null;
  return { file: match[1] ?? '', offset: Number(match[2]), stamp: match[3] ?? null };
}
