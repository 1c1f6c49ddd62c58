import { type AddCommand, flagsOf } from '../command-line.ts';
import { planned } from './plan.ts';

export const addGate: AddCommand = (program, perform) => {
  program
    .command('gate')
    .description('for CI: do the gates before a phase pass, each with what it saw and when it can')
    .option('--to <phase>', 'another phase than the next')
    .addHelpText(
      'after',
      '\nEnds with 0 when all pass, with 1 when one fails, with 3 when none fails but one is unknown, with 4 when that phase cannot be entered from here. Nothing is changed.',
    )
    .action((_options, command) => {
      const flags = flagsOf<{ readonly to?: string }>(command);
      return perform(flags, (context) => planned('gate', context, flags));
    });
};
