import { type Called, Recorder } from '../support/history-recorder.ts';

/** What a client was told about one write. */
export interface WriteOutcome {
  readonly collection: string;
  readonly key: string;
  readonly stamp: string | null;
  readonly begun: number;
  /** null: a named closure, of which no reads are recorded. */
  readonly called: Called | null;
}

/** A token with what it stands for. */
export interface TokenNote {
  readonly token: string;
  readonly collection: string;
  readonly id: string;
  /** Index in the truth's history. */
  readonly index: number;
  /** Of the write, in the recorded history. */
  readonly write: string;
}

const tokensKept = 12;

/** What all application processes share outside of themselves: cookies of users, notebooks of the judges. */
export class Ledger {
  readonly tokens: TokenNote[] = [];
  readonly rejected: WriteOutcome[] = [];
  readonly recorder = new Recorder();
  stamps = 0;
  writes = 0;
  reads = 0;
  /** Operations that have not ended, of processes that live. */
  busy = new Map<string, number>();
  /** Routing key → lowest dial at which the target served it. */
  readonly dialled = new Map<string, number>();
  /** Since when no read may be served by the target; null: it may. */
  rolledBackAt: number | null = null;

  remember(note: TokenNote): void {
    this.tokens.push(note);
    if (this.tokens.length > tokensKept) this.tokens.shift();
  }
}

/** Short limits: a simulated second has to hold many of them. */
export const routerTimes = {
  leaseMs: 400,
  holdMs: 1_500,
  authorityTimeoutMs: 300,
  followerTimeoutMs: 200,
  graceMs: 250,
  breaker: { failures: 3, openMs: 60 },
  shadow: { concurrency: 4, deadlineMs: 100, flushMs: 200 },
} as const;
