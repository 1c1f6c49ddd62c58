/** Time. The only door to it in the whole library: simulation replaces this. */
export interface Clock {
  /** Wall clock, milliseconds since 1970 UTC. May jump; use only for display and for leases between hosts. */
  now(): number;
  /** Monotonic milliseconds with fraction; use for every duration and deadline. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `run` once after `ms`, unless the returned function is called before. Does not keep the process alive. */
  schedule(ms: number, run: () => void): () => void;
  /** Lets other work run (one turn of the event loop). */
  yield(): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(ms, signal) {
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  },
  schedule(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  yield: () => new Promise<void>((resolve) => setImmediate(resolve)),
};
