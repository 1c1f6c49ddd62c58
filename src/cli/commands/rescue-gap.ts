import { type Command, Option } from 'commander';
import { type GapRecord, type GapStatus, noGapCounts } from '../../control/index.ts';
import { type DataRecord, decodeKey, type Row, type Scalar } from '../../record/index.ts';
import { flagsOf, type Perform, whole } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, interruption, withSession } from '../session.ts';
import { shown } from '../shown-values.ts';
import { columns, count } from '../words.ts';
import {
  applyGap,
  giveUpGap,
  keyIn,
  type ResolveFlags,
  resolveGap,
  undecidedIn,
} from './rescue-decide.ts';

/** What a rescue left behind, in the manner of `dlq` and `mismatch`. */
export function addGapCommands(rescue: Command, perform: Perform): void {
  rescue
    .command('collect')
    .description('make safe what only the target has, and send to it again; a worker does it, too')
    .option('--sweep', 'its queue or log are lost: compare everything')
    .action((_options, command) => {
      const flags = flagsOf<{ readonly sweep?: boolean }>(command);
      return perform(flags, (context) => collect(context, flags));
    });
  rescue
    .command('list')
    .description('records of the gap')
    .addOption(new Option('--status <status>', 'only these').choices(Object.keys(noGapCounts)))
    .option('--rescue <id>', 'of an earlier rescue')
    .option('--limit <rows>', 'at most so many', whole, 50)
    .action((_options, command) => {
      const flags = flagsOf<ListFlags>(command);
      return perform(flags, (context) => list(context, flags));
    });
  rescue
    .command('show <collection> <key...>')
    .description('one record, side by side')
    .option('--show-values', 'show the values themselves')
    .action((name: string, key: string[], _options, command) => {
      const flags = flagsOf<{ readonly showValues?: boolean }>(command);
      return perform(flags, (context) => show(context, name, key, flags.showValues === true));
    });
  for (const mode of ['preview', 'apply'] as const) {
    rescue
      .command(mode)
      .description(
        mode === 'preview'
          ? 'what apply would do; changes nothing'
          : 'bring back to the source what overwrites nothing there',
      )
      .option('--limit <rows>', 'name at most so many records', whole, 50)
      .action((_options, command) => {
        const flags = flagsOf<{ readonly limit: number }>(command);
        return perform(flags, (context) => applyGap(context, mode, flags.limit));
      });
  }
  rescue
    .command('resolve [collection] [key...]')
    .description('decide a record by hand; needs --reason')
    .addOption(
      new Option('--take <side>', 'which record stands; close: write nothing')
        .choices(['source', 'target', 'close'])
        .makeOptionMandatory(),
    )
    .option('--all', 'every record that is not decided')
    .action((name: string | undefined, key: string[], _options, command) => {
      const flags = flagsOf<ResolveFlags>(command);
      return perform(flags, (context) => resolveGap(context, name, key, flags));
    });
  rescue
    .command('give-up')
    .description('the target is lost for good before its gap was collected; needs --reason')
    .action((_options, command) => perform(flagsOf(command), giveUpGap));
}

const countsInWords = (counts: Readonly<Record<GapStatus, number>>): string =>
  Object.entries(counts)
    .filter(([, amount]) => amount > 0)
    .map(([status, amount]) => `${amount} ${status}`)
    .join(', ') || 'no records';

function collect(
  context: CommandContext,
  flags: { readonly sweep?: boolean },
): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, act }) => {
    const { signal, stop } = interruption();
    try {
      const sweep = flags.sweep === true;
      const report = await controller.gap.collect({ ...act, sweep, signal });
      const { state, outcome, counts } = report;
      const open = state.gap !== undefined;
      return {
        kind: 'rescue-collect',
        verdict: 'done',
        stateVersion: state.version,
        data: { outcome, counts, gap: state.gap ?? null },
        next: open ? ['changeover rescue preview'] : ['changeover status'],
        text: [
          outcome === 'none'
            ? 'No gap is open.'
            : `The gap ${outcome === 'before' ? 'was collected before' : 'is collected'}: ${countsInWords(counts ?? noGapCounts)}.`,
          ...(outcome === 'none' || open ? [] : ['Nothing is left to decide: it is closed.']),
        ],
      };
    } finally {
      stop();
    }
  });
}

interface ListFlags {
  readonly status?: GapStatus;
  readonly rescue?: string;
  readonly limit: number;
}

function list(context: CommandContext, flags: ListFlags): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller }) => {
    const { limit, status } = flags;
    const filter = { limit, ...(status ? { statuses: [status] } : {}) };
    const { state, rescue, counts, records } = await controller.gap.list(filter, flags.rescue);
    const undecided = undecidedIn(counts);
    const uncollected = state.gap?.rescue === rescue && state.gap.stage === 'uncollected';
    return {
      kind: 'rescue-list',
      verdict: uncollected ? 'unknown' : undecided === 0 ? 'yes' : 'no',
      stateVersion: state.version,
      data: { rescue, gap: state.gap ?? null, counts, records: records.map(withoutValues) },
      next: uncollected
        ? ['changeover rescue collect']
        : undecided === 0
          ? []
          : [
              'changeover rescue apply --reason TEXT',
              'changeover rescue show COLLECTION KEY',
              'changeover rescue resolve COLLECTION KEY --take source --reason TEXT',
            ],
      text: [
        ...columns(records.length === 0 ? [] : [listHead, ...records.map(listRow)]),
        uncollected
          ? `The gap is not collected yet: ${countsInWords(counts)} so far.`
          : `${count(undecided, 'record')} to decide; ${countsInWords(counts)}.`,
      ],
    };
  });
}

/** `rescue show --show-values` shows them one by one. */
const withoutValues = ({ target, source, ...rest }: GapRecord) => ({
  ...rest,
  key: decodeKey(rest.key),
  onTarget: target !== null,
  onSource: source !== null,
});

const listHead = ['status', 'collection', 'key', 'target', 'source', 'found by', 'note'];
const listRow = (one: GapRecord): readonly string[] => [
  one.status,
  one.collection,
  decodeKey(one.key).join(' '),
  one.target === null ? 'deleted' : 'written',
  one.touched ? 'written, too' : one.source === null ? 'absent' : 'present',
  one.foundBy,
  one.note,
];

function show(
  context: CommandContext,
  name: string,
  parts: readonly string[],
  values: boolean,
): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const key = keyIn(session, name, parts);
    const { record, wanted, current, note } = await session.controller.gap.show(name, key);
    const fields = fieldsOf(wanted, current);
    const place = `${name} ${key.join(' ')}`;
    return {
      kind: 'rescue-show',
      verdict: 'done',
      stateVersion: null,
      data: {
        ...withoutValues(record),
        note: note || record.note,
        fields: fields.map(({ field, target, source }) => ({
          field,
          target: shown(target, values),
          source: shown(source, values),
        })),
        ...(values ? { target: record.target, wanted, current } : {}),
      },
      next: [
        `changeover rescue resolve ${place} --take target --reason TEXT`,
        `changeover rescue resolve ${place} --take source --reason TEXT`,
      ],
      text: [
        `${place}: ${record.status}${note || record.note ? ` (${note || record.note})` : ''}`,
        `  from the target: ${wanted === null ? 'does not exist' : 'exists'}; the source now: ${current === null ? 'does not exist' : 'exists'}`,
        ...columns(
          fields.map(({ field, target, source }) => [
            `  ${field}`,
            `target ${shown(target, values)}`,
            `source ${shown(source, values)}`,
          ]),
        ),
        ...(fields.length > 0 && !values ? ['Values are hidden: --show-values shows them.'] : []),
      ],
    };
  });
}

/** Fields of the source's shape in which the two differ; child rows as one text. */
function fieldsOf(wanted: DataRecord | null, current: DataRecord | null) {
  const text = (value: Scalar | readonly Row[] | undefined): Scalar =>
    Array.isArray(value) ? JSON.stringify(value) : ((value as Scalar | undefined) ?? null);
  const names = new Set([...Object.keys(wanted ?? {}), ...Object.keys(current ?? {})]);
  return [...names]
    .map((field) => ({
      field,
      target: text(wanted?.[field]),
      source: text(current?.[field]),
    }))
    .filter(({ target, source }) => target !== source);
}
