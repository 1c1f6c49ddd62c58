import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { columns, moment } from '../words.ts';

export const addHistory: AddCommand = (program, perform) => {
  program
    .command('history')
    .description('the audit, newest first')
    .option('--limit <lines>', 'at most', whole, 50)
    .action((_options, command) => {
      const flags = flagsOf<{ readonly limit: number }>(command);
      return perform(flags, (context) => history(context, flags));
    });
};

/** `history`: the audit, newest first. */
function history(
  context: CommandContext,
  flags: { readonly limit: number },
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller }) => {
    const lines = await controller.history(flags.limit);
    const rows = lines.map(({ stateVersion, atMs, actor, action, reason, detail }) => [
      moment(atMs),
      stateVersion === null ? '–' : `v${stateVersion}`,
      action,
      typeof detail['phase'] === 'string' ? detail['phase'] : '',
      actor,
      reason,
    ]);
    return {
      kind: 'history',
      verdict: 'done',
      stateVersion: lines.find(({ stateVersion }) => stateVersion !== null)?.stateVersion ?? null,
      data: { lines },
      next: [],
      text: rows.length === 0 ? ['Nothing has happened yet.'] : columns(rows),
    };
  });
}
