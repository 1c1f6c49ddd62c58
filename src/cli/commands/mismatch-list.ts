import {
  type MismatchCondition,
  type MismatchFilter,
  type MismatchLine,
  type MismatchTally,
  unresolvedStatuses,
} from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { classTable, decodeKey, encodeKey, type MismatchClass } from '../../record/index.ts';
import { baselineOf, originOf, originText } from '../../verify/index.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { auditLook, shownFields } from '../shown-values.ts';
import { columns, count, moment } from '../words.ts';
import { fieldRow } from './diff.ts';

export interface MismatchListFlags {
  readonly status?: MismatchCondition;
  readonly collection?: string;
  readonly class?: MismatchClass;
  readonly field?: string;
  readonly detector?: string;
  readonly after?: string;
  readonly limit: number;
  readonly showValues?: boolean;
}

/** `mismatch list`: what differs, oldest first. */
export function mismatchList(
  context: CommandContext,
  flags: MismatchListFlags,
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async (session) => {
    const { control, migration } = session.migration;
    const [found, open, explained, suspect] = await Promise.all([
      control.mismatches.list(migration.name, filterOf(flags)),
      control.mismatches.count(migration.name, 'unexplained'),
      control.mismatches.count(migration.name, 'explained'),
      control.mismatches.count(migration.name, 'suspect'),
    ]);
    const values = flags.showValues === true;
    if (values) await auditLook(session, { command: 'mismatch list', mismatches: found.length });
    const last = found.length === flags.limit ? found.at(-1) : undefined;
    const after = last ? JSON.stringify([last.firstSeenMs, last.collection, last.key]) : null;
    return {
      kind: 'mismatch-list',
      verdict: open === 0 ? 'yes' : 'no',
      stateVersion: null,
      data: {
        open,
        explained,
        suspect,
        after,
        mismatches: found.map((one) => shownLine(one, values)),
      },
      next: open === 0 ? [] : openNext,
      text: [
        ...columns(found.length === 0 ? [] : [listHead, ...found.map(listRow)]),
        ...(after === null ? [] : [`The list goes on: --after '${after}', or --limit.`]),
        `${count(open, 'mismatch', 'mismatches')} unexplained, ${explained} explained, ${count(suspect, 'key')} to be rechecked.`,
      ],
    };
  });
}

const openNext = [
  'changeover mismatch list --by class',
  'changeover mismatch show COLLECTION KEY',
  'changeover mismatch repair COLLECTION',
];

const listHead = ['status', 'class', 'collection', 'key', 'last seen', 'owner', 'fields'];
const listRow = (one: MismatchLine): readonly string[] => [
  one.status,
  one.class,
  one.collection,
  keyText(one.key),
  moment(one.lastSeenMs),
  [one.owner, one.ticket].filter(Boolean).join(' ') || '–',
  one.differences.map(({ field }) => field).join(', ') || one.note,
];

/** A line as it may be shown. */
const shownLine = (one: MismatchLine, values: boolean): object => ({
  ...one,
  differences: shownFields(one.differences, values),
});

function filterOf(flags: MismatchListFlags): MismatchFilter {
  const { status, collection, field, detector, limit } = flags;
  return {
    limit,
    ...(status === undefined ? {} : { status }),
    ...(collection === undefined ? {} : { collection }),
    ...(flags.class === undefined ? {} : { class: flags.class }),
    ...(field === undefined ? {} : { field }),
    ...(detector === undefined ? {} : { detector }),
    ...(flags.after === undefined ? {} : { after: placeOf(flags.after) }),
  };
}

function placeOf(text: string): NonNullable<MismatchFilter['after']> {
  try {
    const [firstSeenMs, collection, key] = JSON.parse(text) as readonly unknown[];
    if (
      typeof firstSeenMs === 'number' &&
      typeof collection === 'string' &&
      typeof key === 'string'
    )
      return { firstSeenMs, collection, key };
  } catch {
    // Not what a list has given out.
  }
  throw new ChangeoverError('CONFIG_INVALID', '--after takes what `after` of a list says.');
}

export const groupings = ['class', 'field', 'collection'] as const;

export interface ByFlags {
  readonly by?: (typeof groupings)[number];
}

interface Group {
  readonly name: string;
  readonly unexplained: number;
  readonly explained: number;
  readonly fields: readonly string[];
  readonly classes: readonly MismatchClass[];
}

/** `mismatch list --by …`: how many, of what. */
export function mismatchBy(
  context: CommandContext,
  flags: MismatchListFlags & ByFlags,
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async (session) => {
    const { control, migration } = session.migration;
    const by = flags.by ?? 'class';
    const tally = (await control.mismatches.tally(migration.name)).filter(
      (one) =>
        (flags.collection === undefined || one.collection === flags.collection) &&
        (flags.class === undefined || one.class === flags.class) &&
        (flags.field === undefined || one.fields.some(({ field }) => field === flags.field)),
    );
    const groups = grouped(tally, by);
    const open = tally.reduce((sum, one) => sum + (isOpen(one) ? one.count : 0), 0);
    return {
      kind: 'mismatch-by',
      verdict: open === 0 ? 'yes' : 'no',
      stateVersion: null,
      data: { by, open, groups },
      next: open === 0 ? [] : [`changeover mismatch list --${by} ${by.toUpperCase()}`],
      text: [
        ...columns(
          groups.length === 0
            ? []
            : [
                [by, 'unexplained', 'explained', by === 'field' ? 'classes' : 'fields', ''],
                ...groups.map((one) => groupRow(one, by)),
              ],
        ),
        `${count(open, 'mismatch', 'mismatches')} unexplained.`,
      ],
    };
  });
}

const groupRow = (one: Group, by: (typeof groupings)[number]): readonly string[] => [
  one.name,
  String(one.unexplained),
  String(one.explained),
  (by === 'field' ? one.classes : one.fields).join(', ') || '–',
  by === 'class' ? classTable[one.name as MismatchClass].title : '',
];

const isOpen = ({ status }: MismatchTally): boolean =>
  (unresolvedStatuses as readonly string[]).includes(status);

/** Most unexplained first. A mismatch of several fields counts in each of them. */
function grouped(
  tally: readonly MismatchTally[],
  by: (typeof groupings)[number],
): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const one of tally) {
    if (!isOpen(one) && one.status !== 'explained') continue;
    const fields = one.fields.map(({ field }) => field);
    const names = by === 'field' ? fields : [by === 'class' ? one.class : one.collection];
    for (const name of names) {
      const group = groups.get(name);
      const classes = by === 'field' ? classesOf(one, name) : [one.class];
      groups.set(name, {
        name,
        unexplained: (group?.unexplained ?? 0) + (isOpen(one) ? one.count : 0),
        explained: (group?.explained ?? 0) + (isOpen(one) ? 0 : one.count),
        fields: [...new Set([...(group?.fields ?? []), ...fields])].sort(),
        classes: [...new Set([...(group?.classes ?? []), ...classes])].sort(),
      });
    }
  }
  return [...groups.values()].sort(
    (a, b) => b.unexplained - a.unexplained || (a.name < b.name ? -1 : 1),
  );
}

const classesOf = (one: MismatchTally, name: string): readonly MismatchClass[] =>
  one.fields.filter(({ field }) => field === name).map((each) => each.class);

export interface ShowFlags {
  readonly showValues?: boolean;
}

/** `mismatch show`: everything that the ledger knows of one key. */
export function mismatchShow(
  context: CommandContext,
  name: string,
  parts: readonly string[],
  flags: ShowFlags,
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async (session) => {
    const line = await lineFor(session, name, parts);
    const values = flags.showValues === true;
    if (values)
      await auditLook(session, { command: 'mismatch show', collection: name, key: line.key });
    const place = `${name} ${keyText(line.key)}`;
    const { control, migration } = session.migration;
    const { generation } = await control.load(migration.name);
    const origin = originOf(line, await baselineOf(session.migration, name, generation));
    return {
      kind: 'mismatch',
      verdict: 'done',
      stateVersion: null,
      data: { ...shownLine(line, values), origin },
      next: [`changeover diff ${place}`, `changeover mismatch repair ${place}`],
      text: [...showText(line, place, values), `Since when: ${originText(origin, line)}.`],
    };
  });
}

function showText(line: MismatchLine, place: string, values: boolean): readonly string[] {
  const about = classTable[line.class];
  const fields = shownFields(line.differences, values);
  const { owner, ticket, expiresMs } = line;
  const until = expiresMs === null ? '' : `, until ${moment(expiresMs)}`;
  return [
    `${place}: ${line.status}. ${about.title} (${line.class}).`,
    ...columns(fields.map(fieldRow)),
    ...(fields.length > 0 && !values ? ['Values are hidden: --show-values shows them.'] : []),
    `What was seen: ${about.meaning}`,
    `Usual cause: ${about.usualCause}`,
    `What to do: ${about.action}`,
    `First seen ${moment(line.firstSeenMs)} by ${line.detector}, last ${moment(line.lastSeenMs)}, ${count(line.rechecks, 'recheck')}.`,
    ...(owner || ticket ? [`Owner ${owner ?? '–'}, ticket ${ticket ?? '–'}${until}.`] : []),
    ...(line.note ? [`Note: ${line.note}`] : []),
    ...columns(line.turns.map(({ atMs, status, by }) => [moment(atMs), status, by])),
  ];
}

/** The ledger's line of a key that somebody typed. CONFIG_INVALID when there is none. */
async function lineFor(
  { migration }: Session,
  name: string,
  parts: readonly string[],
): Promise<MismatchLine> {
  const [only] = parts;
  const key = parts.length === 1 && only?.startsWith('[') ? only : encodeKey(parts);
  const line = await migration.control.mismatches.find(migration.migration.name, {
    collection: name,
    key,
  });
  if (line !== null) return line;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `The ledger has no mismatch of ${name} ${parts.join(' ')}; changeover diff compares a key now.`,
  );
}

const keyText = (key: string): string => decodeKey(key).join(' ');
