import { prepareStream, streamEnds } from '../capture/index.ts';
import { waitForAcknowledgements } from '../control/index.ts';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import { isRefusal, transition } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { applyAttemptEvent } from './attempt-fate.ts';
import type { CutoverStep } from './cutover-options.ts';
import { expectGuard } from './expect-guard.ts';
import { describeGuard, sameRole } from './guard-roles.ts';
import { hasTraffic } from './held-mark.ts';
import { fits, predictPause, refusalOf } from './pause-prediction.ts';
import { rescuePreflight } from './rescue-preflight.ts';
import type { SwitchRun } from './switch-run.ts';
import {
  abortable,
  changing,
  deadMessage,
  drainWithin,
  fewDoubts,
  heardOf,
  LOOK_MS,
} from './switch-waits.ts';
import { holdTraffic, whyNotHoldable } from './traffic.ts';

const empty = { waitingMax: 0, oldestMsMax: 0 };

/** Every step before `settle`. Order and crash points: SPEC.md, section Cutover. */
export const switchSteps: Readonly<
  Record<Exclude<CutoverStep, 'settle'>, (run: SwitchRun) => Promise<void>>
> = {
  preflight,
  begin,
  arm,
  hold,
  acknowledge,
  // The log was level a moment ago, and what has come since is waited for once, behind the seal.
  drain: (run) => drain(run, false),
  seal,
  'final-drain': (run) => drain(run, true),
  'in-doubt': inDoubt,
  sequences,
  flip,
  commit,
};

/** A rescue is for when this does not come to its end. */
async function drain(run: SwitchRun, log: boolean): Promise<void> {
  if (run.options.rescue === undefined)
    await drainWithin(run, () => run.leftMs(), { ...empty, log });
}

/** Everything that can be known and prepared while writes flow. Changes nothing but the reverse capture, which is idempotent. */
async function preflight(run: SwitchRun): Promise<void> {
  const { context, options, state } = run;
  const { to, phaseAfter, expectedVersion } = options;
  if (expectedVersion !== undefined && expectedVersion !== state.version) {
    throw new ChangeoverError(
      'STATE_CHANGED',
      `The decision was taken on state version ${expectedVersion}, the state is at ${state.version}.`,
    );
  }
  const { attempt } = run;
  const { rescue } = options;
  const probe = transition(state, {
    type: 'cutover-begin',
    attempt,
    owner: context.instance,
    to,
    phaseAfter,
    ...(rescue ? { rescue } : {}),
  });
  if (isRefusal(probe))
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      `The change of authority is refused: ${probe.refused}.`,
    );
  if (rescue) return rescuePreflight(run, rescue);
  await expectGuard(run, run.old, { role: 'authority', epoch: state.epoch, attempt: null });
  await expectGuard(run, to, { role: 'follower', epoch: state.epoch, attempt: null });
  if (options.dryRun) {
    const { dead } = await context.stores[run.old].queue.depth();
    if (dead > 0) run.fail(deadMessage(run.old, dead));
    await holdable(run, true);
    await predict(run);
    return;
  }
  for (const collection of context.migration.collections.values()) {
    // Its table locks must not fall into the hold; the door's own writes are not captured by it.
    if (collection.capture === 'outbox')
      await context.stores[to].setup.installCapture(collection.name);
  }
  // Its log is kept from before the hold: making a slot waits for every running transaction. All that commits there until the flip is the door's.
  const reverse = streamEnds(context, to, state.epoch + 1);
  if (reverse) await prepareStream(reverse, options.drainTimeoutMs);
  const { clock } = context.runtime;
  const until = clock.monotonic() + options.drainTimeoutMs;
  await heardOf(run, () => until - clock.monotonic());
  if (decidesDoubts(run)) await fewDoubts(run);
  const { waitingMax, oldestMsMax } = options;
  await drainWithin(run, () => until - clock.monotonic(), { waitingMax, oldestMsMax, log: true });
  await holdable(run, false);
  await predict(run);
}

/** Can the hooks hold? On the way back that is noted alone. */
async function holdable(run: SwitchRun, dry: boolean): Promise<void> {
  const why = await whyNotHoldable(run.context, run.old, dry);
  if (why === null) return;
  if (run.needsHooks) throw new ChangeoverError('CUTOVER_ABORTED', `${why} Nothing was begun.`);
  run.trafficProblems.push(why);
}

/** Last of all, so that it sees what the hold will see. */
async function predict(run: SwitchRun): Promise<void> {
  const { context, options, state } = run;
  const refuses =
    (options.prediction ?? (options.to === 'target' ? 'refuse' : 'note')) === 'refuse';
  const refuse = (why: string, cause?: unknown): never => {
    throw new ChangeoverError('PAUSE_TOO_LONG', `${why} Nothing was begun.`, { cause });
  };
  try {
    run.prediction = await predictPause(context, state, options.to, {
      ...options,
      growthMs: options.dryRun ? GROWTH_MS : 0,
      decidesDoubts: decidesDoubts(run),
    });
  } catch (error) {
    if (refuses) refuse(`How long writes would be held cannot be told: ${messageOf(error)}`, error);
  }
  if (refuses && run.prediction !== null && !fits(run.prediction))
    refuse(refusalOf(run.prediction));
}

/** Between two looks at a queue that may grow. */
const GROWTH_MS = 500;

const decidesDoubts = ({ options }: SwitchRun): boolean =>
  (options.inDoubt ?? (options.to === 'target' ? 'require' : 'ignore')) === 'require';

async function begin(run: SwitchRun): Promise<void> {
  const { context, options, attempt } = run;
  // The lease first: an attempt without a living coordinator is undone by whoever sees it.
  await run.takeLease();
  const { to, phaseAfter, actor, reason, evidence, rescue } = options;
  run.state = await applyAttemptEvent(
    context,
    {
      type: 'cutover-begin',
      attempt,
      owner: context.instance,
      to,
      phaseAfter,
      ...(rescue ? { rescue } : {}),
    },
    { actor, reason, ...(evidence ? { detail: { evidence } } : {}) },
    options.ackTimeoutMs,
    options.expectedVersion,
  );
}

/** Both guards take the attempt's mark, and from here on only changes that know it succeed. */
async function arm(run: SwitchRun): Promise<void> {
  const { attempt, epoch, options } = run;
  for (const side of run.leavesOldAlone ? [options.to] : [run.old, options.to]) {
    const role = side === run.old ? ('authority' as const) : ('follower' as const);
    await changing(run, side, options.lockTimeoutMs * 4, async () => {
      const { guard } = run.context.stores[side];
      const row = await guard.read();
      if (!sameRole(row, { role, epoch, attempt: null })) {
        throw new ChangeoverError(
          'CUTOVER_ABORTED',
          `The guard of the ${side} is ${describeGuard(row)}, expected ${role}/${epoch}.`,
        );
      }
      // Another mark is one of an ended attempt: this one is the only one under way.
      return guard.change(row, { role, epoch, attempt }, options.lockTimeoutMs);
    });
  }
  // Who knows that something is under way looks for the next state at short intervals. Not of all: whom it does not reach is waited for behind the hold.
  await waitForAcknowledgements(run.context, run.state.version, {
    timeoutMs: Math.min(HEARD_MS, options.ackTimeoutMs),
    expired: 'ignore',
  }).catch(() => {});
}

/** Longest wait, with writes flowing, for instances to see that a change of authority is under way. */
const HEARD_MS = 500;

/** For a hook that has said, or shown, that it could not hold. */
const BROKEN_HOLD_MS = 250;

async function hold(run: SwitchRun): Promise<void> {
  const { context, options, attempt } = run;
  run.heldSince = context.runtime.clock.monotonic();
  run.state = await applyAttemptEvent(
    context,
    { type: 'cutover-hold-writes', attempt },
    { actor: options.actor, reason: options.reason },
    run.leftMs(),
    undefined,
    run.state,
  );
  // After E8: whoever slept up to here and was undone meanwhile is refused there, and holds nothing.
  if (!hasTraffic(context)) return;
  const ms = Math.max(1, Math.min(options.ackTimeoutMs, run.leftMs()));
  if (run.needsHooks) return holdTraffic(context, ms);
  if (options.rescue === undefined) {
    // One that is known to be broken is not waited for, and no other one longer than leaves time for the rest.
    const known = run.trafficProblems.length > 0;
    const limit = known ? Math.min(ms, BROKEN_HOLD_MS) : Math.min(ms, run.leftMs() / 2);
    await holdTraffic(context, limit).catch((error: unknown) =>
      run.trafficProblems.push(messageOf(error)),
    );
    return;
  }
  // What has begun in a store that is dying may never end. Nothing is drained: who is not held is refused, or in the gap.
  await holdTraffic(context, ms / 4).catch(() => {});
}

/**
 * Every instance that runs has nothing in flight from before the hold. One whose lease has expired is not waited for: it may be paused
 * with a write in its hand, and the seal is what refuses that write.
 */
async function acknowledge(run: SwitchRun): Promise<void> {
  const timeoutMs = Math.max(1, Math.min(run.options.ackTimeoutMs, run.leftMs()));
  const waiting = waitForAcknowledgements(run.context, run.state.version, {
    timeoutMs,
    expired: 'ignore',
  });
  await run.within('waiting for the acknowledgements', waiting);
}

/** Own and foreign writes end here: the exclusive lock waits for all that were let in, and lets nobody in any more. */
async function seal(run: SwitchRun): Promise<void> {
  if (run.leavesOldAlone) return;
  const { attempt, epoch } = run;
  await changing(run, run.old, run.leftMs(), (lockMs) =>
    run.context.stores[run.old].guard.change(
      { role: 'authority', epoch, attempt },
      { role: 'sealed', epoch, attempt },
      lockMs,
    ),
  );
}

async function inDoubt(run: SwitchRun): Promise<void> {
  const { context, options } = run;
  if (!decidesDoubts(run)) return;
  const { name } = context.migration;
  for (;;) {
    const suspects = await run.within(
      'counting suspects',
      context.control.mismatches.count(name, 'suspect'),
    );
    if (suspects === 0) return;
    if (run.leftMs() <= LOOK_MS) run.fail(`${suspects} keys are still in doubt.`);
    if (options.recheck) await abortable(run, 'the recheck of keys in doubt', options.recheck);
    await context.runtime.clock.sleep(LOOK_MS);
  }
}

async function sequences(run: SwitchRun): Promise<void> {
  if (run.leavesOldAlone) return;
  const { stores } = run.context;
  const raise = async (): Promise<void> => {
    const values = await stores[run.old].guard.sequenceValues();
    if (values.size > 0) await stores[run.options.to].guard.raiseSequences(values);
  };
  if (run.options.rescue === undefined) return run.within('raising sequences', raise());
  // A store that can hardly answer does not keep the application waiting for this: it is done again when the gap is collected.
  await withDeadline(
    run.context.runtime.clock,
    Math.max(1, run.leftMs() / 4),
    'raising sequences',
    raise(),
  ).catch(() => {});
}

/**
 * The old authority is sealed, so the new one may be opened; nobody writes to it before the commit publishes its epoch. Both before the
 * commit, so that nothing but the commit stands between the hold and working stores.
 */
async function flip(run: SwitchRun): Promise<void> {
  const { attempt, epoch, options } = run;
  const { stores } = run.context;
  await Promise.all([
    changing(run, options.to, run.leftMs(), (lockMs) =>
      stores[options.to].guard.change(
        { role: 'follower', epoch, attempt },
        { role: 'authority', epoch: epoch + 1, attempt },
        lockMs,
      ),
    ),
    run.leavesOldAlone ||
      changing(run, run.old, run.leftMs(), (lockMs) =>
        stores[run.old].guard.change(
          { role: 'sealed', epoch, attempt },
          { role: options.rescue ? 'sealed' : 'follower', epoch: epoch + 1, attempt },
          lockMs,
        ),
      ),
  ]);
}

/** The point of no return. */
async function commit(run: SwitchRun): Promise<void> {
  const { context, options, attempt } = run;
  const left = run.leftMs();
  if (left <= 0) {
    throw new ChangeoverError(
      'DEADLINE_EXCEEDED',
      `The hold of ${options.holdMs} ms was over before the commit.`,
    );
  }
  run.state = await applyAttemptEvent(
    context,
    { type: 'cutover-commit', attempt },
    { actor: options.actor, reason: options.reason },
    left,
    undefined,
    run.state,
  );
  run.committedAt = context.runtime.clock.monotonic();
}
