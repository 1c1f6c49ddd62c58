import type { Command } from 'commander';
import type { AdvanceResult } from '../../controller/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { type AddCommand, collected, flagsOf, whole } from '../command-line.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, stopwatch, withSession } from '../session.ts';
import { phaseOf, stateResult } from '../state-result.ts';
import { duration } from '../words.ts';

export const addAdvance: AddCommand = (program, perform) => {
  gated(program.command('advance').description('one phase forward, through the gates'))
    .option('--to <phase>', 'the phase that is meant')
    .action((_options, command) => {
      const flags = flagsOf<AdvanceFlags>(command);
      return perform(flags, (context) => advance(context, flags));
    });
};

/** Options of every step that gates guard. */
export const gated = (command: Command): Command =>
  command
    .option('--expect <version>', 'only from this state version', whole)
    .option('--override <gate>', 'pass this gate, with --reason; repeatable', collected);

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
      ? [
          `Not settled: ${cutover.problem} A worker goes on with it, or \`changeover switch-writes --recover\`.`,
        ]
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
