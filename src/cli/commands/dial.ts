import { type AddCommand, collected, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { stateResult } from '../state-result.ts';

export const addDial: AddCommand = (program, perform) => {
  program
    .command('dial <percent>')
    .description('share of the reads that the target serves')
    .option(
      '--segment <name>',
      'a segment that the target serves whatever the dial; repeatable',
      collected,
    )
    .option('--no-segments', 'no segments')
    .action((percent: string, _options, command) => {
      const flags = flagsOf<{ readonly segment?: readonly string[]; readonly segments: boolean }>(
        command,
      );
      const segment = flags.segments ? flags.segment : [];
      return perform(flags, (context) => dial(context, percent, segment ? { segment } : {}));
    });
};

/** `dial`: the share of routing keys whose reads the target serves. */
function dial(
  context: CommandContext,
  percent: string,
  flags: { readonly segment?: readonly string[] },
): Promise<CommandResult> {
  const share = Number(percent.replace(/\s*%$/, ''));
  return withSession(context, { tolerateStores: true }, async ({ controller, act }) => {
    const state = await controller.dial(share, flags.segment, act);
    const segments = state.segments.length > 0 ? `, segments ${state.segments.join(', ')}` : '';
    return stateResult('dial', state, [
      `The target serves ${state.dialBasisPoints / 100} % of the reads${segments} (state version ${state.version}).`,
    ]);
  });
}
