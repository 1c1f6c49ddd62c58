import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { columns, moment } from '../words.ts';

/** `history`: the audit, newest first. */
export function history(
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
