import { type AddCommand, flagsOf } from '../command-line.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { stateResult } from '../state-result.ts';

export const addAbort: AddCommand = (program, perform) => {
  program
    .command('abort')
    .description('give up: back to off, everything of ours removed')
    .action((_options, command) => perform(flagsOf(command), (context) => end(context, 'abort')));
};

export const addDecommission: AddCommand = (program, perform) => {
  program
    .command('decommission')
    .description('after the end: remove everything of ours')
    .action((_options, command) =>
      perform(flagsOf(command), (context) => end(context, 'decommission')),
    );
};

/** `abort` and `decommission`: the two ends. Both remove what is ours from both stores. */
function end(context: CommandContext, how: 'abort' | 'decommission'): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, act, migration }: Session) => {
    const state = await migration.control.load(migration.migration.name);
    const what =
      how === 'abort'
        ? `"${state.migration}" will be given up: back to off, and everything of ours is removed from both stores.`
        : `Everything of ours will be removed from both stores of "${state.migration}".`;
    const refusal = await confirmed(context, what, state.version);
    if (refusal) return refusal;
    const after = await controller[how](act);
    const left = {
      source: await migration.stores.source.setup.objects(),
      target: await migration.stores.target.setup.objects(),
    };
    const objects = left.source.length + left.target.length;
    const done = stateResult(
      how,
      after,
      [`${after.migration} is ${after.phase}; ${objects} objects of ours are left in the stores.`],
      { left },
    );
    return objects === 0 ? done : { ...done, verdict: 'partial' };
  });
}
