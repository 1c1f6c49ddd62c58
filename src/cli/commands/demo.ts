import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import type { Verdict } from '../verdict.ts';

export const addDemo: AddCommand = (program, perform) => {
  program
    .command('demo')
    .description('a whole migration on servers of its own, with proof')
    .option('--once', 'end when the story is told (the default; --keep stays)')
    .option('--keep', 'leave the databases up until Ctrl-C')
    .option('--rows <rows>', 'customers of the shop', whole)
    .option('--seed <seed>', 'another shop', whole)
    .option('--pace <factor>', 'length of the waits for onlookers, 0 … 1', Number)
    .action((_options, command) => {
      const flags = flagsOf<DemoFlags>(command);
      return perform(flags, () => demo(flags));
    });
};

interface DemoFlags {
  readonly json?: boolean;
  readonly keep?: boolean;
  readonly rows?: number;
  readonly seed?: number;
  readonly pace?: number;
}

/** `demo`: the whole story on its own servers. It draws its own screen; the result carries the exit status only. */
async function demo(flags: DemoFlags): Promise<CommandResult> {
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
    drawn: { exitCode },
  };
}
