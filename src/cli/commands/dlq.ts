import { type Command, Option } from 'commander';
import { ChangeoverError } from '../../errors/index.ts';
import { authorityOf, type Side } from '../../migration/index.ts';
import type { DeadLetter } from '../../queue/index.ts';
import { type AddCommand, flagsOf, whole } from '../command-line.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { columns, count, moment } from '../words.ts';

export const addDlq: AddCommand = (program, perform) => {
  const dlq = program.command('dlq').description('changes that could not be applied');
  sided(dlq.command('list', { isDefault: true }).description('dead letters')).action(
    (_options, command) => {
      const flags = flagsOf<DlqFlags>(command);
      return perform(flags, (context) => dlqList(context, flags));
    },
  );
  sided(dlq.command('show <id>').description('one dead letter')).action(
    (id: string, _options, command) => {
      const flags = flagsOf<DlqFlags>(command);
      return perform(flags, (context) => dlqShow(context, id, flags));
    },
  );
  for (const [name, action, text] of [
    ['retry', 'redrive', 'send again; the record is applied as it is then'],
    ['discard', 'discard', 'give up; needs --reason'],
  ] as const) {
    sided(dlq.command(`${name} [ids...]`).description(text))
      .option('--all', 'all of them')
      .option('--dry-run', 'only say how many')
      .action((ids: string[], _options, command) => {
        const flags = flagsOf<ResolveFlags>(command);
        return perform(flags, (context) => dlqResolve(context, action, ids, flags));
      });
  }
};

/** Options of all that look into a queue. */
const sided = (command: Command): Command =>
  command
    .addOption(
      new Option('--side <side>', 'whose queue; default: the authority’s').choices([
        'source',
        'target',
      ]),
    )
    .option('--limit <rows>', 'at most so many', whole, 50);

const lettersMax = 10_000;

interface DlqFlags {
  /** Whose queue; default: the authority's. */
  readonly side?: Side;
  readonly limit: number;
}

async function open(
  { migration }: Session,
  side: Side | undefined,
): Promise<{ readonly side: Side; readonly version: number }> {
  const state = await migration.control.load(migration.migration.name);
  return { side: side ?? authorityOf(state.phase), version: state.version };
}

/** `dlq list`: changes that could not be applied and wait for a person. */
function dlqList(context: CommandContext, flags: DlqFlags): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const { side, version } = await open(session, flags.side);
    const { queue } = session.migration.stores[side];
    const [letters, depth] = await Promise.all([queue.deadLetters(flags.limit), queue.depth()]);
    return {
      kind: 'dlq-list',
      verdict: depth.dead === 0 ? 'yes' : 'no',
      stateVersion: version,
      data: { side, depth, letters },
      next:
        depth.dead === 0
          ? []
          : [
              'changeover dlq show ID',
              'changeover dlq retry --all',
              'changeover dlq discard ID --reason TEXT',
            ],
      text: [
        ...columns(letters.length === 0 ? [] : [letterHead, ...letters.map(letterRow)]),
        `In the queue of the ${side}: ${count(depth.dead, 'dead letter')}, ${count(depth.waiting, 'change')} waiting.`,
      ],
    };
  });
}

const letterHead = ['id', 'collection', 'key', 'attempts', 'died', 'reason'];
const letterRow = (letter: DeadLetter): readonly string[] => [
  String(letter.id),
  letter.collection,
  letter.key.join(' '),
  String(letter.attempts),
  moment(letter.diedAtMs),
  `${letter.newerWriteExists ? '(a newer write exists) ' : ''}${shortened(letter.reason)}`,
];

/** The whole reason stands in `dlq show`. */
const reasonMax = 100;
const shortened = (text: string): string =>
  text.length > reasonMax ? `${text.slice(0, reasonMax - 1)}…` : text;

/** `dlq show ID`. */
function dlqShow(context: CommandContext, id: string, flags: DlqFlags): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const { side, version } = await open(session, flags.side);
    const wanted = idOf(id);
    const letters = await session.migration.stores[side].queue.deadLetters(lettersMax);
    const letter = letters.find((one) => one.id === wanted);
    if (!letter) {
      throw new ChangeoverError(
        'CONFIG_INVALID',
        `There is no dead letter ${id} in the queue of the ${side}.`,
      );
    }
    return {
      kind: 'dlq-show',
      verdict: 'done',
      stateVersion: version,
      data: { side, letter },
      next: [
        `changeover diff ${letter.collection} ${letter.key.join(' ')}`,
        `changeover dlq retry ${id}`,
      ],
      text: [
        `${letter.collection} ${letter.key.join(' ')}: ${letter.reason}`,
        `died ${moment(letter.diedAtMs)} after ${count(letter.attempts, 'attempt')}, written ${moment(letter.enqueuedAtMs)}`,
        letter.newerWriteExists
          ? 'A newer write of this key exists: a retry applies the record as it is now.'
          : 'A retry applies the record as it is now.',
      ],
    };
  });
}

interface ResolveFlags extends DlqFlags {
  readonly all?: boolean;
  readonly dryRun?: boolean;
}

/** `dlq retry` and `dlq discard`. Discarding says that the follower may differ from now on; it is recorded. */
function dlqResolve(
  context: CommandContext,
  action: 'redrive' | 'discard',
  ids: readonly string[],
  flags: ResolveFlags,
): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const { migration, act, globals } = session;
    if ((ids.length === 0) === (flags.all !== true)) {
      throw new ChangeoverError(
        'CONFIG_INVALID',
        'Name dead letters by their ids, or all of them with --all.',
      );
    }
    if (action === 'discard' && !globals.reason?.trim()) {
      throw new ChangeoverError('CONFIG_INVALID', 'dlq discard needs --reason: it is recorded.');
    }
    const { side, version } = await open(session, flags.side);
    if (action === 'discard') await refuseBesideGap(session, side);
    const { queue } = migration.stores[side];
    const letters = await queue.deadLetters(lettersMax);
    const wanted = new Set(ids.map(idOf));
    const chosen = flags.all ? letters : letters.filter(({ id }) => wanted.has(id));
    const done = (amount: number, text: string): CommandResult => ({
      kind: `dlq-${action}`,
      verdict: flags.all || amount === ids.length ? 'done' : 'partial',
      stateVersion: version,
      data: { side, amount, ids: chosen.map(({ id }) => id), dryRun: flags.dryRun === true },
      next: ['changeover dlq list'],
      text: [text],
    });
    if (flags.dryRun)
      return done(
        chosen.length,
        `${count(chosen.length, 'dead letter')} would be ${words[action]}.`,
      );
    if (action === 'discard') {
      const question = `${count(chosen.length, 'change')} will not reach the other store.`;
      const refusal = await confirmed(context, question, version);
      if (refusal) return refusal;
    }
    const keys = chosen.slice(0, 100).map(({ collection, key }) => [collection, ...key]);
    // Said before it is done: a discarded change must never vanish without somebody answering for it.
    await migration.control.note(migration.migration.name, {
      ...act,
      action: `dlq-${action}`,
      detail: { side, amount: chosen.length, keys },
    });
    const amount = await queue.resolveDead(
      action,
      chosen.map(({ id }) => id),
    );
    return done(amount, `${count(amount, 'dead letter')} ${words[action]}.`);
  });
}

/** An entry in the source's queue is what says that a record of the gap must not be overwritten. */
async function refuseBesideGap({ migration }: Session, side: Side): Promise<void> {
  const { gap } = await migration.control.load(migration.migration.name);
  if (gap === undefined) return;
  const why =
    side === 'source'
      ? 'these letters tell which of its records the source has written since the rescue'
      : 'these letters are a part of it: decide them with `changeover rescue`';
  throw new ChangeoverError(
    'TRANSITION_REFUSED',
    `Nothing is discarded while the gap of a rescue is open: ${why}.`,
  );
}

const words = { redrive: 'sent again', discard: 'discarded' } as const;

function idOf(text: string): bigint {
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  throw new ChangeoverError('CONFIG_INVALID', `"${text}" is not the id of a dead letter.`);
}
