import { refuseForeignGuard } from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { stateResult } from '../state-result.ts';

export const addAbort: AddCommand = (program, perform) => {
  program
    .command('abort')
    .description('give up: back to off, everything of ours removed')
    .option(
      '--take-over',
      'the control store that ran it is lost for good and every process is stopped; needs --reason',
    )
    .action((_options, command) => {
      const flags = flagsOf<{ readonly takeOver?: boolean }>(command);
      return perform(flags, (context) => end(context, 'abort', flags.takeOver === true));
    });
};

export const addDecommission: AddCommand = (program, perform) => {
  program
    .command('decommission')
    .description('after the end: remove everything of ours')
    .action((_options, command) =>
      perform(flagsOf(command), (context) => end(context, 'decommission')),
    );
};

const guardMs = 2_000;

/** `abort` and `decommission`: the two ends. Both remove what is ours from both stores. */
function end(
  context: CommandContext,
  how: 'abort' | 'decommission',
  takeOver = false,
): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, act, migration }: Session) => {
    const state = await migration.control.load(migration.migration.name);
    const what =
      how === 'abort'
        ? `"${state.migration}" will be given up: back to off, and everything of ours is removed from both stores.`
        : `Everything of ours will be removed from both stores of "${state.migration}".`;
    if (takeOver && !context.globals.reason?.trim()) {
      throw new ChangeoverError(
        'CONFIG_INVALID',
        '--take-over needs --reason: how do you know that the other control store is lost, and nobody writes? It is recorded.',
      );
    }
    // Before the question: a yes must not be asked for what will be refused.
    if (!takeOver) await refuseForeignGuard(migration, { deadlineMs: guardMs });
    const refusal = await confirmed(context, what, state.version);
    if (refusal) return refusal;
    const after =
      how === 'abort'
        ? await controller.abort({ ...act, takeOver })
        : await controller.decommission(act);
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
