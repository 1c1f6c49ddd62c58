import pg from 'pg';
import { backoffMs, type Runtime } from '../../runtime/index.ts';
import { controlClientConfig, destroySocket } from './postgres-control-pool.ts';

const reconnectBackoff = { firstMs: 100, maxMs: 5_000 };
const endDeadlineMs = 1_000;

export interface ControlListener {
  /** `wake(null)`: the connection was made anew, anything may have happened meanwhile. */
  listen(wake: (payload: string | null) => void): () => void;
  /** The server has confirmed LISTEN, and the connection is not known to be broken. */
  isListening(): boolean;
  close(): Promise<void>;
}

/**
 * One connection that LISTENs while somebody wants to know, and comes back by itself. States: idle → connecting → listening →
 * (broken → waiting → connecting)* → closed. What is lost while it is away is found by polling.
 */
export function createControlListener(
  url: string,
  channel: string,
  runtime: Runtime,
): ControlListener {
  const { clock, random } = runtime;
  const wakers = new Set<(payload: string | null) => void>();
  let client: pg.Client | null = null;
  let connecting: Promise<void> | null = null;
  let cancelRetry = (): void => {};
  let failures = 0;
  let listening = false;
  let closed = false;

  const tell = (payload: string | null): void => {
    for (const wake of wakers) wake(payload);
  };

  const lost = (dead: pg.Client): void => {
    if (client !== dead) return;
    client = null;
    listening = false;
    destroySocket(dead);
    if (closed || wakers.size === 0) return;
    // They look again, and more often from now on.
    tell(null);
    failures++;
    cancelRetry = clock.schedule(backoffMs(reconnectBackoff, failures, random), connect);
  };

  const connect = (): void => {
    if (closed || client !== null || wakers.size === 0) return;
    cancelRetry();
    const fresh = new pg.Client(controlClientConfig(url));
    client = fresh;
    fresh.on('error', () => lost(fresh));
    fresh.on('end', () => lost(fresh));
    fresh.on('notification', ({ payload }) => tell(payload ?? null));
    connecting = fresh
      .connect()
      .then(() => fresh.query(`listen ${pg.escapeIdentifier(channel)}`))
      .then(() => {
        failures = 0;
        listening = client === fresh;
        tell(null);
      })
      .catch(() => lost(fresh));
  };

  const end = async (): Promise<void> => {
    cancelRetry();
    const open = client;
    client = null;
    listening = false;
    if (open === null) return;
    await connecting;
    const cancel = clock.schedule(endDeadlineMs, () => destroySocket(open));
    await open.end().catch(() => {});
    cancel();
  };

  return {
    listen(wake) {
      wakers.add(wake);
      connect();
      return () => {
        wakers.delete(wake);
        if (wakers.size === 0) void end();
      };
    },
    isListening: () => listening,
    async close() {
      closed = true;
      wakers.clear();
      await end();
    },
  };
}
