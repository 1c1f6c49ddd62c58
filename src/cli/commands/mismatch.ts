import { type Command, InvalidArgumentError, Option } from 'commander';
import { mismatchClasses } from '../../record/index.ts';
import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import {
  type DecideFlags,
  mismatchAssign,
  mismatchExplain,
  mismatchReopen,
} from './mismatch-decide.ts';
import {
  type ByFlags,
  groupings,
  type MismatchListFlags,
  mismatchBy,
  mismatchList,
  mismatchShow,
  type ShowFlags,
} from './mismatch-list.ts';
import { mismatchRecheck, mismatchRepair, type RepairFlags } from './mismatch-repair.ts';

export const addMismatch: AddCommand = (program, perform) => {
  const mismatch = program.command('mismatch').description('what differs, why, and who is at it');
  const list = mismatch
    .command('list', { isDefault: true })
    .description('mismatches, oldest first')
    .addOption(new Option('--status <status>', 'only these').choices([...listedStatuses]))
    .option('--collection <name>', 'only of this collection')
    .option('--detector <name>', 'only what this one saw first: verify, shadow-read …');
  alike(list)
    .addOption(new Option('--by <what>', 'count them instead').choices([...groupings]))
    .option('--limit <rows>', 'at most so many', whole, 50)
    .option('--after <place>', 'go on behind the last one of a list (`after` of its --json)')
    .option('--show-values', 'show the values themselves (with --json); recorded in the audit')
    .action((_options, command) => {
      const flags = flagsOf<MismatchListFlags & ByFlags>(command);
      return perform(flags, (context) =>
        flags.by === undefined ? mismatchList(context, flags) : mismatchBy(context, flags),
      );
    });
  mismatch
    .command('show <collection> <key...>')
    .description('one mismatch: what, why, since when, what was decided')
    .option('--show-values', 'show the values themselves; recorded in the audit')
    .action((name: string, key: string[], _options, command) => {
      const flags = flagsOf<ShowFlags>(command);
      return perform(flags, (context) => mismatchShow(context, name, key, flags));
    });
  addDecisions(mismatch, perform);
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

const listedStatuses = [
  'suspect',
  'open',
  'investigating',
  'explained',
  'repaired',
  'recurring',
  'unexplained',
] as const;

/** What people decide, for one key or for all that look alike. */
function addDecisions(mismatch: Command, perform: Parameters<AddCommand>[1]): void {
  const several = (command: Command): Command =>
    alike(command).option('--all', 'all of the collection');
  several(
    mismatch
      .command('assign <collection> [key...]')
      .description('somebody looks into it')
      .option('--owner <name>', 'who; default: you'),
  ).action((name: string, key: string[], _options, command) => {
    const flags = flagsOf<DecideFlags>(command);
    return perform(flags, (context) => mismatchAssign(context, name, key, flags));
  });
  several(
    mismatch
      .command('explain <collection> [key...]')
      .description('it may stay so until a day; needs --ticket, --until and --reason')
      .option('--owner <name>', 'who answers for it; default: whom it was assigned to')
      .option('--ticket <id>', 'where it is dealt with')
      .option('--until <day>', 'last day of the explanation, 2026-01-31 (UTC)', day),
  ).action((name: string, key: string[], _options, command) => {
    const flags = flagsOf<DecideFlags>(command);
    return perform(flags, (context) => mismatchExplain(context, name, key, flags));
  });
  several(
    mismatch
      .command('reopen <collection> [key...]')
      .description('the explanation, or the repair, does not hold'),
  ).action((name: string, key: string[], _options, command) => {
    const flags = flagsOf<DecideFlags>(command);
    return perform(flags, (context) => mismatchReopen(context, name, key, flags));
  });
}

/** Options that choose those that look alike. */
const alike = (command: Command): Command =>
  command
    .addOption(new Option('--class <class>', 'only of this class').choices([...mismatchClasses]))
    .option('--field <field>', 'only where this field differs: `name`, `child.column`');

/** The end of a day in UTC, epoch ms. */
function day(text: string): number {
  const ms = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(ms)) throw new InvalidArgumentError('It has to be a day, 2026-01-31.');
  return ms + 86_400_000;
}
