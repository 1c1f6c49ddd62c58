import { messageOf } from '../errors/index.ts';
import type { Clock } from '../runtime/index.ts';
import type { Finding } from '../store/index.ts';
import { duration } from './words.ts';

/** Beyond this, ages that are shown and moments that are compared by eye mislead. */
const SKEW_MS = 1_000;
/** The answer that came back first is the one that tells most. */
const READINGS = 3;

/** How far a clock is before this host's, and by how much that may be wrong: half of the round trip. */
interface Skew {
  readonly aheadMs: number;
  readonly doubtMs: number;
}

/** The clocks of this host, both stores and the control store. Order and leases do not depend on this host's; displays and waits do. Throws nothing. */
export async function clockFindings(
  clock: Clock,
  readings: Readonly<Record<string, () => Promise<number>>>,
): Promise<readonly Finding[]> {
  const skews = new Map<string, Skew>();
  const found: Finding[] = [];
  for (const [name, read] of Object.entries(readings)) {
    try {
      skews.set(name, await skewOf(clock, read));
    } catch (error) {
      found.push({
        id: 'clock/unread',
        verdict: 'warn',
        message: `The clock of the ${name} could not be read: ${messageOf(error)}`,
        fix: 'Remove the cause of the error and check again.',
      });
    }
  }
  const told = [...skews];
  for (const [index, [name, one]] of told.entries()) {
    found.push(...compared(`The clock of the ${name}`, "this host's", one));
    for (const [other, two] of told.slice(index + 1)) {
      const between = {
        aheadMs: one.aheadMs - two.aheadMs,
        doubtMs: one.doubtMs + two.doubtMs,
      };
      found.push(...compared(`The clock of the ${name}`, `that of the ${other}`, between));
    }
  }
  if (found.length > 0 || told.length === 0) return found;
  const widest = told.map(([name, skew]) => `${name} ${asText(skew)}`).join(', ');
  return [{ id: 'clock/skew', verdict: 'pass', message: `The clocks agree: ${widest}.`, fix: '' }];
}

async function skewOf(clock: Clock, read: () => Promise<number>): Promise<Skew> {
  let best: Skew | null = null;
  for (let reading = 0; reading < READINGS; reading += 1) {
    const [before, started] = [clock.now(), clock.monotonic()];
    const there = await read();
    const doubtMs = (clock.monotonic() - started) / 2;
    if (best === null || doubtMs < best.doubtMs)
      best = { aheadMs: there - (before + doubtMs), doubtMs };
  }
  return best as Skew;
}

function compared(which: string, than: string, skew: Skew): readonly Finding[] {
  if (Math.abs(skew.aheadMs) - skew.doubtMs <= SKEW_MS) return [];
  return [
    {
      id: 'clock/skew',
      verdict: 'warn',
      message: `${which} differs from ${than} by ${asText(skew)}. Order never depends on clocks, and leases go by the control store's alone; ages that are shown, and times in logs, mislead.`,
      fix: 'Run NTP on all hosts.',
    },
  ];
}

const asText = ({ aheadMs, doubtMs }: Skew): string =>
  `${aheadMs < 0 ? '-' : '+'}${duration(Math.abs(aheadMs))} (± ${duration(Math.ceil(doubtMs))})`;
