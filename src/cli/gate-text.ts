import type { Plan } from '../controller/index.ts';
import type { GateForecast, GateVerdict } from '../gates/index.ts';
import type { Paint, Tone } from './terminal-io.ts';
import type { Verdict } from './verdict.ts';
import { columns, duration } from './words.ts';

const tones: Readonly<Record<GateVerdict, Tone>> = { pass: 'good', fail: 'bad', unknown: 'doubt' };

/** How a question with these gates is answered. */
export const verdictOfGates: Readonly<Record<GateVerdict, Verdict>> = {
  pass: 'yes',
  fail: 'no',
  unknown: 'unknown',
};

/** `earliest 2026-11-21 14:20 UTC, in 1 h 5 min: …`, or why there is no time. Empty: it passes. */
export function earliestText(earliest: GateForecast | null, nowMs: number): string {
  if (earliest === null) return '';
  const { atMs, text } = earliest;
  if (atMs === null) return text;
  const at = `${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return `earliest ${at}, in ${duration(Math.max(0, atMs - nowMs))}: ${text}`;
}

/** Each gate with what it saw, and under it when it can pass. */
export function gateLines(gates: Plan['gates'], nowMs: number, paint: Paint): readonly string[] {
  const rows = columns(gates.map(({ verdict, gate, message }) => [verdict, gate, message]));
  const indent = ' '.repeat(11);
  return gates.flatMap(({ verdict, earliest }, index) => {
    const line = `  ${(rows[index] ?? '').replace(verdict, paint(tones[verdict], verdict))}`;
    const when = earliestText(earliest, nowMs);
    return when === '' ? [line] : [line, paint('faint', `${indent}${when}`)];
  });
}

/** The plan in a line, its gates, and when all of them can pass. */
export function planLines(plan: Plan, nowMs: number, paint: Paint): readonly string[] {
  const { from, to, stateVersion, profile, verdict, hash, gates } = plan;
  const all = earliestText(plan.earliest, nowMs);
  return [
    `${from} → ${to} at state version ${stateVersion} (gates: ${profile}; plan ${hash}): ${verdict}`,
    ...gateLines(gates, nowMs, paint),
    ...(all === '' ? [] : [`All gates: ${all}`]),
  ];
}

/** The command that makes the planned step. */
export const stepCommand = ({ to, stateVersion }: Plan): string =>
  `changeover ${to === 'write-switch' ? 'switch-writes' : 'advance'} --expect ${stateVersion}`;
