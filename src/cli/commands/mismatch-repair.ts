import { authorityOf, collectionOf } from '../../migration/index.ts';
import { type RepairReport, recheckSuspects, repair } from '../../verify/index.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, followState, interruption, withSession } from '../session.ts';
import { columns, count, duration } from '../words.ts';
import { keyFrom } from './diff.ts';

/** `mismatch recheck`: looks at suspects, and at open ones again. */
export function mismatchRecheck(context: CommandContext): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const state = await followState(session);
    const { signal, stop } = interruption();
    try {
      const options = { currentState: state.current, ignoreHold: true, openAfterMs: 0 };
      const report = await recheckSuspects(session.migration, options, signal);
      return {
        kind: 'mismatch-recheck',
        verdict: report.opened > 0 ? 'no' : report.unresolved > 0 ? 'unknown' : 'yes',
        stateVersion: state.current().version,
        data: report,
        next: ['changeover mismatch list'],
        text: [
          `${count(report.checked, 'key')} rechecked: ${report.dropped} agree now, ${report.opened} differ for good, ${report.unresolved} undecided.`,
        ],
      };
    } finally {
      stop();
      state.close();
    }
  });
}

export interface RepairFlags {
  readonly apply?: boolean;
  readonly deleteExtras?: boolean;
}

/** `mismatch repair`: proposes, and with `--apply` makes the follower hold what the authority holds now. */
export function mismatchRepair(
  context: CommandContext,
  name: string,
  parts: readonly string[],
  flags: RepairFlags,
): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const { migration, act } = session;
    const collection = collectionOf(migration.migration, name);
    const state = await followState(session);
    const { signal, stop } = interruption();
    try {
      const { phase } = state.current();
      const keys =
        parts.length === 0 ? 'open' : [keyFrom(parts, collection[authorityOf(phase)].key)];
      const report = await repair(
        migration,
        name,
        keys,
        {
          currentState: state.current,
          ignoreHold: true,
          mode: flags.apply ? 'apply' : 'propose',
          deleteExtras: flags.deleteExtras === true,
        },
        signal,
      );
      if (flags.apply) {
        const { counts } = report;
        const detail = { collection: name, counts, reason: report.reason };
        await migration.control.note(migration.migration.name, {
          ...act,
          action: 'repair',
          detail,
        });
      }
      return repairResult(report, state.current().version);
    } finally {
      stop();
      state.close();
    }
  });
}

function repairResult(report: RepairReport, stateVersion: number): CommandResult {
  const { counts, keys, mode, reason, collection, durationMs } = report;
  const left = counts.failed + counts.busy + counts['extra-kept'];
  const proposed = counts.proposed > 0;
  const summary = Object.entries(counts)
    .filter(([, amount]) => amount > 0)
    .map(([outcome, amount]) => `${amount} ${outcome}`);
  return {
    kind: 'repair',
    verdict:
      reason !== null || (left > 0 && counts.repaired > 0) ? 'partial' : left > 0 ? 'no' : 'done',
    stateVersion,
    // Field values stay out: `diff --show-values` shows them one by one.
    data: {
      ...report,
      keys: keys.map((one) => ({ ...one, fields: one.fields.map(({ field }) => field) })),
    },
    next: proposed
      ? [`changeover mismatch repair ${collection} --apply`]
      : counts.repaired > 0
        ? [`changeover verify ${collection}`]
        : [],
    text: [
      ...columns(
        keys.map((one) => [
          one.outcome,
          one.action,
          one.key.join(' '),
          one.fields.map(({ field }) => field).join(', ') || one.note,
        ]),
      ),
      `${collection}: ${summary.join(', ') || 'nothing to repair'}${reason ? `; ended early: ${reason}` : ''} (${mode}, ${duration(durationMs)}).`,
      ...(counts['extra-kept'] > 0
        ? ['extra-kept: only the follower has these; --delete-extras deletes them.']
        : []),
      ...(proposed ? ['Nothing was written: --apply does it.'] : []),
    ],
  };
}
