import { ChangeoverError, type ErrorCode, messageOf } from '../../errors/index.ts';

/** Raised by our own procedures and triggers (`SIGNAL SQLSTATE`): the session may not write here (any more). */
export const FENCED_SQLSTATE = 'CO001';

/** What the server says about an error. `sqlMessage` holds row values: never handed on as it is. */
interface ServerError {
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage?: string;
}

const groups: Readonly<Partial<Record<ErrorCode, readonly number[]>>> = {
  // Lock wait, deadlock, NOWAIT (MySQL 3572), snapshot changed (MariaDB 1020), table definition changed under a transaction.
  STORE_CONFLICT: [1205, 1213, 3572, 1020, 1412],
  // KILL QUERY, max_statement_time (MariaDB), max_execution_time (MySQL).
  DEADLINE_EXCEEDED: [1317, 1969, 3024],
  STORE_UNAVAILABLE: [
    // Connecting: too many, not allowed, wrong password, no such database, host blocked.
    1040, 1042, 1043, 1044, 1045, 1049, 1129, 1130, 1203, 1226, 1524, 1698, 3118, 3159, 4151,
    // Shutdown, killed, network, idle for too long.
    1053, 1077, 1079, 1080, 1152, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1927, 4031,
    // Memory, disk, threads.
    1021, 1037, 1038, 1041, 1114, 1135, 3, 1180,
    // A replica, or a server that was made read-only for a moment.
    1290, 1836,
  ],
};

const byErrno: ReadonlyMap<number, ErrorCode> = new Map(
  Object.entries(groups).flatMap(([code, numbers]) =>
    numbers.map((number) => [number, code as ErrorCode] as const),
  ),
);

/** The session is gone with these. */
const fatal: ReadonlySet<number> = new Set([
  1040, 1042, 1043, 1045, 1053, 1077, 1079, 1080, 1129, 1130, 1152, 1153, 1154, 1155, 1156, 1157,
  1158, 1159, 1160, 1161, 1184, 1203, 1927, 4031,
]);

/** Foreign key, unique: whether they hold depends on other records, which may be on their way. */
const waiting: ReadonlySet<number> = new Set([
  1022, 1062, 1169, 1216, 1217, 1451, 1452, 1557, 1586, 1761, 1762,
]);

/** True for an error that the server itself reported. Errors of Node have numbers too (negative), but no SQLSTATE. */
export function isServerError(error: unknown): error is Error & ServerError {
  if (!(error instanceof Error)) return false;
  const { errno, sqlState } = error as { errno?: unknown; sqlState?: unknown };
  return typeof errno === 'number' && errno > 0 && typeof sqlState === 'string';
}

/** The server's error number of any thrown thing; null when it did not come from the server. Errors of ours keep it in `data.errno`. */
export function errnoOf(error: unknown): number | null {
  if (error instanceof ChangeoverError) {
    const errno = error.data['errno'];
    return typeof errno === 'number' ? errno : null;
  }
  return isServerError(error) ? error.errno : null;
}

/** True when the session is gone with this error (or was never there): nothing more can be sent on it. */
export function breaksConnection(error: unknown): boolean {
  return !isServerError(error) || fatal.has(error.errno);
}

/**
 * The error of ours for anything that `mysql2` or the server throws, by error number. The text never holds row values, which the server
 * quotes in most of its messages: quoted parts are replaced, and the original is not kept as the cause. ChangeoverErrors pass through unchanged.
 *
 * @param what what was being done, e.g. `write to "orders"`; begins the message
 */
export function toChangeoverError(error: unknown, what: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  if (!isServerError(error)) {
    const text = withoutSecrets(messageOf(error));
    return new ChangeoverError('STORE_UNAVAILABLE', `${what}: ${text}.`, {
      cause: error,
      data: { what },
    });
  }
  const { errno, sqlState } = error;
  const code =
    sqlState === FENCED_SQLSTATE
      ? 'AUTHORITY_FENCED'
      : (byErrno.get(errno) ??
        (sqlState.startsWith('08') ? 'STORE_UNAVAILABLE' : 'STORE_REJECTED'));
  const message = error.sqlMessage ?? error.message;
  const data = {
    what,
    errno,
    sqlState,
    table: placeIn(message, TABLE),
    column: placeIn(message, COLUMN),
    constraint: placeIn(message, CONSTRAINT) ?? placeIn(message, KEY),
    ...(waiting.has(errno) ? { waits: true } : {}),
  };
  const text = `${what}: ${safeMessage(errno, sqlState, message)} (errno ${errno}, SQLSTATE ${sqlState}).`;
  return new ChangeoverError(code, text, { data });
}

// At the end of the message, where no value can imitate them.
const COLUMN = /for column (?:`[^`]*`\.`[^`]*`\.)?[`']([^`']+)[`'] at row \d+$/;
const KEY = /for key '([^']*)'$/;
const CONSTRAINT = /, CONSTRAINT `([^`]+)` /;
const TABLE = /fails \((`[^`]+`\.`[^`]+`)[,)]/;

function placeIn(message: string, pattern: RegExp): string | null {
  return pattern.exec(message)?.[1] ?? null;
}

/** Messages that name objects only: database, table, column, constraint, privilege, setting. */
const nameOnly: ReadonlySet<number> = new Set([
  1005, 1007, 1008, 1040, 1044, 1045, 1048, 1049, 1050, 1051, 1054, 1060, 1072, 1091, 1109, 1114,
  1142, 1143, 1146, 1205, 1213, 1216, 1217, 1227, 1290, 1304, 1305, 1317, 1364, 1370, 1406, 1419,
  1451, 1452, 1644, 1836, 1969, 3024, 3572, 3819, 4025,
]);

function safeMessage(errno: number, sqlState: string, message: string): string {
  if (sqlState === FENCED_SQLSTATE) return message;
  if (nameOnly.has(errno) && errno !== 1644) return message;
  const column = placeIn(message, COLUMN);
  const place = column === null ? '' : ` (column "${column}")`;
  const key = placeIn(message, KEY);
  if (key !== null) return `a value is there already, for key "${key}"`;
  // Everything between the first and the last quote: values hold quotes themselves.
  return `${message.replace(/['"`][\s\S]*['"`]/, "'…'")}${place}`;
}

function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^@/\s]*@/g, '//…@');
}
