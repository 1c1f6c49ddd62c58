import type { AuditEntry } from '../../control/index.ts';
import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { columns, count, moment } from '../words.ts';

export const addHistory: AddCommand = (program, perform) => {
  program
    .command('history')
    .description('the audit, newest first')
    .option('--limit <lines>', 'at most so many', whole, 50)
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
      whatOf(detail),
      actor,
      reason,
    ]);
    return {
      kind: 'history',
      verdict: 'done',
      stateVersion: lines.find(({ stateVersion }) => stateVersion !== null)?.stateVersion ?? null,
      data: { lines },
      next: [],
      text: rows.length === 0 ? ['Nothing has happened yet.'] : columns([head, ...rows]),
    };
  });
}

const head = ['when (UTC)', 'state', 'action', 'what', 'who', 'why'];

/** The part of an entry's detail that a reader looks for; everything stands in `--json`. */
function whatOf(detail: AuditEntry['detail']): string {
  const { from, phase, basisPoints, step, outcome, collection, collections, open, amount } = detail;
  const { predictedMs, actualMs, ok } = detail;
  const words: string[] = [];
  if (typeof phase === 'string') {
    words.push(typeof from === 'string' && from !== phase ? `${from} → ${phase}` : phase);
  }
  if (typeof basisPoints === 'number') words.push(`dial ${basisPoints / 100} %`);
  if (typeof step === 'string') words.push(`${step}${outcome ? ` ${String(outcome)}` : ''}`);
  if (typeof predictedMs === 'number' && typeof actualMs === 'number')
    words.push(`predicted ${Math.round(predictedMs)} ms, took ${Math.round(actualMs)} ms`);
  if (typeof ok === 'boolean') words.push(ok ? 'passed' : 'failed');
  if (Array.isArray(collections)) words.push(collections.join(', '));
  if (typeof collection === 'string') words.push(collection);
  if (typeof open === 'number') words.push(`${open} open`);
  if (typeof amount === 'number') words.push(count(amount, 'dead letter'));
  if (typeof detail['label'] === 'string') words.push(detail['label']);
  return words.join(', ');
}
