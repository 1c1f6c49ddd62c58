import { type Disposition, type ErrorCode, errorCatalogue } from './codes.ts';

/** Readonly facts of an error. Never row values, never secrets. */
export type ErrorData = Readonly<
  Record<string, string | number | boolean | null | readonly string[]>
>;

const brand: unique symbol = Symbol.for('changeover.error') as never;

/**
 * The one error class of the library. Distinguish by `code`, decide by `disposition`.
 * The message says what happened, with which values, and what to do.
 */
export class ChangeoverError extends Error {
  /** Present on errors of every copy of the library. */
  readonly [brand] = true;
  readonly code: ErrorCode;
  readonly disposition: Disposition;
  readonly data: ErrorData;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; data?: ErrorData } = {},
  ) {
    const { action, disposition } = errorCatalogue[code];
    const full = message.includes(action) ? message : `${message} ${action}`;
    super(`${code}: ${full}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ChangeoverError';
    this.code = code;
    this.disposition = disposition;
    this.data = options.data ?? {};
  }

  /** By the brand: a configuration that a loader imports may bring a second copy of the library, whose stores throw its own class. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** True when `error` is ours and, if codes are given, has one of them. */
export function isChangeoverError(
  error: unknown,
  ...codes: readonly ErrorCode[]
): error is ChangeoverError {
  return error instanceof ChangeoverError && (codes.length === 0 || codes.includes(error.code));
}

/** The disposition of any thrown thing; what we do not know is `reject`, never silently retried for ever. */
export function dispositionOf(error: unknown): Disposition {
  return error instanceof ChangeoverError ? error.disposition : 'reject';
}

/**
 * True for a refusal that may pass when another change has arrived: a foreign key whose parent is not there yet, a unique value that another
 * record still holds. Adapters say so with `data.waits`.
 */
export function waitsForAnother(error: unknown): boolean {
  return error instanceof ChangeoverError && error.data['waits'] === true;
}

/** A short text of any thrown thing, without stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
