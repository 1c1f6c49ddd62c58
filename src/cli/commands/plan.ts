import { type AddCommand, flagsOf } from '../command-line.ts';
import { planLines, stepCommand, verdictOfGates } from '../gate-text.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { phaseOf } from '../state-result.ts';
import { painter } from '../terminal-io.ts';

export const addPlan: AddCommand = (program, perform) => {
  program
    .command('plan')
    .description('may we enter the next phase: evaluates the gates, changes nothing')
    .option('--to <phase>', 'another phase than the next')
    .action((_options, command) => {
      const flags = flagsOf<{ readonly to?: string }>(command);
      return perform(flags, (context) => planned('plan', context, flags));
    });
};

/** `plan` and `gate`: may we enter the next phase? Changes nothing. Whoever asks is taken for the one who would advance. */
export function planned(
  kind: 'plan' | 'gate',
  context: CommandContext,
  { to }: { readonly to?: string },
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller, act, migration }) => {
    const made = await controller.plan(to === undefined ? undefined : phaseOf(to), act.actor);
    return {
      kind,
      verdict: verdictOfGates[made.verdict],
      stateVersion: made.stateVersion,
      data: made,
      next: made.verdict === 'pass' ? [stepCommand(made)] : [],
      text: planLines(made, migration.runtime.clock.now(), painter(context.io)),
    };
  });
}
