import { type AddCommand, flagsOf } from '../command-line.ts';
import { gateLines, stepCommand } from '../gate-text.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { phaseOf } from '../state-result.ts';
import { painter } from '../terminal-io.ts';

export const addApprove: AddCommand = (program, perform) => {
  program
    .command('approve')
    .description('say yes to a step that somebody else will make')
    .argument('<phase>', 'the phase to be entered')
    .option('--as <name>', 'who approves; default user@host')
    .addHelpText(
      'after',
      '\nNeeds --reason. The approval holds for the state, comparator, thresholds and gates of now, and expires (approvals.validMinutes). The name is a claim: it stands in the audit, and nothing proves who typed it.',
    )
    .action((phase: string, _options, command) => {
      const flags = flagsOf<ApproveFlags>(command);
      return perform(flags, (context) => approve(context, phase, flags));
    });
};

interface ApproveFlags {
  readonly as?: string;
}

/** `approve`: one person's yes, bound to the plan of now. */
function approve(
  context: CommandContext,
  phase: string,
  flags: ApproveFlags,
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller, act, migration }) => {
    const actor = flags.as ?? act.actor;
    const { plan, by } = await controller.approve({ ...act, actor, to: phaseOf(phase) });
    const paint = painter(context.io);
    return {
      kind: 'approve',
      verdict: 'done',
      stateVersion: plan.stateVersion,
      data: { by, reason: act.reason, plan },
      next: plan.verdict === 'pass' ? [stepCommand(plan)] : ['changeover gate'],
      text: [
        `${by} approves ${plan.from} → ${plan.to} at state version ${plan.stateVersion} (plan ${plan.hash}).`,
        'A change of state, comparator, thresholds or gates voids it. The gates as they are now:',
        ...gateLines(plan.gates, migration.runtime.clock.now(), paint),
      ],
    };
  });
}
