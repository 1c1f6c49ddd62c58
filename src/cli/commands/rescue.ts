import type { RescueSurvey } from '../../controller/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import type { Phase } from '../../migration/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import { confirmed } from '../confirm.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { phaseOf, stateResult } from '../state-result.ts';
import { count, duration } from '../words.ts';
import { addGapCommands } from './rescue-gap.ts';

export const addRescue: AddCommand = (program, perform) => {
  const rescue = program
    .command('rescue')
    .description('back to the source now, although the reverse direction is not drained')
    .option('--dry-run', 'only say what would be left behind')
    .option('--to <phase>', 'an earlier phase; default read-switch')
    .option('--target-unreachable', 'the target does not answer: go on without sealing it first')
    .addHelpText('after', afterwards)
    .action((_options, command) => {
      const flags = flagsOf<RescueFlags>(command);
      return perform(flags, (context) => rescueNow(context, flags));
    });
  addGapCommands(rescue, perform);
};

const afterwards = `
What only the target has stays there, sealed, and is collected before anything is sent to it again: the gap.
Afterwards: rescue preview, rescue apply, then rescue resolve for what is left. docs/guides/rescue.md`;

interface RescueFlags {
  readonly dryRun?: boolean;
  readonly to?: string;
  readonly targetUnreachable?: boolean;
}

/** Nobody waits longer than this for a target that hangs. */
const catalogMs = 1_500;

/** `rescue`: authority back to the source, and what that leaves behind. */
function rescueNow(context: CommandContext, flags: RescueFlags): Promise<CommandResult> {
  const to = flags.to === undefined ? undefined : phaseOf(flags.to);
  return withSession(context, { tolerateStores: true, catalogMs }, async (session) => {
    const survey = await session.controller.surveyRescue(to);
    if (flags.dryRun) return surveyed(survey, flags);
    if (survey.refusal !== null)
      throw new ChangeoverError('TRANSITION_REFUSED', `No rescue: ${survey.refusal}.`);
    if (!context.globals.reason?.trim())
      throw new ChangeoverError('CONFIG_INVALID', 'rescue needs --reason: it is recorded.');
    const question = [
      ...inWords(survey, flags),
      'Writes go back to the source, without these.',
    ].join('\n');
    const refusal = await confirmed(context, question, survey.state.version);
    return refusal ?? carryOut(session, flags, to);
  });
}

async function carryOut(
  { controller, act }: Session,
  flags: RescueFlags,
  to: Phase | undefined,
): Promise<CommandResult> {
  const targetUnreachable = flags.targetUnreachable === true;
  const done = await controller.rescue({ ...act, targetUnreachable, ...(to ? { to } : {}) });
  const { state, pauseMs } = done;
  return stateResult(
    'rescue',
    state,
    [
      `${state.migration} is back in ${state.phase} (state version ${state.version}); writes were held for ${duration(pauseMs)}.`,
      targetUnreachable
        ? 'The target is sealed as soon as it answers; until then a stale process may still write there, and that becomes a part of the gap.'
        : 'The target is sealed.',
      'A worker collects the gap, or `changeover rescue collect`; then `changeover rescue preview` says what can be brought back.',
      ...(done.problem === null ? [] : [`Still open: ${done.problem}`]),
    ],
    { rescue: done },
  );
}

function surveyed(survey: RescueSurvey, flags: RescueFlags): CommandResult {
  const { targetUnreachable } = flags;
  const { state, refusal, target, log, routers } = survey;
  const silent = target.guard === null;
  const possible = refusal === null && (!silent || targetUnreachable === true);
  return {
    kind: 'rescue-plan',
    verdict: possible ? 'yes' : 'no',
    stateVersion: state.version,
    data: {
      possible,
      refusal,
      targetAnswers: !silent,
      target,
      // JSON has no numbers of this size.
      log: log && { ...log, behind: log.behind === null ? null : String(log.behind) },
      routers,
    },
    next: possible
      ? [`changeover rescue${silent ? ' --target-unreachable' : ''} --reason TEXT`]
      : refusal === null
        ? ['changeover rescue --target-unreachable --reason TEXT']
        : ['changeover status'],
    text: refusal === null ? inWords(survey, flags) : [`No rescue: ${refusal}.`],
  };
}

/** What would be left behind. */
function inWords(
  { target, log, routers }: RescueSurvey,
  { targetUnreachable }: RescueFlags,
): readonly string[] {
  const { queue, guard, error } = target;
  const alive = routers.filter(({ alive: runs }) => runs).length;
  const expired = routers.length - alive;
  return [
    guard === null
      ? `The target does not answer (${error ?? 'no reason given'}): it cannot be sealed before the switch.`
      : targetUnreachable
        ? 'The target answers, but with --target-unreachable it is NOT sealed before the switch: a stale process may write there although the source does. Leave the flag out unless the rescue failed without it.'
        : 'The target answers: it is sealed before the switch.',
    queue === null
      ? 'Its queue cannot be counted; what stands there is not lost by that.'
      : `Its queue: ${count(queue.waiting, 'change')} waiting, ${count(queue.dead, 'dead letter')}, the oldest ${duration(queue.oldestMs)} old.`,
    ...(log === null
      ? []
      : [
          log.error === null
            ? `Its log: the source stands at ${log.position ?? 'an unknown place'}, the end is ${log.end}.`
            : `Its log cannot be asked: ${log.error}`,
        ]),
    `${count(alive, 'running router')} must acknowledge${expired > 0 ? `; ${count(expired, 'router')} with an expired lease will be refused by the stores` : ''}.`,
  ];
}
