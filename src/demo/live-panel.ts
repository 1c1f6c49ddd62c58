import type { Phase } from '../migration/index.ts';
import {
  bar,
  clock,
  count,
  displayWidth,
  duration,
  type Paint,
  pad,
  sparkline,
} from './terminal-style.ts';

/** A bar with its words. */
export interface PanelProgress {
  readonly label: string;
  /** 0 … 1; null: unknown. */
  readonly ratio: number | null;
  readonly text: string;
}

/** Everything that the live part of the screen shows. */
export interface PanelView {
  readonly phase: Phase;
  /** The phases that this story goes through, in order. */
  readonly phases: readonly Phase[];
  readonly dialBasisPoints: number;
  /** What is going on, in a few words. */
  readonly activity: string;
  readonly progress: PanelProgress | null;
  /** Why background work waits; null: it does not. */
  readonly throttle: string | null;
  /** Per 200 ms, newest last. */
  readonly writeRates: readonly number[];
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
  readonly targetReadRatio: number;
  readonly slowestWriteMs: number;
  readonly failedRequests: number;
  readonly acknowledgedWrites: number;
  readonly queueDepths: readonly number[];
  readonly queueWaiting: number;
  readonly deadLetters: number;
  readonly authority: 'source' | 'target';
  readonly sourceUp: boolean;
  readonly targetUp: boolean;
  readonly elapsedMs: number;
}

const labelWidth = 12;
const railNarrowBelow = 104;
/** A handful of changes under way is the usual: it shall not look like a flood. */
const queueTopMin = 40;

/** The live part of the screen as lines of at most `width` columns; pure. */
export function renderPanel(view: PanelView, width: number, paint: Paint): readonly string[] {
  const inner = Math.max(40, Math.min(width - 2, 118));
  return [
    '',
    rule(view, inner, paint),
    ` ${rail(view, inner, paint)}`,
    '',
    progressLine(view, inner, paint),
    trafficLine(view, inner, paint),
    queueLine(view, inner, paint),
    storesLine(view, paint),
  ];
}

function rule(view: PanelView, width: number, paint: Paint): string {
  const left = `─ ${view.activity} `;
  const right = ` ${clock(view.elapsedMs)} ─`;
  const line = '─'.repeat(Math.max(0, width - displayWidth(left) - displayWidth(right)));
  return ` ${paint('dim', '─ ')}${paint('strong', view.activity)} ${paint('dim', line)}${paint('dim', right)}`;
}

function rail(view: PanelView, width: number, paint: Paint): string {
  const here = view.phases.indexOf(view.phase);
  const narrow = width < railNarrowBelow;
  const stations = view.phases.map((phase, index) => {
    const dial =
      phase === 'read-switch' && index === here ? ` ${view.dialBasisPoints / 100} %` : '';
    if (index < here) return paint('good', narrow ? '●' : `● ${phase}`);
    if (index === here) return paint('accent', paint('strong', `◉ ${phase}${dial}`));
    return paint('dim', narrow ? '○' : `○ ${phase}`);
  });
  return stations
    .map((station, index) =>
      index === 0 ? station : `${paint(index <= here ? 'good' : 'dim', '──')} ${station}`,
    )
    .join(' ');
}

function label(text: string, paint: Paint): string {
  return ` ${paint('dim', pad(text, labelWidth))}`;
}

function progressLine(view: PanelView, width: number, paint: Paint): string {
  const { progress, throttle } = view;
  if (!progress) return label('', paint);
  const barWidth = gaugeWidth(width);
  const { full, rest } = bar(progress.ratio ?? 0, barWidth);
  const tone = throttle === null ? 'accent' : 'warn';
  const percent =
    progress.ratio === null ? '' : pad(`${Math.floor(progress.ratio * 100)} %`, 6, 'right');
  const words = throttle === null ? progress.text : paint('warn', `waits: ${throttle}`);
  return `${label(progress.label, paint)}${paint(tone, full)}${paint('dim', rest)}${percent}  ${words}`;
}

function trafficLine(view: PanelView, width: number, paint: Paint): string {
  const spark = paint('accent', sparkline(view.writeRates, gaugeWidth(width)));
  const share =
    view.targetReadRatio > 0
      ? paint('accent', ` (${shareText(view.targetReadRatio)} from target)`)
      : '';
  const failed =
    view.failedRequests === 0
      ? paint('good', 'none failed')
      : paint('bad', `${view.failedRequests} FAILED`);
  return (
    `${label('application', paint)}${spark}  ${paint('strong', pad(count(view.writesPerSecond), 4, 'right'))} writes/s` +
    ` · ${paint('strong', pad(count(view.readsPerSecond), 3, 'right'))} reads/s${share} · ${failed}` +
    ` · slowest ${duration(view.slowestWriteMs)}`
  );
}

function shareText(ratio: number): string {
  return ratio > 0.995 ? 'all' : `${Math.round(ratio * 100)} %`;
}

function queueLine(view: PanelView, width: number, paint: Paint): string {
  const tone = view.queueWaiting > 20 ? 'warn' : 'accent';
  const spark = paint(tone, sparkline(view.queueDepths, gaugeWidth(width), queueTopMin));
  const dead =
    view.deadLetters === 0
      ? paint('dim', 'no dead letters')
      : paint('bad', `${view.deadLetters} dead letters`);
  return `${label('queue', paint)}${spark}  ${paint('strong', pad(count(view.queueWaiting), 4, 'right'))} waiting  · ${dead}`;
}

function storesLine(view: PanelView, paint: Paint): string {
  const store = (name: 'source' | 'target', words: string, up: boolean): string => {
    const mark = up ? paint('good', '▲') : paint('bad', '▼');
    const role = view.authority === name ? paint('strong', 'decides') : paint('dim', 'follows');
    return `${mark} ${name} ${paint('dim', words)} ${up ? role : paint('bad', 'DOWN')}`;
  };
  return `${label('stores', paint)}${store('source', '(legacy)', view.sourceUp)}    ${store('target', '(modern)', view.targetUp)}    ${paint('dim', `${count(view.acknowledgedWrites)} writes acknowledged`)}`;
}

/** Of bars and lines of blocks. */
function gaugeWidth(width: number): number {
  return Math.max(12, Math.min(30, width - 86));
}
