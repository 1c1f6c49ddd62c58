import { clockTime } from './answers.ts';
import type { GateForecast } from './gate.ts';
import { comparisonsNeeded } from './parity-bound.ts';
import { type ParityEvidence, RATE_MINUTES } from './parity-evidence.ts';
import type { GateProfile } from './profile.ts';

/**
 * When so much will be proven if comparisons go on at the rate of the last minutes and no further mismatch comes: by more comparisons beside the
 * mismatches of the window, or without these once the window has passed over the last of them, whichever is earlier.
 */
export function parityForecast(
  { independent, recent, confirmed, confirmedMinute, firstMinute }: ParityEvidence,
  nowMs: number,
  { parity, confidence, windowMinutes }: GateProfile,
): GateForecast {
  if (recent === 0)
    return {
      atMs: null,
      text: `cannot be predicted: nothing new was compared in the last ${RATE_MINUTES} minutes`,
    };
  const nowMinute = nowMs / 60_000;
  const seen = Math.min(RATE_MINUTES, Math.max(1, nowMinute - (firstMinute ?? nowMinute)));
  const perMinute = recent / seen;
  const ways: GateForecast[] = [];
  const missing = comparisonsNeeded(confirmed, parity, confidence) - independent - confirmed;
  const rate = `${Math.round(perMinute)} new ones a minute`;
  // What a whole window can hold, at this rate.
  if (missing + independent <= Math.max(independent, perMinute * windowMinutes)) {
    const atMs = nowMs + (Math.max(0, missing) / perMinute) * 60_000;
    ways.push({ atMs, text: `${Math.max(0, missing)} comparisons more at ${rate}` });
  }
  if (confirmed > 0 && confirmedMinute !== null) {
    const needed = comparisonsNeeded(0, parity, confidence);
    const passedMs = (confirmedMinute + windowMinutes + 1) * 60_000;
    // By then only what came after the last mismatch is left, and what comes until then.
    const enough = perMinute * windowMinutes >= needed;
    if (enough)
      ways.push({
        atMs: Math.max(passedMs, nowMs + ((needed - recent) / perMinute) * 60_000),
        text: `the last mismatch leaves the window at ${clockTime(passedMs)}`,
      });
  }
  const [best] = ways.sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0));
  return (
    best ?? {
      atMs: null,
      text: `cannot be predicted: at ${rate} a window of ${windowMinutes} minutes never holds enough`,
    }
  );
}
