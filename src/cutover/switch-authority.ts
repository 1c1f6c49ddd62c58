import { removeStreams } from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import { authorityOf, type CutoverState, forwardIsShut } from '../migration/index.ts';
import { fateOf } from './attempt-fate.ts';
import {
  type CutoverStep,
  cutoverSteps,
  type SwitchOptions,
  type SwitchResult,
} from './cutover-options.ts';
import { clearStaleMark } from './guard-roles.ts';
import { hasTraffic, heldByOthers } from './held-mark.ts';
import { SwitchRun } from './switch-run.ts';
import { switchSteps } from './switch-steps.ts';
import { finishHeld } from './traffic.ts';
import { undoCutover } from './undo-cutover.ts';

/**
 * Moves authority from one store to the other: one engine for the write switch and for the way back. Steps, crash points and invariants:
 * SPEC.md, section Cutover. Until the commit every failure undoes itself; from the commit on it only goes forward, by anybody.
 *
 * Errors, all of them with the old authority serving or about to (`resumeCutover`): CUTOVER_ABORTED or, to the source,
 * REVERSE_NOT_DRAINED (the cause says at which step); PAUSE_TOO_LONG (nothing was begun); FLEET_NOT_ACKNOWLEDGED; STATE_CHANGED and TRANSITION_REFUSED (nothing
 * was begun); CONTROL_UNAVAILABLE (undecided: writes stay held or are refused until `resumeCutover` has reached the control store).
 */
export async function switchAuthority(
  context: MigrationContext,
  options: SwitchOptions,
): Promise<SwitchResult> {
  const state = await context.control.load(context.migration.name);
  const run = new SwitchRun(context, options, state);
  if (options.dryRun) {
    await run.step('preflight', () => switchSteps.preflight(run));
    return result(run, 'dry-run', null);
  }
  let begun = false;
  let at: CutoverStep = 'preflight';
  try {
    for (const step of cutoverSteps) {
      at = step;
      if (step === 'settle') break;
      if (step === 'begin') begun = true;
      await run.step(step, () => switchSteps[step](run));
    }
    return await settle(run);
  } catch (error) {
    if (!begun) throw error;
    return await recover(run, at, error);
  } finally {
    await run.end();
  }
}

/** After the point of no return: nothing here may fail the switch. */
async function settle(run: SwitchRun): Promise<SwitchResult> {
  const { context, options, old, state } = run;
  let problem: string | null = null;
  try {
    await run.step('settle', async () => {
      if (hasTraffic(context)) await release(run);
      const mark = await clearStaleMark(context, options.to, options.lockTimeoutMs);
      if (mark.outcome === 'held') problem = `${heldByOthers(mark.mark)}.`;
      if (!run.leavesOldAlone) await clearStaleMark(context, old, options.lockTimeoutMs);
    });
    // Nobody reads it any more, and it keeps the old authority's log from being tidied up. A worker repeats this.
    if (!forwardIsShut(state)) await removeStreams(context, old, state.epoch).catch(() => {});
  } catch (error) {
    problem = hasTraffic(context) ? byHand(run, messageOf(error)) : messageOf(error);
  }
  run.journalPrediction('committed');
  run.journalTraffic();
  return result(run, 'committed', problem);
}

/** What a person does when hooks do not: until then nothing that comes through them is written anywhere. */
function byHand({ options, releasedAt }: SwitchRun, problem: string): string {
  if (releasedAt !== null) return problem;
  return `${problem} TRAFFIC STANDS STILL, OR IS REFUSED: the ${options.to} is the authority. By hand: point what the hook leads to the ${options.to}, and let it go on.`;
}

/** Between two tries to let held traffic go. */
const AGAIN_MS = 100;

/** Lets held traffic go on, tried again for as long as an undo may take; then it is left to `resumeCutover`. */
async function release(run: SwitchRun): Promise<void> {
  const { clock } = run.context.runtime;
  const until = clock.monotonic() + run.options.undoMs;
  for (;;) {
    try {
      await finishHeld(run.context, run.options.to, run.options.lockTimeoutMs, {
        row: { role: 'authority', epoch: run.state.epoch, attempt: run.attempt },
        state: run.state,
      });
      run.releasedAt = clock.monotonic();
      return;
    } catch (error) {
      if (clock.monotonic() + AGAIN_MS >= until) throw error;
      await clock.sleep(AGAIN_MS);
    }
  }
}

/** A step has failed after `begin`: undo, under a fresh deadline, unless the commit went through and only its answer was lost. */
async function recover(run: SwitchRun, at: CutoverStep, error: unknown): Promise<SwitchResult> {
  const { context, options, attempt } = run;
  const act = { actor: options.actor, reason: `${at}: ${messageOf(error)}` };
  const undo = await undoCutover(context, ownCutover(run), act, options).catch((cause: unknown) => {
    throw new ChangeoverError(
      'CONTROL_UNAVAILABLE',
      `Attempt ${attempt} failed at ${at} (${messageOf(error)}) and could not be undone yet.`,
      { cause, data: { attempt, step: at } },
    );
  });
  run.state = undo.state;
  if (undo.outcome === 'committed') {
    run.committedAt = context.runtime.clock.monotonic();
    return settle(run);
  }
  // Of a begin that was refused nothing is left, and its own error says more than an abort.
  run.journalPrediction('failed');
  const neverBegun = at === 'begin' && (await fateOf(context, attempt)).fate === 'absent';
  if (neverBegun) throw error;
  throw aborted(run, at, error, undo.message);
}

function aborted(run: SwitchRun, at: CutoverStep, error: unknown, undo: string): ChangeoverError {
  const code = isChangeoverError(error, 'FLEET_NOT_ACKNOWLEDGED', 'REVERSE_NOT_DRAINED')
    ? error.code
    : 'CUTOVER_ABORTED';
  return new ChangeoverError(
    code,
    `The change of authority to the ${run.options.to} failed at step ${at}: ${messageOf(error)} Now: ${undo}.`,
    { cause: error, data: { attempt: run.attempt, step: at } },
  );
}

/** What the undo has to know, also when the answer to `begin` was lost. */
function ownCutover(run: SwitchRun): CutoverState {
  const { attempt, context, options, state } = run;
  if (state.cutover?.attempt === attempt) return state.cutover;
  const epoch = authorityOf(state.phase) === options.to ? state.epoch : state.epoch + 1;
  return {
    attempt,
    owner: context.instance,
    to: options.to,
    phaseAfter: options.phaseAfter,
    epoch,
    writesHeld: false,
    status: 'running',
    ...(options.rescue ? { rescue: options.rescue } : {}),
  };
}

function result(
  run: SwitchRun,
  outcome: SwitchResult['outcome'],
  problem: string | null,
): SwitchResult {
  return {
    attempt: run.attempt,
    prediction: run.prediction,
    outcome,
    pauseMs: run.pauseMs(),
    steps: run.timings,
    state: run.state,
    settled: problem === null,
    problem,
    notes: run.trafficProblems.map(
      (why) =>
        `${why} The way back did not wait for it: what came through it in that moment was refused by the ${run.old}.`,
    ),
  };
}
