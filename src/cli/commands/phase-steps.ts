import { suggestion } from '../../config/index.ts';
import type { AdvanceResult, Plan, RollbackResult } from '../../controller/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { isPhase, type MigrationState, type Phase, phases } from '../../migration/index.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, stopwatch, withSession } from '../session.ts';
import { painter } from '../terminal-io.ts';
import { columns, duration } from '../words.ts';
import { tones } from './status.ts';

/** What a change of state looks like. */
export function stateResult(
  kind: string,
  state: MigrationState,
  text: readonly string[],
  data: Readonly<Record<string, unknown>> = {},
): CommandResult {
  return {
    kind,
    verdict: 'done',
    stateVersion: state.version,
    data: { state, ...data },
    next: ['changeover status'],
    text,
  };
}

/** A phase by name, or CONFIG_INVALID. */
export function phaseOf(name: string): Phase {
  if (isPhase(name)) return name;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `There is no phase "${name}".${suggestion(name, phases)}`,
  );
}

/** `plan`: may we enter the next phase? Changes nothing. */
export function plan(
  context: CommandContext,
  options: { readonly to?: string },
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller }) => {
    const made = await controller.plan(options.to === undefined ? undefined : phaseOf(options.to));
    const verdict = ({ pass: 'yes', fail: 'no', unknown: 'unknown' } as const)[made.verdict];
    const expect = `changeover ${made.to === 'write-switch' ? 'switch-writes' : 'advance'} --expect ${made.stateVersion}`;
    return {
      kind: 'plan',
      verdict,
      stateVersion: made.stateVersion,
      data: made,
      next: made.verdict === 'pass' ? [expect] : [],
      text: planText(made, context),
    };
  });
}

function planText(made: Plan, { io }: CommandContext): readonly string[] {
  const paint = painter(io);
  const rows = columns(made.gates.map(({ verdict, gate, message }) => [verdict, gate, message]));
  const painted = rows.map((row, index) => {
    const verdict = made.gates[index]?.verdict ?? 'unknown';
    return `  ${row.replace(verdict, paint(tones[verdict], verdict))}`;
  });
  return [
    `${made.from} → ${made.to} at state version ${made.stateVersion} (gates: ${made.profile}): ${made.verdict}`,
    ...painted,
  ];
}

export interface AdvanceFlags {
  readonly to?: string;
  readonly expect?: number;
  readonly override?: readonly string[];
}

/** `advance`: one phase forward, through the gates. */
export function advance(context: CommandContext, flags: AdvanceFlags): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const { controller, act, globals } = session;
    const { next, state } = await controller.status();
    const to = flags.to === undefined ? next?.to : phaseOf(flags.to);
    if (to === 'write-switch' || to === 'retired') {
      const question =
        to === 'write-switch'
          ? `Writes of "${state.migration}" will go to the target; they are held for a moment.`
          : `"${state.migration}" will be retired: the source is not written any more, and there is no way back.`;
      const refusal = await confirmed(context, question, state.version);
      if (refusal) return refusal;
    }
    const overrides = overridesOf(flags.override ?? [], globals.reason);
    const took = stopwatch();
    const result = await controller.advance({
      ...act,
      overrides,
      ...(to === undefined ? {} : { to }),
      ...(flags.expect === undefined ? {} : { expectedVersion: flags.expect }),
    });
    return advanced(result, took());
  });
}

function advanced(result: AdvanceResult, ms: number): CommandResult {
  const { state, cutover } = result;
  const pause = cutover ? ` Writes were held for ${duration(cutover.pauseMs)}.` : '';
  const open =
    cutover?.settled === false
      ? ['A mark is left in a guard; a worker or `changeover switch-writes --recover` removes it.']
      : [];
  return stateResult(
    'advance',
    state,
    [`${state.migration} is in ${state.phase} (state version ${state.version}).${pause}`, ...open],
    { gates: result.gates, ms: Math.round(ms), ...(cutover ? { cutover } : {}) },
  );
}

function overridesOf(
  names: readonly string[],
  reason: string | undefined,
): Readonly<Record<string, string>> {
  if (names.length > 0 && !reason?.trim()) {
    throw new ChangeoverError('CONFIG_INVALID', '--override needs --reason: it is recorded.');
  }
  return Object.fromEntries(names.map((name) => [name, reason ?? '']));
}

/** `switch-writes`: the change of authority; `--recover` undoes or settles what a dead coordinator left. */
export function switchWrites(
  context: CommandContext,
  flags: AdvanceFlags & { readonly recover?: boolean; readonly force?: boolean },
): Promise<CommandResult> {
  if (flags.recover !== true) return advance(context, { ...flags, to: 'write-switch' });
  return withSession(context, {}, async ({ controller }) => {
    const found = await controller.resumeCutover({ force: flags.force === true });
    const verdict = (
      {
        nothing: 'done',
        undone: 'done',
        settled: 'done',
        running: 'no',
        pending: 'partial',
      } as const
    )[found.outcome];
    return {
      kind: 'recover',
      verdict,
      stateVersion: found.state.version,
      data: found,
      next: ['changeover status'],
      text: [`${found.outcome}: ${found.message}`],
    };
  });
}

/** `rollback`: never asks, is never gated, and needs the control store alone while the source is the authority. */
export function rollback(
  context: CommandContext,
  flags: { readonly to?: string },
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller, act }) => {
    const to = flags.to === undefined ? undefined : phaseOf(flags.to);
    const result = await controller.rollback({ ...act, ...(to === undefined ? {} : { to }) });
    return rolledBack(result);
  });
}

function rolledBack({ state, ms, cutover, pending }: RollbackResult): CommandResult {
  const done = stateResult(
    'rollback',
    state,
    [
      `${state.migration} is back in ${state.phase}, dial 0 (state version ${state.version}), after ${duration(ms)}.`,
      cutover
        ? `Writes go to the source again; they were held for ${duration(cutover.pauseMs)}.`
        : 'Every reachable instance follows within a second.',
      ...(pending === null
        ? []
        : [
            `Still open: ${pending}. A worker goes on with it, or \`changeover switch-writes --recover\`.`,
          ]),
    ],
    { ms: Math.round(ms), pending, ...(cutover ? { cutover } : {}) },
  );
  return pending === null ? done : { ...done, verdict: 'partial' };
}

/** `dial`: the share of routing keys whose reads the target serves. */
export function dial(
  context: CommandContext,
  percent: string,
  flags: { readonly segment?: readonly string[] },
): Promise<CommandResult> {
  const share = Number(percent.replace(/\s*%$/, ''));
  return withSession(context, { tolerateStores: true }, async ({ controller, act }) => {
    const state = await controller.dial(share, flags.segment, act);
    const segments = state.segments.length > 0 ? `, segments ${state.segments.join(', ')}` : '';
    return stateResult('dial', state, [
      `The target serves ${state.dialBasisPoints / 100} % of the reads${segments} (state version ${state.version}).`,
    ]);
  });
}

/** `hold` and `resume`: background work; live writes go on. */
export function holdWork(context: CommandContext, held: boolean): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller, act }) => {
    const state = await (held ? controller.hold(act) : controller.resume(act));
    const text = held
      ? 'Background work is held: backfill, verify, repair. Live writes go on.'
      : 'Background work goes on.';
    return stateResult(held ? 'hold' : 'resume', state, [text]);
  });
}

/** `abort` and `decommission`: the two ends. Both remove what is ours from both stores. */
export function end(
  context: CommandContext,
  how: 'abort' | 'decommission',
): Promise<CommandResult> {
  return withSession(context, {}, async ({ controller, act, migration }: Session) => {
    const state = await migration.control.load(migration.migration.name);
    const what =
      how === 'abort'
        ? `"${state.migration}" will be given up: back to off, and everything of ours is removed from both stores.`
        : `Everything of ours will be removed from both stores of "${state.migration}".`;
    const refusal = await confirmed(context, what, state.version);
    if (refusal) return refusal;
    const after = await controller[how](act);
    const left = {
      source: await migration.stores.source.setup.objects(),
      target: await migration.stores.target.setup.objects(),
    };
    const objects = left.source.length + left.target.length;
    const done = stateResult(
      how,
      after,
      [`${after.migration} is ${after.phase}; ${objects} objects of ours are left in the stores.`],
      { left },
    );
    return objects === 0 ? done : { ...done, verdict: 'partial' };
  });
}

/** `attest-gone`: the operator's word that an instance does not run any more. */
export function attestGone(context: CommandContext, instance: string): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ controller, act, globals }) => {
    if (!globals.reason?.trim()) {
      throw new ChangeoverError(
        'CONFIG_INVALID',
        'attest-gone needs --reason: how do you know? It is recorded.',
      );
    }
    await controller.attestGone(instance, act);
    const { state } = await controller.status();
    return stateResult('attest-gone', state, [
      `${instance} counts as gone. If it runs after all, its writes are refused or lost: be sure.`,
    ]);
  });
}
