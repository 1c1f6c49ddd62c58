import { ChangeoverError, type ErrorCode, messageOf } from '../../errors/index.ts';

/** Raised by our own guard functions and triggers in the database: the session may not write here (any more). */
export const FENCED_SQLSTATE = 'CO001';

/** What PostgreSQL says about an error; only the fields that carry no row values are used. */
interface ServerError {
  readonly code?: string;
  readonly severity?: string;
  readonly message: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
}

const byState: Readonly<Record<string, ErrorCode>> = {
  [FENCED_SQLSTATE]: 'AUTHORITY_FENCED',
  '40001': 'STORE_CONFLICT',
  '40P01': 'STORE_CONFLICT',
  '55P03': 'STORE_CONFLICT',
  '55006': 'STORE_CONFLICT',
  '57014': 'DEADLINE_EXCEEDED',
  '25P03': 'DEADLINE_EXCEEDED',
  '25P04': 'DEADLINE_EXCEEDED',
  // Prepared statements that the server no longer knows: the connection is replaced, the statement may be repeated.
  '26000': 'STORE_CONFLICT',
  '42P05': 'STORE_CONFLICT',
  // ON CONFLICT finds no unique index: the key is taken down for a copy (postgres-deferred.ts), or somebody dropped it. No fault of the rows.
  '42P10': 'STORE_UNAVAILABLE',
  // A hot standby, or a database that was made read-only for a moment.
  '25006': 'STORE_UNAVAILABLE',
  '3D000': 'STORE_UNAVAILABLE',
  '28P01': 'STORE_UNAVAILABLE',
  '28000': 'STORE_UNAVAILABLE',
};

/** Connection, resources, operator intervention, system errors: may pass by itself. */
const byClass: Readonly<Record<string, ErrorCode>> = {
  '08': 'STORE_UNAVAILABLE',
  '53': 'STORE_UNAVAILABLE',
  '57': 'STORE_UNAVAILABLE',
  '58': 'STORE_UNAVAILABLE',
  XX: 'STORE_UNAVAILABLE',
  '40': 'STORE_CONFLICT',
  '22': 'STORE_REJECTED',
  '23': 'STORE_REJECTED',
  '42': 'STORE_REJECTED',
};

/** Foreign key, unique, exclusion: whether they hold depends on other records, which may be on their way. */
const waiting: ReadonlySet<string> = new Set(['23503', '23505', '23P01']);

/** True for an error that the server itself reported, with a SQLSTATE. */
export function isServerError(error: unknown): error is Error & ServerError {
  return error instanceof Error && /^[0-9A-Z]{5}$/.test(sqlStateOf(error) ?? '');
}

/** The SQLSTATE of any thrown thing; null when it did not come from the server. Errors of ours keep it in `data.sqlState`. */
export function sqlStateOf(error: unknown): string | null {
  if (error instanceof ChangeoverError) {
    const state = error.data['sqlState'];
    return typeof state === 'string' ? state : null;
  }
  // Node gives its own errors codes too (`EPIPE` has five letters); only server errors have a severity.
  const { code, severity } = error as { code?: unknown; severity?: unknown };
  return typeof code === 'string' && typeof severity === 'string' ? code : null;
}

/** True when the session is gone with this error (or was never there): nothing more can be sent on it. */
export function breaksConnection(error: unknown): boolean {
  if (!isServerError(error)) return true;
  const state = error.code ?? '';
  if (error.severity === 'FATAL' || error.severity === 'PANIC') return true;
  return (
    state.startsWith('08') || state.startsWith('57P') || state === '26000' || state === '42P05'
  );
}

/**
 * The error of ours for anything that `pg` or the server throws, by SQLSTATE class. The text never holds row values: PostgreSQL puts
 * them into `detail` (dropped) and, for class 22, into the message (replaced). ChangeoverErrors pass through unchanged.
 *
 * @param what what was being done, e.g. `write to "orders"`; begins the message
 */
export function toChangeoverError(error: unknown, what: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  if (!isServerError(error)) {
    return new ChangeoverError(
      'STORE_UNAVAILABLE',
      `${what}: ${withoutSecrets(messageOf(error))}.`,
      {
        cause: error,
        data: { what },
      },
    );
  }
  const state = error.code ?? 'XX000';
  const code = codeOf(state, error.message);
  const data = {
    what,
    sqlState: state,
    table: error.table ?? null,
    column: error.column ?? null,
    constraint: error.constraint ?? null,
    ...(waiting.has(state) ? { waits: true } : {}),
  };
  return new ChangeoverError(code, `${what}: ${safeMessage(error, state)} (SQLSTATE ${state}).`, {
    // The original carries row values in `detail`; it would end in logs as the cause.
    data,
  });
}

function codeOf(state: string, message: string): ErrorCode {
  if (isStalePlan(state, message)) return 'STORE_CONFLICT';
  return byState[state] ?? byClass[state.slice(0, 2)] ?? 'STORE_REJECTED';
}

/** A column's type was changed under a prepared statement: it fails on this connection for ever, and on a new one it works. */
function isStalePlan(state: string, message: string): boolean {
  return state === '0A000' && message.includes('cached plan');
}

const NO_KEY =
  'the key of the table has no unique index at the moment: it is down for a copy, or somebody dropped it';

const classText: Readonly<Record<string, string>> = {
  '22': 'the server cannot take a value as the type of its column',
  '23': 'the server refused the rows because of a constraint',
};

function safeMessage(error: ServerError, state: string): string {
  const place = [
    error.table && `table "${error.schema ? `${error.schema}.` : ''}${error.table}"`,
    error.column && `column "${error.column}"`,
    error.constraint && `constraint "${error.constraint}"`,
  ].filter(Boolean);
  const family = state.slice(0, 2);
  if (state === '42P10') return NO_KEY;
  const text = family === '22' ? valueFree(error.message) : (error.message ?? classText[family]);
  return place.length === 0 ? text : `${text} (${place.join(', ')})`;
}

/** Messages of class 22 quote the value: `invalid input syntax for type integer: "12a"`, `date/time field value out of range: "…"`. */
function valueFree(message: string): string {
  return message.replace(/"[\s\S]*"/, '"…"');
}

function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^@/\s]*@/g, '//…@');
}
