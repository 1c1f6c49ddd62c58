import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type PanelView, renderPanel } from '../../../src/demo/live-panel.ts';
import { openTerminal } from '../../../src/demo/terminal.ts';
import {
  bar,
  clock,
  count,
  createPaint,
  cutTo,
  displayWidth,
  duration,
  pad,
  sparkline,
} from '../../../src/demo/terminal-style.ts';

const view: PanelView = {
  phase: 'read-switch',
  phases: [
    'off',
    'dual-write',
    'backfill',
    'shadow-read',
    'read-switch',
    'write-switch',
    'retired',
  ],
  dialBasisPoints: 2_500,
  activity: 'read switch: 25 % of the customers are served by the target',
  progress: { label: 'verify', ratio: 0.4, text: '80 000 compared' },
  throttle: null,
  writeRates: [1, 5, 9, 4],
  writesPerSecond: 212,
  readsPerSecond: 90,
  targetReadRatio: 0.24,
  slowestWriteMs: 14,
  failedRequests: 0,
  acknowledgedWrites: 12_345,
  queueDepths: [0, 500, 20, 0],
  queueWaiting: 0,
  deadLetters: 0,
  authority: 'source',
  sourceUp: true,
  targetUp: true,
  elapsedMs: 42_000,
};

class Sink extends Writable {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows = 40;
  text = '';

  constructor(isTTY: boolean, columns = 80) {
    super();
    this.isTTY = isTTY;
    this.columns = columns;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

function open(stream: Sink, env: Record<string, string> = {}) {
  return openTerminal({ stream, env, elapsedMs: () => 1_234, live: true });
}

describe('widths', () => {
  test.each([
    ['Łódź', 4],
    ['e\u0301', 1],
    ['東京都', 6],
    ['👨‍👩‍👧‍👦', 2],
    ['🏳️‍🌈 ok', 5],
    ['\x1b[31mred\x1b[39m', 3],
    ['', 0],
  ])('%j takes %i columns', (text, width) => {
    expect(displayWidth(text)).toBe(width);
  });

  test('a text that is too long is cut with an ellipsis and its colours are ended', () => {
    expect(cutTo('abcdef', 4)).toBe('abc…');
    expect(cutTo('東京都', 5)).toBe('東京…');
    expect(cutTo('\x1b[31mabcdef\x1b[39m', 4)).toBe('\x1b[31mabc…\x1b[0m');
    expect(cutTo('abcd', 4)).toBe('abcd');
  });

  test('figures, bars and lines of blocks', () => {
    expect(count(1_234_567)).toBe('1\u202f234\u202f567');
    expect([duration(3.25), duration(840), duration(2_400), duration(92_000)]).toEqual([
      '3.3 ms',
      '840 ms',
      '2.4 s',
      '1:32 min',
    ]);
    expect(clock(67_000)).toBe('1:07');
    expect(bar(0.5, 10)).toEqual({ full: '█████', rest: '░░░░░' });
    expect(bar(2, 3)).toEqual({ full: '███', rest: '' });
    expect(sparkline([0, 4, 8], 4)).toBe(' ▁▄█');
    expect(pad('x', 3, 'right')).toBe('  x');
  });
});

describe('the panel', () => {
  test.each([60, 80, 100, 140, 300])('keeps to %i columns', (width) => {
    const lines = renderPanel(view, width, createPaint(true)).map((line) => cutTo(line, width - 1));
    for (const line of lines) expect(displayWidth(line)).toBeLessThan(width);
    expect(lines.join('\n')).toContain('read-switch');
  });

  test('says why the backfill waits, and when requests fail', () => {
    const bad = { ...view, throttle: 'source latency 71 ms is above 40 ms', failedRequests: 2 };
    const text = renderPanel(bad, 118, createPaint(false)).join('\n');
    expect(text).toContain('waits: source latency 71 ms');
    expect(text).toContain('2 FAILED');
  });
});

describe('the terminal', () => {
  test('writes whole plain lines where there is no terminal', () => {
    const sink = new Sink(false);
    const terminal = open(sink);
    terminal.show(view);
    terminal.event('good', 'backfill', 'x'.repeat(200));
    terminal.close();
    expect(sink.text).toBe(`    1.2 s  ✓ backfill      ${'x'.repeat(200)}\n`);
  });

  test('redraws its panel in place below the lines that stay, and gives the cursor back', async () => {
    const sink = new Sink(true);
    const terminal = open(sink);
    terminal.show(view);
    await new Promise((resolve) => setTimeout(resolve, 150));
    terminal.event('begin', 'dial', 'x'.repeat(200));
    terminal.close();
    terminal.close();
    const height = renderPanel(view, 80, createPaint(false)).length;
    expect(sink.text).toContain(`\x1b[${height}A\r\x1b[J`);
    expect(sink.text.startsWith('\x1b[?25l')).toBe(true);
    expect(sink.text.endsWith('\x1b[?25h')).toBe(true);
    for (const line of stripVTControlCharacters(sink.text).split('\n')) {
      expect(displayWidth(line)).toBeLessThan(80);
    }
  });

  test('respects NO_COLOR and dumb terminals', () => {
    const plain = new Sink(true);
    open(plain, { NO_COLOR: '1' }).event('good', 'check', 'fine');
    expect(plain.text).not.toMatch(/\x1b\[\d+m/);
    const dumb = new Sink(true);
    open(dumb, { TERM: 'dumb' }).event('good', 'check', 'fine');
    expect(dumb.text).not.toContain('\x1b');
  });
});
