import type { Finding, StoreSpace } from '../store/index.ts';
import { size } from './words.ts';

/** A worker may stand still from Friday evening to Monday morning. */
const WEEKEND_HOURS = 64;

/** What is known of both sides; null: not told. */
export interface SpaceFacts {
  /** Tables of the source with their indexes. */
  readonly sourceBytes: number | null;
  /** The same of the target, where a copy may have begun. */
  readonly targetBytes: number | null;
  readonly source: StoreSpace | null;
  readonly target: StoreSpace | null;
  /** Something is captured from the log, which is then kept for a worker that stands still. */
  readonly logged: boolean;
}

/** Will the copy fit, and what does a worker that stands still leave lying? An estimate: the tables of the target may be larger or smaller than those of the source. */
export function spaceFindings(facts: SpaceFacts): readonly Finding[] {
  return [...copyFindings(facts), ...(facts.logged ? logFindings(facts.source) : [])];
}

function copyFindings({ sourceBytes, targetBytes, target }: SpaceFacts): readonly Finding[] {
  if (sourceBytes === null) return [];
  const needed = Math.max(0, sourceBytes - (targetBytes ?? 0));
  const told = `The tables of the source hold ${size(sourceBytes)} with their indexes, those of the target ${size(targetBytes ?? 0)}: about ${size(needed)} are still to come, and as much again in the target's log while it is copied`;
  const free = target?.freeBytes ?? null;
  const id = 'space/target';
  if (free === null) {
    const unread = target?.unread ?? 'it does not tell';
    return [
      {
        id,
        verdict: 'pass',
        message: `${told}. How much is free there is not known: ${unread}.`,
        fix: '',
      },
    ];
  }
  const message = `${told}; ${size(free)} are free.`;
  if (free >= 2 * needed) return [{ id, verdict: 'pass', message, fix: '' }];
  const fix = 'Make room first: a server whose disk is full stops for everybody.';
  return [{ id, verdict: free < needed ? 'fail' : 'warn', message, fix }];
}

function logFindings(source: StoreSpace | null): readonly Finding[] {
  const rate = source?.logBytesPerHour ?? null;
  if (rate === null) return [];
  const kept = rate * WEEKEND_HOURS;
  const free = source?.freeBytes ?? null;
  const message = `The source has written ${size(rate)} of log an hour on average: a worker that stands still over a weekend leaves ${size(kept)}${free === null ? '' : `; ${size(free)} are free`}.`;
  const id = 'space/log';
  if (free === null || free > kept) return [{ id, verdict: 'pass', message, fix: '' }];
  const fix =
    'Make room, let somebody watch the worker, or limit what is kept (docs/guides/log-capture.md).';
  return [{ id, verdict: 'warn', message, fix }];
}
