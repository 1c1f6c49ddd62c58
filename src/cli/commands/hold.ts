import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { stateResult } from '../state-result.ts';

export const addHold: AddCommand = (program, perform) => {
  program
    .command('hold')
    .description('hold background work; live writes go on')
    .action((_options, command) => perform(flagsOf(command), (context) => holdWork(context, true)));
};

export const addResume: AddCommand = (program, perform) => {
  program
    .command('resume')
    .description('let background work go on')
    .action((_options, command) =>
      perform(flagsOf(command), (context) => holdWork(context, false)),
    );
};

/** `hold` and `resume`: background work; live writes go on. */
function holdWork(context: CommandContext, held: boolean): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller, act }) => {
    const state = await (held ? controller.hold(act) : controller.resume(act));
    const text = held
      ? 'Background work is held: backfill, verify, repair. Live writes go on.'
      : 'Background work goes on.';
    return stateResult(held ? 'hold' : 'resume', state, [text]);
  });
}
