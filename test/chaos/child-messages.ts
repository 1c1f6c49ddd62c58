import type { CutoverStep } from '../../src/cutover/index.ts';
import type { Phase, Side } from '../../src/migration/index.ts';

/** A change of authority for the coordinator to make. */
export interface ChangeOrder {
  readonly to: Side;
  /** It says when it has come to this step. */
  readonly tellsAt: CutoverStep | null;
  /** There it waits for `go-on`. */
  readonly waits: boolean;
  /** Empties the queue by itself; otherwise it is left to the worker. */
  readonly drainsItself: boolean;
  /** Share of reads that the target serves before, on the way there. */
  readonly dialPercent: number;
}

/** Main process → application, worker, operator or coordinator. */
export type ChildCommand =
  | { readonly type: 'stop' }
  /** Application: dies at the next write, between its commit on the authority and its write to the follower. */
  | { readonly type: 'kill-between-two-writes' }
  /** Application: read with a token that another process was given. */
  | { readonly type: 'token'; readonly id: string; readonly op: string; readonly token: string }
  /** Application: finish what is in flight, say `quiet`, and begin nothing more. */
  | { readonly type: 'pause' }
  | { readonly type: 'resume' }
  /** Everybody: the wall clock is so far from the truth from now on. */
  | { readonly type: 'clock'; readonly offsetMs: number }
  /** Operator: bring the migration to a good end, and say so. */
  | { readonly type: 'finish' }
  /** Coordinator: bring the migration to the read switch, and say `prepared`. */
  | { readonly type: 'prepare' }
  | { readonly type: 'change'; readonly order: ChangeOrder }
  | { readonly type: 'go-on' };

/** Application, worker, operator or coordinator → main process. */
export type ChildMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'token'; readonly id: string; readonly op: string; readonly token: string }
  | {
      readonly type: 'failed';
      readonly what: string;
      readonly code: string;
      readonly message: string;
    }
  /** For the reader of the output. */
  | { readonly type: 'note'; readonly text: string }
  /** Operator: something that must not happen, whatever was killed. */
  | { readonly type: 'violation'; readonly text: string }
  /** Operator: a deed. */
  | {
      readonly type: 'did';
      readonly what: string;
      readonly phase: Phase;
      readonly epoch: number;
      readonly generation: number;
    }
  /** Operator: dies or sleeps now, at this step of a change of authority. */
  | { readonly type: 'fate'; readonly fate: 'kill' | 'freeze'; readonly step: string }
  | { readonly type: 'finished' }
  /** Application: nothing is in flight. */
  | { readonly type: 'quiet' }
  | { readonly type: 'prepared' }
  | { readonly type: 'at-step'; readonly step: CutoverStep }
  | {
      readonly type: 'changed';
      readonly attempt: string;
      readonly pauseMs: number;
      readonly settled: boolean;
    }
  | { readonly type: 'not-changed'; readonly code: string; readonly message: string };
