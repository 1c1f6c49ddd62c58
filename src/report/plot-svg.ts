import { type Axis, axisFromZero, axisOfMinutes, axisOfNines, nines, numberLabel } from './axis.ts';
import type { Block } from './blocks.ts';
import { escapeHtml } from './escape.ts';
import type { Series } from './report-data.ts';

type Plot = Extract<Block, { readonly kind: 'plot' }>;

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 86;
const RIGHT = 30;
const TOP = 12;
const BOTTOM = 28;
/** A pause that is longer is shown as one: nothing was measured there. */
const GAP_MINUTES = 5;

/** A plot as an SVG with a title, a description and a legend; without a point, a sentence. `index` makes its ids unique in the document. */
export function plotHtml(plot: Plot, index: number): string {
  const drawn = plot.series.filter(({ points }) => points.length > 0);
  const title = escapeHtml(plot.title);
  if (drawn.length === 0)
    return `<figure class="plot"><figcaption>${title}</figcaption><p class="none">Nothing was measured.</p></figure>\n`;
  const x = axisOfMinutes(drawn.flatMap(({ points }) => points.map(([minute]) => minute)));
  const values = drawn.flatMap(({ points }) => points.map(([, value]) => value));
  const y = plot.scale === 'nines' ? axisOfNines(values) : axisFromZero(values);
  const lines = drawn.map((series, number) => line(plot, series, number, x, y)).join('');
  const ids = `plot-${index}-title plot-${index}-desc`;
  const svg = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="${ids}"><title id="plot-${index}-title">${title}</title><desc id="plot-${index}-desc">${escapeHtml(description(plot, drawn))}</desc>${grid(x, y, plot)}${lines}</svg>`;
  const legend = drawn.map(
    ({ name }, number) =>
      `<li><svg class="key" viewBox="0 0 24 8" aria-hidden="true"><line class="line s${number % COLOURS}" x1="1" y1="4" x2="23" y2="4"/></svg>${escapeHtml(name)}</li>`,
  );
  return `<figure class="plot"><figcaption>${title} <span>(${escapeHtml(unitText(plot))})</span></figcaption>${svg}<ul class="legend">${legend.join('')}</ul></figure>\n`;
}

/** Lines that the style sheet tells apart, by colour and by dashes. */
export const COLOURS = 6;

const unitText = ({ unit, scale }: Plot): string =>
  scale === 'nines' ? 'logarithmic: each line is ten times as much proof; UTC' : `${unit}; UTC`;

/** `reads of the source, p99: 1.2 … 9.8, last 2.1 ms`. */
export function description({ scale, unit }: Plot, series: readonly Series[]): string {
  const told = (value: number): string =>
    scale === 'nines' ? `${Math.floor(value * 1e8) / 1e6} %` : `${numberLabel(value)} ${unit}`;
  return series
    .map(({ name, points }) => {
      const values = points.map(([, value]) => value).toSorted((a, b) => a - b);
      return `${name}: smallest ${told(values[0] ?? 0)}, largest ${told(values.at(-1) ?? 0)}, last ${told(points.at(-1)?.[1] ?? 0)}.`;
    })
    .join(' ');
}

const at = (value: number, { low, high }: Axis, from: number, to: number): string =>
  (from + ((value - low) / (high - low)) * (to - from)).toFixed(1);
const across = (minute: number, x: Axis): string => at(minute, x, LEFT, WIDTH - RIGHT);
const up = (value: number, y: Axis): string => at(value, y, HEIGHT - BOTTOM, TOP);

function grid(x: Axis, y: Axis, { scale }: Plot): string {
  // Nines can be many: their labels are thinned, not their lines.
  const every = scale === 'nines' ? Math.ceil(y.ticks.length / 8) : 1;
  const rows = y.ticks.map((tick, index) => {
    const place = up(tick.at, y);
    const label =
      index % every === 0
        ? `<text x="${LEFT - 8}" y="${place}" dy="0.32em" text-anchor="end">${escapeHtml(tick.label)}</text>`
        : '';
    return `<line class="${index === 0 ? 'axis' : 'grid'}" x1="${LEFT}" y1="${place}" x2="${WIDTH - RIGHT}" y2="${place}"/>${label}`;
  });
  const columns = x.ticks.map((tick) => {
    const place = across(tick.at, x);
    return `<line class="axis" x1="${place}" y1="${HEIGHT - BOTTOM}" x2="${place}" y2="${HEIGHT - BOTTOM + 4}"/><text x="${place}" y="${HEIGHT - 8}" text-anchor="middle">${escapeHtml(tick.label)}</text>`;
  });
  return rows.join('') + columns.join('');
}

function line({ scale }: Plot, { points }: Series, number: number, x: Axis, y: Axis): string {
  const cumulative = scale === 'nines';
  const style = `s${number % COLOURS}`;
  const gap = Math.max(GAP_MINUTES, 2 * typicalStep(points));
  let before: number | null = null;
  const parts: string[][] = [];
  for (const [minute, value] of points) {
    const place = `${across(minute, x)} ${up(cumulative ? nines(value) : value, y)}`;
    // A proof stays where it was when nothing is compared; a measurement does not.
    if (before === null || (!cumulative && minute - before > gap)) parts.push([place]);
    else parts.at(-1)?.push(place);
    before = minute;
  }
  return parts
    .map((places) => {
      const [first = '0 0'] = places;
      const [cx, cy] = first.split(' ');
      return places.length === 1
        ? `<circle class="dot ${style}" cx="${cx}" cy="${cy}" r="3"/>`
        : `<path class="line ${style}" d="M${places.join('L')}"/>`;
    })
    .join('');
}

function typicalStep(points: Series['points']): number {
  const steps = points
    .slice(1)
    .map(([minute], index) => minute - (points[index]?.[0] ?? minute))
    .toSorted((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 1;
}
