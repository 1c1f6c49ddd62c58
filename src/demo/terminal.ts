/**
 * What the story shows. On a terminal: finished events scroll by above, a live panel is redrawn in place below. Elsewhere, and with
 * `--json`: one line per event, no cursor tricks, and nothing of the panel.
 */
import type { WriteStream } from 'node:tty';
import { type PanelView, renderPanel } from './live-panel.ts';
import { createPaint, cutTo, type Paint, pad, type Tone, wrap } from './terminal-style.ts';

/** How an event turned out. */
export type Mark = 'begin' | 'good' | 'info' | 'warn' | 'bad';

export interface Terminal {
  readonly paint: Paint;
  /** Columns that a line may take. */
  readonly width: number;
  /** Something happened: one line that stays. */
  event(mark: Mark, topic: string, text: string): void;
  /** Lines as they are, indented: a field diff, the proof. */
  block(lines: readonly string[]): void;
  /** Starts or updates the live panel; without a terminal nothing. */
  show(view: PanelView): void;
  /** Removes the panel and gives the cursor back. Idempotent; also called when the process exits. */
  close(): void;
}

export interface TerminalOptions {
  /** Where everything goes: stdout, or stderr when stdout is for JSON. */
  readonly stream: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY' | 'columns' | 'rows'>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since the story began. */
  readonly elapsedMs: () => number;
  /** False: lines even on a terminal. */
  readonly live: boolean;
}

const framesEveryMs = 100;
const topicWidth = 13;
/** Where the words of an event begin: time, sign and topic stand before. */
const textColumn = 1 + 8 + 2 + 1 + 1 + topicWidth + 1;
const widthMax = 120;
const widthDefault = 100;
const rowsForPanelMin = 14;
const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';
/** Terminals that know it paint the frame at once; others ignore it. */
const frameBegin = '\x1b[?2026h';
const frameEnd = '\x1b[?2026l';

const marks: Readonly<Record<Mark, readonly [string, Tone]>> = {
  begin: ['▸', 'accent'],
  good: ['✓', 'good'],
  info: ['·', 'dim'],
  warn: ['!', 'warn'],
  bad: ['✗', 'bad'],
};

export function openTerminal(options: TerminalOptions): Terminal {
  const { stream, env } = options;
  const dumb = env['TERM'] === 'dumb';
  const isTerminal = stream.isTTY === true && !dumb;
  const noColour = env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '';
  const paint = createPaint(isTerminal && !noColour);
  const base = { options, paint };
  return isTerminal && options.live && (stream.rows ?? 24) >= rowsForPanelMin
    ? new LiveTerminal(base)
    : new LineTerminal(base);
}

interface Base {
  readonly options: TerminalOptions;
  readonly paint: Paint;
}

function widthOf({ stream }: TerminalOptions): number {
  return Math.min(widthMax, stream.columns ?? widthDefault);
}

function eventLine({ options, paint }: Base, mark: Mark, topic: string, text: string): string {
  const [sign, tone] = marks[mark];
  const time = pad(`${(options.elapsedMs() / 1_000).toFixed(1)} s`, 8, 'right');
  const words = inTone(paint, mark, tone, text);
  return ` ${paint('dim', time)}  ${paint(tone, sign)} ${paint(mark === 'begin' ? 'accent' : 'dim', pad(topic, topicWidth))} ${words}`;
}

function inTone(paint: Paint, mark: Mark, tone: Tone, text: string): string {
  if (mark === 'info') return text;
  return paint(mark === 'begin' ? 'strong' : tone, text);
}

/** One line per event; whole, because it may go to a file. */
class LineTerminal implements Terminal {
  readonly paint: Paint;
  readonly #base: Base;

  constructor(base: Base) {
    this.#base = base;
    this.paint = base.paint;
  }

  get width(): number {
    return widthOf(this.#base.options);
  }

  event(mark: Mark, topic: string, text: string): void {
    this.#base.options.stream.write(`${eventLine(this.#base, mark, topic, text)}\n`);
  }

  block(lines: readonly string[]): void {
    for (const line of lines) this.#base.options.stream.write(`${line}\n`);
  }

  show(): void {}

  close(): void {}
}

/** A panel at the bottom that is redrawn in place, and lines above it that stay. */
class LiveTerminal implements Terminal {
  readonly paint: Paint;
  readonly #base: Base;
  readonly #onExit = (): void => this.close();
  readonly #onResize = (): void => this.#resized();
  #view: PanelView | null = null;
  #drawn = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(base: Base) {
    this.#base = base;
    this.paint = base.paint;
    process.on('exit', this.#onExit);
    this.#stream.on('resize', this.#onResize);
  }

  get #stream(): TerminalOptions['stream'] {
    return this.#base.options.stream;
  }

  get width(): number {
    return widthOf(this.#base.options);
  }

  event(mark: Mark, topic: string, text: string): void {
    const [first = '', ...rest] = wrap(text, this.width - 1 - textColumn);
    const { paint } = this.#base;
    const [, tone] = marks[mark];
    this.#above([
      eventLine(this.#base, mark, topic, first),
      ...rest.map((line) => `${' '.repeat(textColumn)}${inTone(paint, mark, tone, line)}`),
    ]);
  }

  block(lines: readonly string[]): void {
    this.#above(lines.map((line) => cutTo(line, this.width - 1)));
  }

  show(view: PanelView): void {
    if (this.#closed) return;
    if (this.#view === null) this.#stream.write(hideCursor);
    this.#view = view;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#draw([]);
    }, framesEveryMs);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    process.off('exit', this.#onExit);
    this.#stream.off('resize', this.#onResize);
    if (this.#view !== null) this.#stream.write(this.#eraseSequence() + showCursor);
    this.#view = null;
    this.#drawn = 0;
  }

  #above(lines: readonly string[]): void {
    this.#draw(lines);
  }

  /** Erases the panel, writes lines that stay, draws the panel again: one write, so that nothing flickers. */
  #draw(lines: readonly string[]): void {
    const panel =
      this.#view === null || this.#closed ? [] : renderPanel(this.#view, this.width, this.paint);
    const fitted = panel.map((line) => cutTo(line, this.width - 1));
    const text = [...lines, ...fitted].map((line) => `${line}\n`).join('');
    this.#stream.write(`${frameBegin}${this.#eraseSequence()}${text}${frameEnd}`);
    this.#drawn = fitted.length;
  }

  #eraseSequence(): string {
    return this.#drawn === 0 ? '' : `\x1b[${this.#drawn}A\r\x1b[J`;
  }

  /** After a resize the lines may have been wrapped anew; start a fresh panel rather than erase the wrong ones. */
  #resized(): void {
    this.#drawn = 0;
    if (this.#view) this.show(this.#view);
  }
}
