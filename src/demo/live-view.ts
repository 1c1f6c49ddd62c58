import type { ChangeoverEvent, EventHub, MigrationState, Phase } from '../migration/index.ts';
import { authorityOf } from '../migration/index.ts';
import type { PanelProgress, PanelView } from './live-panel.ts';
import type { ShopMessage } from './shop-messages.ts';
import type { Terminal } from './terminal.ts';
import { count, duration } from './terminal-style.ts';

const tickMs = 200;
const ticksKept = 60;
const throttleQuietMs = 3_000;
const ticksPerSecond = 1_000 / tickMs;

type Rates = Extract<ShopMessage, { readonly type: 'rates' }>;

/** Collects what the panel shows, from the events of the engines and the messages of the applications. For the screen only. */
export class LiveView {
  readonly #terminal: Terminal;
  readonly #elapsedMs: () => number;
  readonly #timer: NodeJS.Timeout;
  #view: PanelView;
  #tick = emptyTick();
  #recent: Tick[] = [];
  #backfill: { readonly rows: number; readonly atMs: number }[] = [];
  #queuePeak = 0;
  #verifyRows = 1;
  #throttleSaid = false;
  #throttleSaidAt = Number.NEGATIVE_INFINITY;
  #shadow = { compared: 0, suspect: 0 };
  #reads = { all: 0, target: 0 };

  constructor(terminal: Terminal, elapsedMs: () => number) {
    this.#terminal = terminal;
    this.#elapsedMs = elapsedMs;
    this.#view = initialView;
    this.#timer = setInterval(() => this.#onTick(), tickMs);
    this.#timer.unref();
  }

  /** Shows something else from now on. */
  set(change: Partial<PanelView>): void {
    this.#view = { ...this.#view, ...change };
  }

  /** Longest queue since the last call of `resetQueuePeak`. */
  get queuePeak(): number {
    return this.#queuePeak;
  }

  resetQueuePeak(): void {
    this.#queuePeak = 0;
  }

  get acknowledgedWrites(): number {
    return this.#view.acknowledgedWrites;
  }

  /** Shadow reads of all application processes so far. */
  get shadowReads(): { readonly compared: number; readonly suspect: number } {
    return this.#shadow;
  }

  /** Reads of all application processes so far, and how many of them the target served. */
  get readsSoFar(): { readonly all: number; readonly target: number } {
    return this.#reads;
  }

  /** What an application process says about its last 200 ms. */
  rates(rates: Rates): void {
    const tick = this.#tick;
    tick.writes += rates.writes;
    tick.reads += rates.reads;
    tick.targetReads += rates.targetReads;
    this.#reads = {
      all: this.#reads.all + rates.reads,
      target: this.#reads.target + rates.targetReads,
    };
    tick.writeMsMax = Math.max(tick.writeMsMax, rates.writeMsMax);
    this.#shadow = {
      compared: this.#shadow.compared + rates.shadowMatched + rates.shadowSuspect,
      suspect: this.#shadow.suspect + rates.shadowSuspect,
    };
    this.set({
      failedRequests: this.#view.failedRequests + rates.failed,
      acknowledgedWrites: this.#view.acknowledgedWrites + rates.writes,
    });
  }

  /** Follows the engines of this process, from now on. */
  follow(events: EventHub): () => void {
    return events.subscribe((event) => this.#onEvent(event));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #onEvent(event: ChangeoverEvent): void {
    switch (event.type) {
      case 'state':
        this.#onState(event.state);
        return;
      case 'queue':
        this.#queuePeak = Math.max(this.#queuePeak, event.waiting);
        this.set({
          queueWaiting: event.waiting,
          deadLetters: event.dead,
          queueDepths: [...this.#view.queueDepths, event.waiting].slice(-ticksKept),
        });
        return;
      case 'throttle':
        this.set({ throttle: event.reason });
        this.#sayThrottle(event.reason);
        return;
      case 'backfill':
        this.#onBackfill(event);
        return;
      case 'verify':
        this.#onVerify(event);
        return;
      case 'breaker':
        if (event.state === 'half-open') return;
        this.#terminal.event('info', 'breaker', `${event.side}: ${event.state}`);
        return;
      default:
    }
  }

  /** The next throttle is told, however soon it comes after the last one. */
  letThrottleSpeak(): void {
    this.#throttleSaidAt = Number.NEGATIVE_INFINITY;
  }

  /** At the edge of a limit it comes and goes; each line more says nothing new. */
  #sayThrottle(reason: string | null): void {
    const now = this.#elapsedMs();
    if (reason === null) {
      if (this.#throttleSaid) this.#terminal.event('info', 'throttle', 'backfill goes on');
      this.#throttleSaid = false;
    } else if (now - this.#throttleSaidAt > throttleQuietMs) {
      this.#terminal.event('warn', 'throttle', `backfill waits: ${reason}`);
      this.#throttleSaid = true;
      this.#throttleSaidAt = now;
    }
  }

  #onState(state: MigrationState): void {
    this.set({
      phase: state.phase,
      dialBasisPoints: state.dialBasisPoints,
      authority: authorityOf(state.phase),
    });
  }

  #onBackfill(event: Extract<ChangeoverEvent, { type: 'backfill' }>): void {
    const { rowsRead, estimatedRows, finished } = event;
    const atMs = this.#elapsedMs();
    this.#backfill = [...this.#backfill, { rows: rowsRead, atMs }].filter(
      (point) => point.atMs > atMs - 3_000,
    );
    const first = this.#backfill[0] ?? { rows: 0, atMs };
    const perSecond = ((rowsRead - first.rows) / Math.max(1, atMs - first.atMs)) * 1_000;
    const left = Math.max(0, estimatedRows - rowsRead);
    const eta = perSecond > 0 && !finished ? ` · ${duration((left / perSecond) * 1_000)} left` : '';
    this.set({
      progress: {
        label: 'backfill',
        ratio: finished ? 1 : Math.min(0.999, rowsRead / Math.max(1, estimatedRows)),
        text: `${count(rowsRead)} of about ${count(estimatedRows)} · ${count(perSecond)}/s${eta}`,
      },
    });
  }

  #onVerify(event: Extract<ChangeoverEvent, { type: 'verify' }>): void {
    const suspects =
      event.suspects === 0 ? 'nothing suspect' : `${event.suspects} to look at again`;
    const progress: PanelProgress = {
      label: 'verify',
      ratio: event.finished ? 1 : Math.min(0.999, event.compared / Math.max(1, this.#verifyRows)),
      text: `${count(event.compared)} compared · ${suspects}`,
    };
    this.set({ progress });
  }

  /** About how many rows a full comparison looks at. */
  expectVerifyRows(rows: number): void {
    this.#verifyRows = rows;
  }

  #onTick(): void {
    this.#recent = [...this.#recent, this.#tick].slice(-ticksKept);
    this.#tick = emptyTick();
    const second = this.#recent.slice(-ticksPerSecond);
    const sum = (pick: (tick: Tick) => number, ticks = second): number =>
      ticks.reduce((total, tick) => total + pick(tick), 0);
    const seconds = second.length / ticksPerSecond;
    const window = this.#recent.slice(-2 * ticksPerSecond);
    const reads = sum((tick) => tick.reads, window);
    this.set({
      writeRates: this.#recent.map((tick) => tick.writes),
      writesPerSecond: sum((tick) => tick.writes) / seconds,
      readsPerSecond: sum((tick) => tick.reads) / seconds,
      targetReadRatio:
        reads === 0 ? 0 : Math.min(1, sum((tick) => tick.targetReads, window) / reads),
      slowestWriteMs: Math.max(0, ...window.map((tick) => tick.writeMsMax)),
      elapsedMs: this.#elapsedMs(),
    });
    this.#terminal.show(this.#view);
  }
}

interface Tick {
  writes: number;
  reads: number;
  targetReads: number;
  writeMsMax: number;
}

const emptyTick = (): Tick => ({ writes: 0, reads: 0, targetReads: 0, writeMsMax: 0 });

const storyPhases: readonly Phase[] = [
  'off',
  'dual-write',
  'backfill',
  'shadow-read',
  'read-switch',
  'write-switch',
  'retired',
];

const initialView: PanelView = {
  phase: 'off',
  phases: storyPhases,
  dialBasisPoints: 0,
  activity: 'getting ready',
  progress: null,
  throttle: null,
  writeRates: [],
  writesPerSecond: 0,
  readsPerSecond: 0,
  targetReadRatio: 0,
  slowestWriteMs: 0,
  failedRequests: 0,
  acknowledgedWrites: 0,
  queueDepths: [],
  queueWaiting: 0,
  deadLetters: 0,
  authority: 'source',
  sourceUp: true,
  targetUp: true,
  elapsedMs: 0,
};
