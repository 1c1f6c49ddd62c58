import { type GapStatus, undecidedGapStatuses } from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { collectionOf } from '../../migration/index.ts';
import { decodeKey, type Key } from '../../record/index.ts';
import type { ApplyReport, Take } from '../../rescue/index.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, interruption, type Session, withSession } from '../session.ts';
import { columns, count } from '../words.ts';
import { keyFrom } from './diff.ts';

const needReason = ({ globals }: CommandContext, what: string): void => {
  if (globals.reason?.trim()) return;
  throw new ChangeoverError('CONFIG_INVALID', `${what} needs --reason: it is recorded.`);
};

/** Records that wait for a decision. */
export const undecidedIn = (counts: Readonly<Record<GapStatus, number>>): number =>
  undecidedGapStatuses.reduce((sum, status) => sum + counts[status], 0);

/** A key of the gap, as people type it. */
export const keyIn = ({ migration }: Session, name: string, parts: readonly string[]): Key =>
  keyFrom(parts, collectionOf(migration.migration, name).target.key);

/** `rescue preview` and `rescue apply`. */
export function applyGap(
  context: CommandContext,
  mode: 'preview' | 'apply',
  listMax: number,
): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, act, migration }) => {
    const { signal, stop } = interruption();
    try {
      const report = await controller.gap.apply({ ...act, mode, listMax, signal });
      const { counts, state } = report;
      if (mode === 'apply')
        await migration.control.note(migration.migration.name, {
          ...act,
          action: 'rescue-apply',
          detail: { counts },
        });
      return applied(report, state.gap !== undefined);
    } finally {
      stop();
    }
  });
}

const words: Readonly<Record<keyof ApplyReport['counts'], string>> = {
  put: 'written to the source',
  delete: 'deleted from the source',
  equal: 'equal in both',
  conflict: 'written on both sides: a person decides',
  refused: 'refused by the source',
  left: 'busy: apply again',
};

function applied({ mode, counts, records, state }: ApplyReport, open: boolean): CommandResult {
  const preview = mode === 'preview';
  const byHand = counts.conflict + counts.refused;
  return {
    kind: `rescue-${mode}`,
    verdict: preview || !open ? 'done' : 'partial',
    stateVersion: state.version,
    data: { counts, records, gap: state.gap ?? null },
    next: preview
      ? ['changeover rescue apply --reason TEXT']
      : open
        ? ['changeover rescue list']
        : ['changeover status'],
    text: [
      ...columns(
        records.map(({ collection, key, outcome, note }) => [
          outcome,
          collection,
          decodeKey(key).join(' '),
          note,
        ]),
      ),
      ...Object.entries(counts)
        .filter(([, amount]) => amount > 0)
        .map(([outcome, amount]) => `${amount} ${words[outcome as keyof typeof words]}`),
      preview
        ? 'Nothing was written.'
        : open
          ? `The gap is open still${byHand > 0 ? ': `changeover rescue resolve` decides the rest' : ''}.`
          : 'Everything is decided: the gap is closed.',
    ],
  };
}

export interface ResolveFlags {
  readonly take: Take;
  readonly all?: boolean;
}

/** `rescue resolve`: a person's word. */
export function resolveGap(
  context: CommandContext,
  name: string | undefined,
  parts: readonly string[],
  { take, all }: ResolveFlags,
): Promise<CommandResult> {
  needReason(context, 'rescue resolve');
  return withSession(context, {}, async (session) => {
    const { controller, act } = session;
    if ((all === true) === (name !== undefined))
      throw new ChangeoverError(
        'CONFIG_INVALID',
        'Name one record by its collection and key, or all of them with --all.',
      );
    if (all) {
      const { counts } = await controller.gap.list({ limit: 1 });
      const question = `${count(undecidedIn(counts), 'record')} will be decided at once: --take ${take}.`;
      const refusal = await confirmed(context, question, null);
      if (refusal) return refusal;
    }
    const { signal, stop } = interruption();
    try {
      const which =
        name === undefined
          ? ('all' as const)
          : { collection: name, key: keyIn(session, name, parts) };
      const report = await controller.gap.resolve({ ...act, take, which, signal });
      const { resolved, left, leftCount, state } = report;
      return {
        kind: 'rescue-resolve',
        verdict: leftCount === 0 ? 'done' : resolved > 0 ? 'partial' : 'no',
        stateVersion: state.version,
        data: { take, resolved, left, leftCount, gap: state.gap ?? null },
        next: [leftCount > 0 ? 'changeover rescue show COLLECTION KEY' : 'changeover rescue list'],
        text: [
          ...columns(left.map(({ collection, key, note }) => [collection, key, note])),
          `${count(resolved, 'record')} decided, ${leftCount} left${state.gap ? '' : '; the gap is closed'}.`,
        ],
      };
    } finally {
      stop();
    }
  });
}

/** `rescue give-up`: the target is lost for good. */
export function giveUpGap(context: CommandContext): Promise<CommandResult> {
  needReason(context, 'rescue give-up');
  return withSession(context, { tolerateStores: true }, async ({ controller, act }) => {
    const question =
      'What only the target has is given up for good, and this migration cannot go on with it.';
    const refusal = await confirmed(context, question, null);
    if (refusal) return refusal;
    const state = await controller.gap.giveUp(act);
    return {
      kind: 'rescue-give-up',
      verdict: 'done',
      stateVersion: state.version,
      data: { gap: null },
      next: ['changeover abort --reason TEXT'],
      text: [
        'The gap is given up. End this attempt with abort, and start again with a new target.',
      ],
    };
  });
}
