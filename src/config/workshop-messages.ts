import type { DeadRow } from '../backfill/index.ts';
import { ChangeoverError, type ErrorCode, type ErrorData, messageOf } from '../errors/index.ts';
import type { Side } from '../migration/index.ts';
import type { Key } from '../record/index.ts';
import type { ChunkTicket, DoorContext } from '../store/index.ts';
import type { ConfigFile } from './config-folder.ts';

/** What a thread is begun with. */
export interface ThreadData {
  /** The configuration, which the thread loads for itself: functions cannot be sent. */
  readonly configFile: ConfigFile;
  readonly collection: string;
  readonly follower: Side;
  readonly bytesMax: number;
}

/** From the pool to a thread. Every `id` is answered once. */
export type ThreadRequest = { readonly id: number } & (
  | {
      readonly type: 'prepare';
      readonly ticket: ChunkTicket;
      readonly expectedRows: number;
      readonly leaveOut: ReadonlySet<string>;
    }
  | { readonly type: 'key-at'; readonly chunk: number; readonly index: number }
  | { readonly type: 'write'; readonly chunk: number; readonly context: DoorContext }
  | { readonly type: 'drop'; readonly chunk: number }
);

/** What `prepare` answers; `chunk` names it from then on. */
export interface PreparedFacts {
  readonly chunk: number;
  readonly read: number;
  readonly cutAt: Key | null;
  readonly dead: readonly DeadRow[];
  readonly leftOut: readonly Key[];
  readonly count: number;
}

/** From a thread to the pool. */
export type ThreadAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: SentError };

/** An error as it travels between threads: its class does not. */
export interface SentError {
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly data: ErrorData;
}

export function sentError(error: unknown): SentError {
  if (!(error instanceof ChangeoverError))
    return { code: null, message: messageOf(error), data: {} };
  const { code, data, message } = error;
  return { code, data, message: message.slice(`${code}: `.length) };
}

export function receivedError({ code, message, data }: SentError): Error {
  return code === null ? new Error(message) : new ChangeoverError(code, message, { data });
}
