import { type Following, observeFollowing } from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { messageOf } from '../errors/index.ts';
import {
  isRefusal,
  type MigrationState,
  otherSide,
  type Phase,
  type Side,
  transition,
} from '../migration/index.ts';
import { type CutoverLimits, type CutoverStep, cutoverSteps } from './cutover-options.ts';
import {
  describePrediction,
  describeTransaction,
  type PausePrediction,
  predictPause,
} from './pause-prediction.ts';
import {
  ANSWER_MS,
  deadLetters,
  fleetChecks,
  guardCheck,
  logCheck,
  pass,
  type RehearsalCheck,
  trafficChecks,
  workerCheck,
} from './rehearsal-checks.ts';

/** What a change of authority would do, and what it would meet. */
export interface SwitchRehearsal {
  readonly stateVersion: number;
  readonly to: Side;
  readonly phaseAfter: Phase;
  readonly steps: readonly { readonly step: CutoverStep; readonly does: string }[];
  readonly checks: readonly RehearsalCheck[];
  /** null: the stores do not answer, or it cannot be begun at all. */
  readonly prediction: PausePrediction | null;
  readonly following: Following;
  /** No check fails or is unknown. */
  readonly ready: boolean;
}

export interface RehearsalOptions extends CutoverLimits {
  readonly to: Side;
  readonly phaseAfter: Phase;
  /** See `PredictionOptions`. */
  readonly growthMs: number;
  /** Nobody else drains: the worker has to live. Default: only said. */
  readonly needsWorker?: boolean;
}

/** What each step does, for people; `old` loses authority, `next` gets it. */
export function stepsOf(
  to: Side,
  limits: CutoverLimits,
): readonly { readonly step: CutoverStep; readonly does: string }[] {
  const old = otherSide[to];
  const does: Readonly<Record<CutoverStep, string>> = {
    preflight: `looks at everything below, installs the capture of the ${to}, waits until the queue is short; writes flow`,
    begin: 'notes the attempt; from here on it undoes itself when anything fails',
    arm: 'marks both guards with the attempt',
    hold: `tells every instance to hold new writes, for at most ${limits.holdMs} ms`,
    acknowledge: 'waits until every running instance has nothing in flight',
    drain: `waits until the ${to} has everything of the ${old}`,
    seal: `shuts the ${old} to every writer: waits for open transactions, then refuses`,
    'final-drain': 'waits for what those last transactions left',
    'in-doubt': 'rechecks keys that are in doubt',
    sequences: `raises the sequences of the ${to}`,
    flip: `makes the ${to} the authority and the ${old} its follower`,
    commit: 'publishes it: the point of no return; held writes go on',
    settle: 'clears the marks',
  };
  return cutoverSteps.map((step) => ({ step, does: does[step] }));
}

/** Looks at all that a change of authority looks at, and changes nothing but a mark in the log. CONTROL_UNAVAILABLE throws; a store that is down is a check that fails. */
export async function rehearseSwitch(
  context: MigrationContext,
  state: MigrationState,
  options: RehearsalOptions,
): Promise<SwitchRehearsal> {
  const { to, phaseAfter } = options;
  const old = otherSide[to];
  const [following, guards, dead, log, fleet, traffic, predicted] = await Promise.all([
    observeFollowing(context, state, ANSWER_MS),
    Promise.all([
      guardCheck(context, old, 'authority', state.epoch),
      guardCheck(context, to, 'follower', state.epoch),
    ]),
    deadLetters(context, old),
    logCheck(context, state),
    fleetChecks(context),
    trafficChecks(context, old),
    prediction(context, state, options),
  ]);
  const checks: readonly RehearsalCheck[] = [
    possible(context, state, options),
    ...guards,
    dead,
    ...log,
    workerCheck(following, options.needsWorker === true),
    ...fleet,
    ...traffic,
    ...predicted.checks,
  ];
  return {
    stateVersion: state.version,
    to,
    phaseAfter,
    steps: stepsOf(to, options),
    checks,
    prediction: predicted.prediction,
    following,
    ready: checks.every(({ verdict }) => verdict === 'pass' || verdict === 'warn'),
  };
}

function possible(
  { instance }: MigrationContext,
  state: MigrationState,
  { to, phaseAfter }: RehearsalOptions,
): RehearsalCheck {
  const event = {
    type: 'cutover-begin',
    attempt: '-',
    owner: instance,
    to,
    phaseAfter,
  } as const;
  const probe = transition(state, event);
  return isRefusal(probe)
    ? {
        check: 'state',
        verdict: 'fail',
        message: `Not from here: ${probe.refused}.`,
        fix: state.cutover
          ? 'Wait for its end, or changeover switch-writes --recover.'
          : 'See changeover status.',
      }
    : pass('state', `From ${state.phase} (state version ${state.version}) to ${phaseAfter}.`);
}

async function prediction(
  context: MigrationContext,
  state: MigrationState,
  options: RehearsalOptions,
): Promise<{
  readonly prediction: PausePrediction | null;
  readonly checks: readonly RehearsalCheck[];
}> {
  let predicted: PausePrediction;
  try {
    predicted = await predictPause(context, state, options.to, {
      ...options,
      decidesDoubts: options.to === 'target',
    });
  } catch (error) {
    const message = `The pause cannot be predicted: ${messageOf(error)}`;
    const fix = 'Remove the cause of the error and look again.';
    return { prediction: null, checks: [{ check: 'pause', verdict: 'unknown', message, fix }] };
  }
  const { transactions, obstacles, unseen, inDoubt, ms, budgetMs } = predicted;
  const checks: RehearsalCheck[] = obstacles.map((message) => ({
    check: 'obstacle',
    verdict: 'fail',
    message,
    fix: 'As it says.',
  }));
  for (const message of unseen)
    checks.push({ check: 'not seen', verdict: 'warn', message, fix: 'As it says.' });
  for (const one of transactions) {
    const long = (one.ageMs ?? 0) > budgetMs;
    if (!long && one.kind === 'session') continue;
    checks.push({
      check: 'transactions',
      verdict: long ? 'fail' : 'warn',
      message: `The guard would wait for ${describeTransaction(one)}.`,
      fix: 'Let it end, or end it.',
    });
  }
  if (inDoubt > 0)
    checks.push({
      check: 'keys in doubt',
      verdict: 'warn',
      message: `${inDoubt} are rechecked while writes are held; one that stays in doubt undoes the switch.`,
      fix: 'changeover mismatch recheck before the switch.',
    });
  const said = `About ${describePrediction(predicted)}, of ${budgetMs} ms allowed.`;
  checks.push(
    ms <= budgetMs
      ? pass('pause', said)
      : {
          check: 'pause',
          verdict: 'fail',
          message: said,
          fix: 'Remove the longest part, or allow more (switch.holdMs, with writes.holdMs above it).',
        },
  );
  return { prediction: predicted, checks };
}
