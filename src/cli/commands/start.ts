import { type AddCommand, flagsOf } from '../command-line.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { stateResult } from '../state-result.ts';

export const addStart: AddCommand = (program, perform) => {
  program
    .command('start')
    .description('install both stores and begin to follow')
    .option('--shadow', 'begin with shadow writes')
    .option('--truncate-target', 'delete the rows that the target holds')
    .option('--reconcile', 'keep the rows that the target holds; verify and repair make them right')
    .action((_options, command) => {
      const flags = flagsOf<StartFlags>(command);
      return perform(flags, (context) => start(context, flags));
    });
};

interface StartFlags {
  readonly shadow?: boolean;
  readonly truncateTarget?: boolean;
  readonly reconcile?: boolean;
}

/** `start`: installs both stores and begins to follow. */
function start(context: CommandContext, flags: StartFlags): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, act, migration }) => {
    const before = await migration.control.load(migration.migration.name);
    if (flags.truncateTarget && before.phase === 'off') {
      const question = `Every row of the collections ${[...migration.migration.collections.keys()].join(', ')} in the target ${migration.definition.target.display} will be deleted.`;
      const refusal = await confirmed(context, question, before.version);
      if (refusal) return refusal;
    }
    const state = await controller.start({
      ...act,
      shadow: flags.shadow === true,
      truncateTarget: flags.truncateTarget === true,
      reconcile: flags.reconcile === true,
    });
    const collections = [...migration.migration.collections.values()];
    const unchanged = collections.every(({ capture }) => capture === 'log');
    return {
      ...stateResult('start', state, [
        `${state.migration} is in ${state.phase} (state version ${state.version}).`,
        unchanged
          ? 'Run a worker (`changeover run`): it follows the log, whoever writes.'
          : 'Run a worker (`changeover run`), and let every process that writes use the router.',
      ]),
      next: ['changeover run', 'changeover status', 'changeover advance'],
    };
  });
}
