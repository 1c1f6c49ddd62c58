import type { Phase, Side } from './phase.ts';
import type { MigrationState } from './state.ts';

/**
 * What the engines tell the world. Emitted synchronously, after the fact; listeners must be fast and must not throw.
 * Never carries record values. Telemetry, the terminal and tests subscribe to these.
 */
export type ChangeoverEvent =
  | { readonly type: 'state'; readonly state: MigrationState }
  | { readonly type: 'control'; readonly reachable: boolean; readonly error?: string }
  | {
      readonly type: 'write';
      readonly collection: string;
      readonly phase: Phase;
      readonly outcome: 'committed' | 'rejected' | 'unknown';
      /** Until the authority had confirmed. */
      readonly authorityMs: number;
      /** Until the caller had the answer. */
      readonly totalMs: number;
    }
  | {
      readonly type: 'follower-write';
      readonly collection: string;
      /** `queued`: left to the queue (budget spent, follower down, breaker open). */
      readonly outcome: 'applied' | 'stale' | 'queued' | 'failed';
      readonly ms: number;
    }
  | {
      readonly type: 'read';
      readonly collection: string;
      readonly servedBy: Side;
      readonly why: 'authority' | 'dial' | 'segment' | 'token' | 'no-routing-key' | 'fallback';
      readonly outcome: 'ok' | 'failed';
      readonly ms: number;
    }
  | {
      readonly type: 'shadow-read';
      readonly collection: string;
      /** The store that was read beside the one that answered; absent: it was not read. */
      readonly side?: Side;
      readonly outcome: 'matched' | 'suspect' | 'shed' | 'timed-out' | 'failed';
      readonly ms: number;
    }
  | {
      readonly type: 'held';
      readonly collection: string;
      readonly ms: number;
      readonly outcome: 'released' | 'expired';
    }
  | {
      readonly type: 'queue';
      readonly side: Side;
      readonly waiting: number;
      readonly dead: number;
      readonly oldestMs: number;
    }
  | {
      readonly type: 'drained';
      readonly side: Side;
      readonly applied: number;
      readonly stale: number;
      readonly failed: number;
      readonly ms: number;
    }
  | {
      /** A part of the log of `side` has been applied. */
      readonly type: 'log';
      readonly side: Side;
      /** Row changes read. */
      readonly changes: number;
      /** Keys written, keys that were there in a newer version, keys left to the queue. */
      readonly applied: number;
      readonly stale: number;
      readonly parked: number;
      /** From the newest commit to its application, by both clocks; null: not known. */
      readonly lagMs: number | null;
      readonly ms: number;
    }
  | {
      /** Changes of `side` were not applied to the other store; they wait for another try, or for a person. */
      readonly type: 'apply-failed';
      readonly side: Side;
      readonly code: string;
      readonly message: string;
      readonly changes: number;
    }
  | { readonly type: 'dead-letter'; readonly collection: string; readonly reason: string }
  | {
      readonly type: 'breaker';
      readonly side: Side;
      readonly state: 'closed' | 'open' | 'half-open';
    }
  | {
      readonly type: 'backfill';
      readonly collection: string;
      readonly rowsRead: number;
      readonly rowsInserted: number;
      readonly rowsDead: number;
      readonly estimatedRows: number;
      /** Over the last seconds; null: not known. */
      readonly rowsPerSecond: number | null;
      /** New work a second while it copies; null: not known. */
      readonly growthPerSecond: number | null;
      /** Copied less new work; 0 or below: not converging. null: not known. */
      readonly convergencePerSecond: number | null;
      /** At that rate; null: unknown, or not converging. */
      readonly estimatedRemainingMs: number | null;
      readonly ms: number;
      readonly finished: boolean;
    }
  | {
      /** Sessions that are not the door wrote to `side`, the follower; told when there are new ones, and once when there are none any more. */
      readonly type: 'rogue-writes';
      readonly side: Side;
      /** Notes that nobody has acknowledged; 0: none. */
      readonly notes: number;
      /** Notes that came since the last event. */
      readonly added: number;
      readonly tables: readonly string[];
      /** `user / application`. */
      readonly users: readonly string[];
    }
  | {
      /** How the way back stands, as a worker sees it. `ms`: until writes would be back; null: not before the reasons are gone. */
      readonly type: 'way-back';
      readonly ready: boolean;
      readonly ms: number | null;
      readonly reasons: readonly string[];
    }
  | { readonly type: 'throttle'; readonly reason: string | null }
  | {
      readonly type: 'verify';
      readonly collection: string;
      readonly compared: number;
      readonly suspects: number;
      readonly finished: boolean;
    }
  | {
      readonly type: 'mismatch';
      readonly collection: string;
      readonly kind: 'missing' | 'extra' | 'different';
      readonly status: 'suspect' | 'transient' | 'open' | 'repaired';
    }
  | {
      /** Repair of a collection stopped by itself because too much differs, or a person has let it go on. */
      readonly type: 'repair';
      readonly collection: string;
      readonly stopped: boolean;
    }
  | {
      readonly type: 'cutover';
      readonly attempt: string;
      readonly step: string;
      readonly outcome: 'begun' | 'done' | 'failed';
      readonly ms: number;
    };

export type ChangeoverEventType = ChangeoverEvent['type'];

/** Where events go. */
export type EventSink = (event: ChangeoverEvent) => void;

/** An event sink with any number of listeners. A listener that throws is dropped from that event only. */
export interface EventHub {
  readonly emit: EventSink;
  /** The returned function unsubscribes. */
  subscribe(listener: EventSink): () => void;
}

export function createEventHub(): EventHub {
  let listeners: readonly EventSink[] = [];
  return {
    emit(event) {
      // By index: this runs with every read and write, and the iterator alone costs more than a metric. The list is never changed in place.
      const told = listeners;
      for (let at = 0; at < told.length; at++) {
        try {
          told[at]?.(event);
        } catch {
          // A broken listener must not break a write; it has no other place to report to.
        }
      }
    },
    subscribe(listener) {
      listeners = [...listeners, listener];
      return () => {
        listeners = listeners.filter((other) => other !== listener);
      };
    },
  };
}
