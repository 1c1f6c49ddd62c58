import type { Plan } from '../../controller/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { phaseOf } from '../state-result.ts';
import { painter } from '../terminal-io.ts';
import { columns } from '../words.ts';
import { tones } from './status.ts';

export const addPlan: AddCommand = (program, perform) => {
  program
    .command('plan')
    .description('may we enter the next phase: evaluates the gates, changes nothing')
    .option('--to <phase>', 'another phase than the next')
    .action((_options, command) => {
      const flags = flagsOf<{ readonly to?: string }>(command);
      return perform(flags, (context) => plan(context, flags));
    });
};

/** `plan`: may we enter the next phase? Changes nothing. */
function plan(context: CommandContext, options: { readonly to?: string }): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller }) => {
    const made = await controller.plan(options.to === undefined ? undefined : phaseOf(options.to));
    const verdict = ({ pass: 'yes', fail: 'no', unknown: 'unknown' } as const)[made.verdict];
    const expect = `changeover ${made.to === 'write-switch' ? 'switch-writes' : 'advance'} --expect ${made.stateVersion}`;
    return {
      kind: 'plan',
      verdict,
      stateVersion: made.stateVersion,
      data: made,
      next: made.verdict === 'pass' ? [expect] : [],
      text: planText(made, context),
    };
  });
}

function planText(made: Plan, { io }: CommandContext): readonly string[] {
  const paint = painter(io);
  const rows = columns(made.gates.map(({ verdict, gate, message }) => [verdict, gate, message]));
  const painted = rows.map((row, index) => {
    const verdict = made.gates[index]?.verdict ?? 'unknown';
    return `  ${row.replace(verdict, paint(tones[verdict], verdict))}`;
  });
  return [
    `${made.from} → ${made.to} at state version ${made.stateVersion} (gates: ${made.profile}): ${made.verdict}`,
    ...painted,
  ];
}
