import type { Series } from './report-data.ts';

/** How a word is meant. */
export type Tone = 'good' | 'bad' | 'doubt' | 'plain';

/** Text in a cell. */
export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
  /** A number: aligned to the right. */
  readonly numeric?: boolean;
}

/** A piece of a section, for whoever renders it. All text is plain: renderers escape it. */
export type Block =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'facts'; readonly facts: readonly (readonly [string, string])[] }
  | {
      readonly kind: 'table';
      readonly caption: string;
      readonly head: readonly string[];
      readonly rows: readonly (readonly Cell[])[];
    }
  | {
      readonly kind: 'plot';
      readonly title: string;
      /** What the values are, `ms`. */
      readonly unit: string;
      /** From zero, the honest default, or from what is there: for shares near 1, whose distance from 1 is drawn on a logarithmic scale. */
      readonly scale: 'from-zero' | 'nines';
      readonly series: readonly Series[];
    };

/** A part of the document. */
export interface Section {
  /** kebab-case; the anchor. */
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
}

export const cell = (text: string | number, tone?: Tone): Cell => ({
  text: String(text),
  ...(tone ? { tone } : {}),
});

/** A number, or a dash. */
export const amount = (text: string | null, tone?: Tone): Cell => ({
  text: text ?? '–',
  numeric: true,
  ...(tone ? { tone } : {}),
});

/** What a verdict of a gate looks like. */
export const toneOfVerdict = (verdict: string): Tone =>
  verdict === 'pass' ? 'good' : verdict === 'fail' ? 'bad' : 'doubt';
