import type { Position } from '../../record/index.ts';

/** `0/16B3748`: an LSN as PostgreSQL writes it. */
export function lsnText(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}

/** The position at an LSN. */
export function positionAt(lsn: bigint): Position {
  return { sequence: lsn, text: lsnText(lsn) };
}
