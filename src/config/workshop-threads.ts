import { Worker } from 'node:worker_threads';
import type { ChunkWorkshop, PreparedChunk } from '../backfill/index.ts';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import {
  type PreparedFacts,
  receivedError,
  type ThreadAnswer,
  type ThreadData,
  type ThreadRequest,
} from './workshop-messages.ts';

/** Room for young objects, MB: records of a chunk live just long enough to be copied over and over in the default room. */
const YOUNG_MB = 32;

type Asked<T> = T extends ThreadRequest ? Omit<T, 'id'> : never;

/**
 * A workshop over `count` threads of this process. They are started when the first chunk comes; each opens stores of its own. A thread that
 * ends by itself fails what it had (STORE_UNAVAILABLE: the chunk is begun again), and a new one takes its place.
 */
export function createWorkshopThreads(data: ThreadData, count: number): ChunkWorkshop {
  const threads: Thread[] = [];
  let closed = false;
  const least = (): Thread => {
    for (let at = threads.length - 1; at >= 0; at -= 1)
      if (threads[at]?.ended) threads.splice(at, 1);
    while (threads.length < count) threads.push(new Thread(data));
    return threads.reduce((a, b) => (b.busy < a.busy ? b : a));
  };
  return {
    async prepare(ticket, expectedRows, leaveOut) {
      if (closed) throw new ChangeoverError('CLOSED', 'The threads of the backfill have ended.');
      const thread = least();
      thread.busy += 1;
      try {
        const request = { type: 'prepare', ticket, expectedRows, leaveOut } as const;
        return preparedIn(thread, (await thread.ask(request)) as PreparedFacts);
      } catch (error) {
        thread.busy -= 1;
        throw error;
      }
    },
    async close() {
      closed = true;
      await Promise.all(threads.splice(0).map((thread) => thread.end()));
    },
  };
}

function preparedIn(thread: Thread, { chunk, ...facts }: PreparedFacts): PreparedChunk {
  let dropped = false;
  return {
    ...facts,
    keyAt: async (index) => (await thread.ask({ type: 'key-at', chunk, index })) as string[],
    write: async (context) =>
      (await thread.ask({ type: 'write', chunk, context })) as { readonly inserted: number },
    drop() {
      if (dropped) return;
      dropped = true;
      thread.busy -= 1;
      thread.ask({ type: 'drop', chunk }).catch(() => undefined);
    },
  };
}

function startThread(workerData: ThreadData): Worker {
  const options = { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } };
  const compiled = new URL('./workshop-thread.js', import.meta.url);
  if (!import.meta.url.endsWith('.ts')) return new Worker(compiled, options);
  // In this repository, from the source. Node 20 does not ask the loader of `--import` for the first file of a thread.
  const [loader, entry] = [import.meta.resolve('tsx/esm/api'), './workshop-thread.ts'];
  const code = `import(${JSON.stringify(loader)}).then(({ register }) => {
    register();
    return import(${JSON.stringify(new URL(entry, import.meta.url).href)});
  })`;
  return new Worker(code, { ...options, eval: true });
}

interface Waiter {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

class Thread {
  /** Chunks that it has. */
  busy = 0;
  ended = false;
  /** It has worked once: an end after that may be an accident. */
  #proven = false;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiter>();
  #lastId = 0;

  constructor(data: ThreadData) {
    this.#worker = startThread(data);
    // Who waits for an answer keeps the process alive; the thread does not.
    this.#worker.unref();
    this.#worker.on('message', (message: ThreadAnswer) => {
      this.#proven = true;
      const waiter = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (this.#waiting.size === 0 && !this.ended) this.#worker.unref();
      if ('error' in message) waiter?.reject(receivedError(message.error));
      else waiter?.resolve(message.value);
    });
    this.#worker.on('messageerror', (error) => this.#fail(error));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(null));
  }

  ask(request: Asked<ThreadRequest>): Promise<unknown> {
    if (this.ended) return Promise.reject(gone(null, this.#proven));
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ ...request, id });
    });
  }

  async end(): Promise<void> {
    this.ended = true;
    // Whoever waits for its end waits in this process.
    this.#worker.ref();
    await this.#worker.terminate();
  }

  #fail(error: unknown): void {
    this.ended = true;
    for (const waiter of this.#waiting.values()) waiter.reject(gone(error, this.#proven));
    this.#waiting.clear();
  }
}

function gone(cause: unknown, proven: boolean): ChangeoverError {
  if (proven) {
    return new ChangeoverError('STORE_UNAVAILABLE', 'A thread of the backfill has ended.', {
      ...(cause === null ? {} : { cause }),
    });
  }
  return new ChangeoverError(
    'CONFIG_INVALID',
    `A thread of the backfill could not be started (${messageOf(cause ?? 'it ended at once')}): set backfill.transformThreads to 0.`,
    { cause },
  );
}
