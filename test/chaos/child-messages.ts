import type { Phase } from '../../src/migration/index.ts';

/** Main process → application, worker or operator. */
export type ChildCommand =
  | { readonly type: 'stop' }
  /** Application: dies at the next write, between its commit on the authority and its write to the follower. */
  | { readonly type: 'kill-between-two-writes' }
  /** Application: read with a token that another process was given. */
  | { readonly type: 'token'; readonly id: string; readonly op: string; readonly token: string }
  /** Operator: bring the migration to a good end, and say so. */
  | { readonly type: 'finish' };

/** Application, worker or operator → main process. */
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
  | { readonly type: 'finished' };
