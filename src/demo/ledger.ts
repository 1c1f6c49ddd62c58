/**
 * The memory of an application process, apart from everything that it judges: an append-only file with one JSON line before and one
 * after each request. `write()` without fsync: it survives `kill -9` of the process, which is what the story does to it.
 *
 * All times (`at`) are milliseconds of the system's monotonic clock, which every process of one host shares.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { LegacyCustomer } from './shop-schema.ts';

export type WriteAction = 'put' | 'update' | 'delete';

/** What its router knew, where somebody asks. */
export interface Seen {
  /** Epoch when the answer came. */
  readonly epoch?: number;
  /** `authority`: what the process took for it was read. */
  readonly route?: 'authority' | 'any';
}

/** What a process wrote down. `op` names a write, unique over all processes; the record carries it as its `revision`. */
export type LedgerLine =
  | { readonly t: 'start'; readonly pid: number; readonly at: number }
  | {
      readonly t: 'intent';
      readonly op: string;
      readonly id: string;
      readonly action: WriteAction;
      /** The whole row as it has to be afterwards; null: gone. */
      readonly after: LegacyCustomer | null;
      readonly at: number;
    }
  | ({
      readonly t: 'ack';
      readonly op: string;
      readonly token: string | null;
      readonly at: number;
    } & Seen)
  /** The caller was told that the write was not made. */
  | { readonly t: 'rejected'; readonly op: string; readonly code: string; readonly at: number }
  /** The caller was told that nobody knows. */
  | { readonly t: 'unknown'; readonly op: string; readonly code: string; readonly at: number }
  /** Last words before `kill -9`: the authority has committed, the follower knows nothing yet. */
  | { readonly t: 'authority'; readonly op: string; readonly at: number }
  | ({
      readonly t: 'read';
      readonly id: string;
      /** The write whose token was presented. */
      readonly after: string | null;
      /** What came back; null: no such record. */
      readonly seen: { readonly revision: string; readonly digest: string } | null;
      readonly from: number;
      readonly at: number;
    } & Seen)
  | { readonly t: 'read-failed'; readonly id: string; readonly code: string; readonly at: number }
  /** The process was quiet from here on: nothing in flight. */
  | { readonly t: 'quiet'; readonly name: string; readonly at: number };

export interface Ledger {
  append(line: LedgerLine): void;
  close(): void;
}

/** Milliseconds since the machine started, with three digits; comparable between processes of one host. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** Opens the file for appending; a line is in the hands of the kernel when `append` returns. */
export function openLedger(path: string): Ledger {
  const file = openSync(path, 'a');
  let open = true;
  return {
    append(line) {
      if (open) writeSync(file, `${JSON.stringify(line)}\n`);
    },
    close() {
      if (!open) return;
      open = false;
      closeSync(file);
    },
  };
}

/** All lines, in order; [] when there is no file yet. A last line that was cut by a kill is left out. */
export function readLedger(path: string): readonly LedgerLine[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const lines = text.split('\n');
  const last = lines.pop();
  if (last !== undefined && last !== '' && last.endsWith('}')) lines.push(last);
  return lines.map((line) => JSON.parse(line) as LedgerLine);
}
