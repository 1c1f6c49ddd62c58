import { ChangeoverError } from '../../errors/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { stateResult } from '../state-result.ts';

export const addAttestGone: AddCommand = (program, perform) => {
  program
    .command('attest-gone <instance>')
    .description('your word that this instance does not run any more')
    .action((instance: string, _options, command) =>
      perform(flagsOf(command), (context) => attestGone(context, instance)),
    );
};

/** `attest-gone`: the operator's word that an instance does not run any more. */
function attestGone(context: CommandContext, instance: string): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller, act, globals }) => {
    if (!globals.reason?.trim()) {
      throw new ChangeoverError(
        'CONFIG_INVALID',
        'attest-gone needs --reason: how do you know? It is recorded.',
      );
    }
    await controller.attestGone(instance, act);
    const { state } = await controller.status();
    return stateResult('attest-gone', state, [
      `${instance} counts as gone. If it runs after all, its writes are refused or lost: be sure.`,
    ]);
  });
}
