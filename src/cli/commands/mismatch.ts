import { Option } from 'commander';
import type { Mismatch, MismatchStatus } from '../../control/index.ts';
import { authorityOf, collectionOf } from '../../migration/index.ts';
import { decodeKey } from '../../record/index.ts';
import { type RepairReport, recheckSuspects, repair } from '../../verify/index.ts';
import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, followState, interruption, withSession } from '../session.ts';
import { columns, count, duration, moment } from '../words.ts';
import { keyFrom, redacted } from './diff.ts';

export const addMismatch: AddCommand = (program, perform) => {
  const mismatch = program.command('mismatch').description('what differs');
  mismatch
    .command('list', { isDefault: true })
    .description('mismatches, oldest first')
    .addOption(
      new Option('--status <status>', 'only these').choices([
        'suspect',
        'open',
        'explained',
        'repaired',
      ]),
    )
    .option('--limit <rows>', 'at most so many', whole, 50)
    .option('--show-values', 'show the values themselves (with --json)')
    .action((_options, command) => {
      const flags = flagsOf<MismatchListFlags>(command);
      return perform(flags, (context) => mismatchList(context, flags));
    });
  mismatch
    .command('recheck')
    .description('look again at what differed')
    .action((_options, command) => perform(flagsOf(command), mismatchRecheck));
  mismatch
    .command('repair <collection> [key...]')
    .description('make the follower hold what the authority holds; without --apply only a proposal')
    .option('--apply', 'do it')
    .option('--delete-extras', 'also delete what only the follower has')
    .action((name: string, key: string[], _options, command) => {
      const flags = flagsOf<RepairFlags>(command);
      return perform(flags, (context) => mismatchRepair(context, name, key, flags));
    });
};

interface MismatchListFlags {
  readonly status?: MismatchStatus;
  readonly limit: number;
  readonly showValues?: boolean;
}

/** `mismatch list`: what differs, oldest first. */
function mismatchList(context: CommandContext, flags: MismatchListFlags): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ migration }) => {
    const {
      control,
      migration: { name },
    } = migration;
    const { status, limit } = flags;
    const [found, open, suspect] = await Promise.all([
      control.mismatches.list(name, { limit, ...(status ? { status } : {}) }),
      control.mismatches.count(name, 'open'),
      control.mismatches.count(name, 'suspect'),
    ]);
    const values = flags.showValues === true;
    const mismatches = found.map((one) => ({
      ...one,
      differences: redacted(one.differences, values),
    }));
    return {
      kind: 'mismatch-list',
      verdict: open === 0 ? 'yes' : 'no',
      stateVersion: null,
      data: { open, suspect, mismatches },
      next:
        open === 0
          ? []
          : ['changeover diff COLLECTION KEY', 'changeover mismatch repair COLLECTION'],
      text: [
        ...columns(found.length === 0 ? [] : [mismatchHead, ...found.map(mismatchRow)]),
        `${count(open, 'mismatch', 'mismatches')} open, ${count(suspect, 'key')} to be rechecked.`,
      ],
    };
  });
}

const mismatchHead = ['status', 'kind', 'collection', 'key', 'last seen', 'fields'];
const mismatchRow = (one: Mismatch): readonly string[] => [
  one.status,
  one.kind,
  one.collection,
  decodeKey(one.key).join(' '),
  moment(one.lastSeenMs),
  one.differences.map(({ field }) => field).join(', ') || one.note,
];

/** `mismatch recheck`: looks at suspects, and at open ones again. */
function mismatchRecheck(context: CommandContext): Promise<CommandResult> {
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

interface RepairFlags {
  readonly apply?: boolean;
  readonly deleteExtras?: boolean;
}

/** `mismatch repair`: proposes, and with `--apply` makes the follower hold what the authority holds now. */
function mismatchRepair(
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
