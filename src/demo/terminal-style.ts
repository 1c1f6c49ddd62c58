import { stripVTControlCharacters } from 'node:util';

/** What a stretch of text means; the terminal's own sixteen colours, so that it fits every theme. */
export type Tone = 'plain' | 'strong' | 'dim' | 'accent' | 'good' | 'warn' | 'bad';

const codes: Readonly<Record<Tone, readonly [string, string]>> = {
  plain: ['', ''],
  strong: ['\x1b[1m', '\x1b[22m'],
  dim: ['\x1b[2m', '\x1b[22m'],
  accent: ['\x1b[36m', '\x1b[39m'],
  good: ['\x1b[32m', '\x1b[39m'],
  warn: ['\x1b[33m', '\x1b[39m'],
  bad: ['\x1b[31m', '\x1b[39m'],
};

/** Paints text, or leaves it as it is where colours are not wanted. */
export type Paint = (tone: Tone, text: string) => string;

export function createPaint(colour: boolean): Paint {
  return (tone, text) => {
    if (!colour || text === '') return text;
    const [on, off] = codes[tone];
    return `${on}${text}${off}`;
  };
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
const nothing = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]/u;
const pictograph = /\p{Emoji_Presentation}|\ufe0f/u;
const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Columns that a text takes in a terminal; colours take none, CJK and emoji take two. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const { segment } of segmenter.segment(stripVTControlCharacters(text))) {
    width += widthOf(segment);
  }
  return width;
}

function widthOf(segment: string): number {
  if (nothing.test(segment)) return 0;
  return pictograph.test(segment) ||
    wide.test(segment) ||
    /[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(segment)
    ? 2
    : 1;
}

/** Cuts a text to `width` columns, with an ellipsis; keeps colour codes whole and ends them. */
export function cutTo(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let used = 0;
  let out = '';
  // Codes are passed on uncounted, text is counted by what one sees as a character.
  for (const part of text.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith('\x1b[')) {
      out += part;
      continue;
    }
    for (const { segment } of segmenter.segment(part)) {
      const columns = widthOf(segment);
      if (used + columns > width - 1) return text.includes('\x1b[') ? `${out}…\x1b[0m` : `${out}…`;
      out += segment;
      used += columns;
    }
  }
  return out;
}

/** Breaks plain text at blanks into lines of at most `width` columns; a word that is longer is cut. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && displayWidth(longer) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  lines.push(line);
  return lines.map((one) => cutTo(one, width));
}

/** Fills up with blanks to `width` columns. */
export function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'left' ? text + blanks : blanks + text;
}

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` columns filled to `ratio` (0 … 1), to an eighth of a column. */
export function bar(
  ratio: number,
  width: number,
): { readonly full: string; readonly rest: string } {
  const parts = Math.round(Math.min(1, Math.max(0, ratio)) * width * 8);
  const full = '█'.repeat(Math.floor(parts / 8)) + (eighths[parts % 8] ?? '');
  return { full, rest: '░'.repeat(Math.max(0, width - full.length)) };
}

const heights = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** The last `width` values as a line of blocks, from 0 to the largest of them, at least to `topMin`. */
export function sparkline(values: readonly number[], width: number, topMin = 1e-9): string {
  const last = values.slice(-width);
  const max = Math.max(...last, topMin);
  const blocks = last.map((value) =>
    value <= 0 ? '▁' : (heights[Math.min(7, Math.ceil((value / max) * 8) - 1)] as string),
  );
  return pad(blocks.join(''), width, 'right');
}

/** 12345 → `12 345`, with narrow blanks that do not break. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

/** `840 ms`, `2.4 s`, `1:32 min`. */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${clock(ms)} min`;
}

/** `1:07`. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
