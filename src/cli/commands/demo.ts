import type { CommandResult } from '../result.ts';
import type { Verdict } from '../verdict.ts';

export interface DemoFlags {
  readonly json?: boolean;
  readonly keep?: boolean;
  readonly rows?: number;
  readonly seed?: number;
  readonly pace?: number;
}

/** `demo`: the whole story on its own servers. It draws its own screen; the result carries the exit status only. */
export async function demo(
  flags: DemoFlags,
): Promise<CommandResult & { readonly silent: true; readonly exitCode: number }> {
  const { runDemo } = await import('../../demo/story.ts');
  const { sabotageFrom, storyDefaults } = await import('../../demo/story-options.ts');
  const exitCode = await runDemo(
    {
      ...storyDefaults,
      json: flags.json === true,
      keep: flags.keep === true,
      rows: flags.rows ?? storyDefaults.rows,
      seed: flags.seed ?? storyDefaults.seed,
      pace: flags.pace ?? storyDefaults.pace,
      sabotage: sabotageFrom(process.env),
    },
    process,
  );
  const verdict: Verdict = exitCode === 0 ? 'done' : 'no';
  return {
    kind: 'demo',
    verdict,
    stateVersion: null,
    data: null,
    next: [],
    text: [],
    silent: true,
    exitCode,
  };
}
