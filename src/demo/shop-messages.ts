import type { Phase } from '../migration/index.ts';

/** What an application process needs to know at its start; it gets it as JSON in its first argument. */
export interface ShopApplicationOptions {
  /** 0 or 1. */
  readonly process: number;
  readonly processes: number;
  /** Raised by one at each start of the same process. */
  readonly incarnation: number;
  readonly ledgerPath: string;
  readonly sourceUrl: string;
  readonly targetUrl: string;
  readonly controlPath: string;
  /** Customers with ids 1 … rows exist from the beginning. */
  readonly rows: number;
  readonly seed: number;
  /** Loops with keys of their own, and one more with keys that all processes share. */
  readonly loops: number;
  /** Mean pause of a loop between two requests. */
  readonly thinkMs: number;
}

/** The name of an application process in the fleet. */
export function applicationLabel(process: number, pid: number | undefined): string {
  return `shop application ${process + 1} (pid ${pid})`;
}

/** Story → application process. */
export type ShopCommand =
  /** Finish what is in flight, write a `quiet` line of that name, then wait. */
  | { readonly type: 'pause'; readonly name: string }
  | { readonly type: 'resume' }
  /** The next write of a key of its own kills the process between its commit on the authority and its write to the follower. */
  | { readonly type: 'arm-kill' }
  /** A token that the other process was given; to be presented with a read. */
  | { readonly type: 'token'; readonly id: string; readonly op: string; readonly token: string }
  /** When did the last read end that the target served? */
  | { readonly type: 'report-reads' }
  | { readonly type: 'stop' };

/** Application process → story. Times are `monotonicMs`. */
export type ShopMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'token'; readonly id: string; readonly op: string; readonly token: string }
  | { readonly type: 'paused'; readonly name: string }
  | {
      readonly type: 'state';
      readonly version: number;
      readonly phase: Phase;
      readonly dialBasisPoints: number;
      readonly at: number;
    }
  | { readonly type: 'reads'; readonly lastTargetReadAt: number | null }
  /** Counts since the last such message; for the screen only, the proof counts the ledger. */
  | {
      readonly type: 'rates';
      readonly writes: number;
      readonly reads: number;
      readonly targetReads: number;
      readonly failed: number;
      readonly writeMsMax: number;
      readonly shadowMatched: number;
      readonly shadowSuspect: number;
      readonly overMs: number;
    }
  | {
      readonly type: 'failed';
      readonly what: string;
      readonly code: string;
      readonly message: string;
    }
  | { readonly type: 'stopped' };
