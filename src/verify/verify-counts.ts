import type { MismatchKind } from '../control/index.ts';
import type { Decision } from './rechecker.ts';

/** What a verification has counted so far. */
export interface CountsNow {
  readonly compared: number;
  readonly suspects: number;
  readonly transient: number;
  readonly persistent: Readonly<Record<MismatchKind, number>>;
  readonly waiting: number;
  readonly dead: number;
  readonly hot: number;
  readonly unresolved: number;
}

export interface Counts {
  now(): CountsNow;
  compared(pairs: number, suspects: number): void;
  decided(decision: Decision): void;
}

export const noCounts: CountsNow = {
  compared: 0,
  suspects: 0,
  transient: 0,
  persistent: { missing: 0, extra: 0, different: 0 },
  waiting: 0,
  dead: 0,
  hot: 0,
  unresolved: 0,
};

/** `total` of the kinds. */
export function persistentTotal(counts: Pick<CountsNow, 'persistent'>): number {
  const { missing, extra, different } = counts.persistent;
  return missing + extra + different;
}

/** @param begun what an earlier process has counted of the same verification */
export function createCounts(begun: CountsNow): Counts {
  let now = begun;
  return {
    now: () => now,
    compared(pairs, suspects) {
      now = { ...now, compared: now.compared + pairs, suspects: now.suspects + suspects };
    },
    decided({ verdict, difference, standing, hot }) {
      const persistent = verdict === 'persistent';
      const kind = difference?.kind ?? 'different';
      now = {
        ...now,
        transient: now.transient + Number(verdict === 'transient'),
        unresolved: now.unresolved + Number(verdict === 'unresolved'),
        hot: now.hot + Number(hot),
        waiting: now.waiting + Number(verdict === 'unresolved' && standing === 'waiting'),
        dead: now.dead + Number(persistent && standing === 'dead'),
        persistent: persistent
          ? { ...now.persistent, [kind]: now.persistent[kind] + 1 }
          : now.persistent,
      };
    },
  };
}
