import { type AddCommand, flagsOf } from '../command-line.ts';
import { rehearsalResult } from '../rehearsal-text.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { type AdvanceFlags, advance, gated } from './advance.ts';

export const addSwitchWrites: AddCommand = (program, perform) => {
  gated(program.command('switch-writes').description('make the target the authority'))
    .option(
      '--dry-run',
      'say what it would do, what it would meet and how long writes would be held',
    )
    .option('--recover', 'undo or settle what a dead coordinator left')
    .option('--force', 'with --recover: even while its lease holds')
    .action((_options, command) => {
      const flags = flagsOf<Parameters<typeof switchWrites>[1]>(command);
      return perform(flags, (context) => switchWrites(context, flags));
    });
};

/** `switch-writes`: the change of authority; `--recover` undoes or settles what a dead coordinator left. */
function switchWrites(
  context: CommandContext,
  flags: AdvanceFlags & {
    readonly recover?: boolean;
    readonly force?: boolean;
    readonly dryRun?: boolean;
  },
): Promise<CommandResult> {
  if (flags.dryRun === true) {
    return withSession(context, { tolerateStores: true }, async ({ controller }) => {
      const [plan, rehearsal] = await Promise.all([
        controller.plan('write-switch'),
        controller.rehearse('target'),
      ]);
      const overrides = new Set(flags.override ?? []);
      return rehearsalResult(context.io, rehearsal, plan, 'changeover switch-writes', overrides);
    });
  }
  if (flags.recover !== true) return advance(context, { ...flags, to: 'write-switch' });
  return withSession(context, {}, async ({ controller }) => {
    const found = await controller.resumeCutover({ force: flags.force === true });
    const verdict = (
      {
        nothing: 'done',
        undone: 'done',
        settled: 'done',
        running: 'no',
        pending: 'partial',
      } as const
    )[found.outcome];
    return {
      kind: 'recover',
      verdict,
      stateVersion: found.state.version,
      data: found,
      next: ['changeover status'],
      text: [`${found.outcome}: ${found.message}`],
    };
  });
}
