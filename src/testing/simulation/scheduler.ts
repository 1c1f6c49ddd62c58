import { type Random, seededRandom, systemClock } from '../../runtime/index.ts';
import { Trace } from './trace.ts';

/** One process of the simulated world: runs until it is killed; while paused, nothing of it runs. */
export interface SimulatedProcess {
  readonly name: string;
  alive: boolean;
  /** Virtual time until which it is stopped. */
  pausedUntil: number;
}

interface Pending {
  readonly at: number;
  /** Seeded: decides between events of one moment. */
  readonly tie: number;
  readonly order: number;
  /** null: network or server, which no pause and no kill of a client stops. */
  readonly process: SimulatedProcess | null;
  /** Happens although the process is paused (a request that has left it), but not after its death. */
  readonly ignoresPause: boolean;
  readonly run: () => void;
  cancelled: boolean;
}

/** How one event is owned. */
export interface Ownership {
  readonly process: SimulatedProcess | null;
  readonly ignoresPause?: boolean;
}

/** After so many events the real event loop gets a turn, so that test runners stay alive. */
const eventsPerTurn = 1_000;

/**
 * Virtual time. One event at a time: the earliest, ties decided by the seed; then every microtask that it caused runs to the end before
 * the next event is chosen. Same seed, same order, same trace.
 */
export class Scheduler {
  readonly random: Random;
  readonly trace = new Trace();
  /** Milliseconds since the world began. */
  now = 0;
  events = 0;
  private readonly heap: Pending[] = [];
  private orders = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Runs `run` in `ms` of virtual time; the returned function takes it back. */
  post(ownership: Ownership, ms: number, run: () => void): () => void {
    this.orders += 1;
    const event: Pending = {
      at: this.now + Math.max(0, ms),
      tie: this.random.next(),
      order: this.orders,
      process: ownership.process,
      ignoresPause: ownership.ignoresPause ?? false,
      run,
      cancelled: false,
    };
    this.push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** A promise that settles in `ms`; never, when its process dies before. */
  wait(ownership: Ownership, ms: number): Promise<void> {
    return new Promise<void>((resolve) => {
      this.post(ownership, ms, resolve);
    });
  }

  /** Runs events until `done` says so (asked after each event), nothing is left, or `untilMs` is reached. True: done. */
  async run(done: () => boolean, untilMs: number): Promise<boolean> {
    await drainMicrotasks();
    while (!done()) {
      const event = this.pop();
      if (!event) return false;
      if (event.at > untilMs) {
        this.push(event);
        return false;
      }
      if (event.cancelled || event.process?.alive === false) continue;
      this.now = event.at;
      if (!event.ignoresPause && event.process && event.process.pausedUntil > this.now) {
        this.push({ ...event, at: event.process.pausedUntil });
        continue;
      }
      event.run();
      await drainMicrotasks();
      this.events += 1;
      if (this.events % eventsPerTurn === 0) await systemClock.yield();
    }
    return true;
  }

  private push(event: Pending): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): Pending | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Pending, b: Pending): boolean {
  if (a.at !== b.at) return a.at < b.at;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.order < b.order;
}

/** `process.nextTick` runs when the microtask queue is empty: everything that the event caused has happened by then. */
function drainMicrotasks(): Promise<void> {
  return new Promise<void>((resolve) => {
    process.nextTick(resolve);
  });
}
