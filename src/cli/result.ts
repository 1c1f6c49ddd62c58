import type { Verdict } from './verdict.ts';

/** Raised when the shape of the JSON object changes in a way that readers notice. */
export const schemaVersion = 1;

/** What a command has to say: for people (`text`) and for programs (the rest). */
export interface CommandResult {
  /** What `data` is, e.g. `status`. */
  readonly kind: string;
  readonly verdict: Verdict;
  /** The state version that this was seen or made at; null: it has nothing to do with one. */
  readonly stateVersion: number | null;
  readonly data: unknown;
  /** Commands that make sense now. */
  readonly next: readonly string[];
  /** Lines for people. */
  readonly text: readonly string[];
  /** The command drew its own screen: nothing is printed, and this is the exit code. */
  readonly drawn?: { readonly exitCode: number };
}

/** The one JSON object of a command. bigint become strings, maps objects. */
export function toJson(result: CommandResult, observedAt: string): string {
  const { kind, stateVersion, verdict, data, next } = result;
  const object = { schemaVersion, kind, stateVersion, observedAt, verdict, data, next };
  return JSON.stringify(object, (_key, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    return value instanceof Map ? Object.fromEntries(value) : value;
  });
}
