/** Damage done on purpose after the story, so that a test can see the proof fail. */
export type Sabotage = 'lose' | 'spoil' | 'resurrect';

export interface StoryOptions {
  /** Customers of the legacy shop. Range 1 000 … 5 000 000. */
  readonly rows: number;
  readonly seed: number;
  /** Leave the databases up at the end, until Ctrl-C. */
  readonly keep: boolean;
  /** The last line on stdout is one JSON object; everything else goes to stderr. */
  readonly json: boolean;
  /** Lengths of the waits in which one only looks, as a factor. 1: for people. */
  readonly pace: number;
  readonly sabotage: Sabotage | null;
}

export const storyDefaults: StoryOptions = {
  rows: 200_000,
  seed: 1,
  keep: false,
  json: false,
  pace: 1,
  sabotage: null,
};

const sabotages: readonly Sabotage[] = ['lose', 'spoil', 'resurrect'];

/** For tests: `CHANGEOVER_DEMO_SABOTAGE`. */
export function sabotageFrom(env: Readonly<Record<string, string | undefined>>): Sabotage | null {
  const wanted = env['CHANGEOVER_DEMO_SABOTAGE'];
  return sabotages.find((one) => one === wanted) ?? null;
}
