import { parseArgs } from 'node:util';
import { type CutoverStep, cutoverSteps } from '../../src/cutover/index.ts';
import { readChoice, readNumber, type WriteMode, writeModes } from './chaos-options.ts';

/** What is done at a step; see switch-faults.ts. */
export const switchFaultNames = [
  'none',
  'kill-coordinator',
  'kill-instance',
  'freeze-instance',
  'kill-source',
  'kill-target',
  'kill-control',
  'cut-source',
  'cut-target',
  'cut-control',
  'mute-source',
  'mute-target',
  'mute-control',
  'clock-jump',
] as const;
export type SwitchFaultName = (typeof switchFaultNames)[number];

export interface SwitchChaosOptions {
  readonly steps: readonly CutoverStep[];
  readonly faults: readonly SwitchFaultName[];
  readonly seed: number;
  /** Cells of the way back: one for each fault (`sample`), or all. */
  readonly back: 'none' | 'sample' | 'full';
  /** The fault strikes before the step, or while it runs. */
  readonly timing: 'before' | 'inside';
  readonly mode: WriteMode;
  /** Who writes: routers, or programs with SQL of their own whose writes the log tells. */
  readonly capture: 'router' | 'log';
  readonly rows: number;
  /** The result as JSON on stdout; the account of the run goes to stderr. */
  readonly json: boolean;
}

const usage = `npm run chaos -- switch [options]
  --steps A,B      only these steps: ${cutoverSteps.join(', ')}
  --faults X,Y     only these faults: ${switchFaultNames.join(', ')}
  --back HOW       cells of the way back: none | sample (one for each fault, default) | full
  --timing WHEN    the fault strikes before the step (default) or inside of it
  --mode MODE      how routers write: ${writeModes.join(' | ')} (default: serial)
  --capture WHO    router (default) | log: programs with SQL of their own, followed by the log
  --seed S         chance of victims, times and workload (default: drawn)
  --rows N         customers at the beginning (default 400)
  --json           the result as JSON on stdout`;

/** Throws an Error with the usage for anything that it does not know. */
export function parseSwitchOptions(args: readonly string[]): SwitchChaosOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      steps: text,
      faults: text,
      back: { type: 'string', default: 'sample' },
      timing: { type: 'string', default: 'before' },
      mode: text,
      capture: { type: 'string', default: 'router' },
      seed: text,
      rows: { type: 'string', default: '400' },
      json: { type: 'boolean', default: false },
    },
  });
  const capture = readChoice('capture', values.capture, ['router', 'log'] as const, usage);
  const byDefault = capture === 'log' ? 'log' : 'serial';
  return {
    steps: some('steps', values.steps, cutoverSteps),
    faults: some('faults', values.faults, switchFaultNames).filter(
      (fault) => values.faults !== undefined || fault !== 'none',
    ),
    seed: readNumber('seed', values.seed ?? String(Date.now() % 100_000), 0, usage),
    back: readChoice('back', values.back, ['none', 'sample', 'full'] as const, usage),
    timing: readChoice('timing', values.timing, ['before', 'inside'] as const, usage),
    mode: readChoice('mode', values.mode ?? byDefault, writeModes, usage),
    capture,
    rows: readNumber('rows', values.rows, 100, usage),
    json: values.json,
  };
}

/** Some of what is known, in its order; everything when nothing is said. */
function some<T extends string>(
  name: string,
  text: string | undefined,
  known: readonly T[],
): readonly T[] {
  if (text === undefined) return known;
  const named = text.split(',').map((one) => readChoice(name, one.trim(), known, usage));
  return known.filter((one) => named.includes(one));
}
