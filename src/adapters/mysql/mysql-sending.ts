import { ChangeoverError } from '../../errors/index.ts';
import type { MysqlFlavour } from './mysql-flavour.ts';
import { literal } from './mysql-text.ts';

/** Session variable that says what this transaction is, e.g. `door:7`: what triggers of ours recognise us by. NULL: anybody. */
export const MARK_VARIABLE = '@changeover_mark';
/** Our database's name, beside the mark: what one migration writes must stay visible to the triggers of another. */
export const OWNER_VARIABLE = '@changeover_owner';
/** `collection` + blank + encoded key of the record that an own write journals by itself; the outbox triggers leave that one alone. */
export const RECORD_VARIABLE = '@changeover_record';

/** Set by the guard's triggers once they have let this transaction in: they look at the guard once, not with each row. */
export const ADMITTED_VARIABLE = '@changeover_admitted';

export interface SessionMark {
  readonly mark: string;
  readonly owner: string;
}

/**
 * One SET with everything that differs between uses of a pooled connection: limits, and the marks, which otherwise would outlive their transaction.
 * Whole seconds where the server knows no smaller unit.
 */
export function settingsFor(
  flavour: MysqlFlavour,
  limitMs: number,
  mark: SessionMark | null = null,
  more: readonly string[] = [],
): string {
  const wholeSeconds = Math.max(1, Math.ceil(limitMs / 1000));
  const settings = [
    ...flavour.statementLimit(limitMs),
    `innodb_lock_wait_timeout = ${wholeSeconds}`,
    `lock_wait_timeout = ${wholeSeconds}`,
    // A transaction that applies a log may have turned them off.
    'foreign_key_checks = 1',
    ...more,
    `${MARK_VARIABLE} = ${literal(mark?.mark)}`,
    `${OWNER_VARIABLE} = ${literal(mark?.owner)}`,
    `${RECORD_VARIABLE} = NULL`,
    `${ADMITTED_VARIABLE} = NULL`,
  ];
  return `SET SESSION ${settings.join(', ')}`;
}

/** Room for the header and query attributes. */
const PACKET_ROOM = 1_024;

/** The statements in as few messages as the server takes. STORE_REJECTED for one that is too long by itself. */
export function flightsOf(
  statements: readonly string[],
  packetMax: number,
  what: string,
): readonly (readonly string[])[] {
  const room = packetMax - PACKET_ROOM;
  // No text is longer in UTF-8 than three bytes for each UTF-16 unit: the usual case needs no measuring.
  let units = 0;
  for (const { length } of statements) units += length + 2;
  if (units * 3 < room) return [statements];
  const flights: string[][] = [];
  let flight: string[] = [];
  let size = 0;
  for (const statement of statements) {
    const bytes = Buffer.byteLength(statement) + 2;
    if (bytes > room) {
      throw new ChangeoverError(
        'STORE_REJECTED',
        `${what}: a statement of ${bytes} bytes is longer than the server takes (max_allowed_packet is ${packetMax}): raise max_allowed_packet.`,
        { data: { what, bytes, packetMax } },
      );
    }
    if (size + bytes > room) {
      flights.push(flight);
      flight = [];
      size = 0;
    }
    flight.push(statement);
    size += bytes;
  }
  flights.push(flight);
  return flights;
}
