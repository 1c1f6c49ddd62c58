import type { ParitySetting } from '../migration/index.ts';

/** Records of one turn: about a second's worth. */
const TURN_RECORDS_MAX = 200;
/** A collection that looks empty is looked at as if it had so many: the planner may not have counted yet. */
const RECORDS_MIN = 100;

/** How many records a turn compares, and how long after its beginning the next one is due. */
export interface ParityPace {
  readonly records: number;
  readonly everyMs: number;
}

/**
 * Spreads `share` of `records` (a sweep: all of them) evenly over the period, never faster than the limit. So what checking costs follows from what was asked for, and a collection that
 * grows is not checked less.
 */
export function parityPace(setting: ParitySetting, records: number): ParityPace {
  const share = setting.mode === 'sweep' ? 1 : setting.share;
  const wanted = (share * Math.max(RECORDS_MIN, records)) / (setting.periodMinutes * 60);
  const perSecond = Math.min(setting.recordsPerSecondMax, wanted);
  const turn = Math.min(TURN_RECORDS_MAX, Math.max(1, Math.ceil(perSecond)));
  return { records: turn, everyMs: perSecond === 0 ? Infinity : (turn * 1_000) / perSecond };
}
