import { parseArgs } from 'node:util';
import type { Sabotage } from '../../src/demo/story-options.ts';

/** How writes travel in a run. `outbox`: by trigger. `log`: by the store's own log. */
export const writeModes = [
  'serial',
  'parallel',
  'deferred',
  'fail-closed',
  'outbox',
  'log',
] as const;
export type WriteMode = (typeof writeModes)[number];

export interface ChaosOptions {
  /** Faults to inject. The run goes on until all were injected, or `minutes` are over. */
  readonly rounds: number;
  readonly seed: number;
  /** No new fault after so many minutes. */
  readonly minutes: number;
  readonly mode: WriteMode;
  readonly control: 'postgres' | 'sqlite';
  /** Customers at the beginning. */
  readonly rows: number;
  /** Changes of authority that the operator makes before it may finish. */
  readonly switches: number;
  /** Damage done to the target behind everybody's back at the end: the judge has to find it. */
  readonly sabotage: Sabotage | null;
  /** Only these kinds of fault, when given. */
  readonly only: readonly string[];
}

const usage = `npm run chaos -- [options]
  --rounds N        faults to inject (default 26)
  --seed S          chance of faults and workload (default: drawn)
  --minutes M       no new fault after M minutes (default 2)
  --mode MODE       ${writeModes.join(' | ')} (default: by seed)
  --control STORE   postgres | sqlite (default: by seed)
  --rows N          customers at the beginning (default 4000)
  --switches N      changes of authority at least (default 3: there, back, there)
  --only A,B        only these kinds of fault
  --sabotage KIND   lose | spoil | resurrect: damage the target at the end; the run must fail`;

/** Throws an Error with the usage for anything that it does not know. */
export function parseChaosOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '26' },
      seed: { type: 'string' },
      minutes: { type: 'string', default: '2' },
      mode: { type: 'string' },
      control: { type: 'string' },
      rows: { type: 'string', default: '4000' },
      switches: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      sabotage: { type: 'string' },
    },
  });
  const seed = number('seed', values.seed ?? String(Date.now() % 100_000), 0);
  return {
    rounds: number('rounds', values.rounds, 0),
    seed,
    minutes: number('minutes', values.minutes, 0),
    mode: oneOf('mode', values.mode ?? writeModes[seed % writeModes.length], writeModes),
    control: oneOf('control', values.control ?? (seed % 3 === 0 ? 'sqlite' : 'postgres'), [
      'postgres',
      'sqlite',
    ] as const),
    rows: number('rows', values.rows, 100),
    switches: number('switches', values.switches, 0),
    only: values.only === '' ? [] : values.only.split(','),
    sabotage:
      values.sabotage === undefined
        ? null
        : oneOf('sabotage', values.sabotage, ['lose', 'spoil', 'resurrect'] as const),
  };
}

const number = (name: string, text: string, min: number): number =>
  readNumber(name, text, min, usage);
const oneOf = <T extends string>(name: string, text: string | undefined, known: readonly T[]): T =>
  readChoice(name, text, known, usage);

/** The number of an option; throws an Error with the usage. */
export function readNumber(name: string, text: string, min: number, help: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < min)
    throw new Error(`--${name} ${text} is not a number from ${min} on.\n\n${help}`);
  return value;
}

/** The one of `known` that an option names; throws an Error with the usage. */
export function readChoice<T extends string>(
  name: string,
  text: string | undefined,
  known: readonly T[],
  help: string,
): T {
  const found = known.find((one) => one === text);
  if (found === undefined)
    throw new Error(`--${name} ${text} is none of ${known.join(', ')}.\n\n${help}`);
  return found;
}
