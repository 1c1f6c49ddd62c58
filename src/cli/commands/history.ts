import type { AuditEntry } from '../../control/index.ts';
import { isReconciliation } from '../../verify/index.ts';
import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { columns, count, moment } from '../words.ts';

export const addHistory: AddCommand = (program, perform) => {
  program
    .command('history')
    .description('the audit, newest first')
    .option('--limit <lines>', 'at most so many', whole, 50)
    .option('--reconciliation', 'only runs that compared or repaired, with what they found')
    .action((_options, command) => {
      const flags = flagsOf<HistoryFlags>(command);
      return perform(flags, (context) => history(context, flags));
    });
};

interface HistoryFlags {
  readonly limit: number;
  readonly reconciliation?: boolean;
}

/** Lines of the audit that are looked through for runs. */
const LOOKED_AT = 50_000;

/** `history`: the audit, newest first. */
function history(context: CommandContext, flags: HistoryFlags): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller }) => {
    const lines = flags.reconciliation
      ? (await controller.history(LOOKED_AT)).filter(isReconciliation).slice(0, flags.limit)
      : await controller.history(flags.limit);
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
      text:
        rows.length > 0
          ? columns([head, ...rows])
          : [flags.reconciliation ? 'Nothing was compared yet.' : 'Nothing has happened yet.'],
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
  const { counts, compared } = detail;
  if (typeof compared === 'number') words.push(`${compared} compared`);
  if (counts !== null && typeof counts === 'object')
    for (const [name, value] of Object.entries(counts))
      if (typeof value === 'number' && value > 0) words.push(`${value} ${name}`);
  return words.join(', ');
}
