import { caughtUp, loggedCollections, observeFollowing } from '../capture/index.ts';
import type { AuditEntry, MigrationContext } from '../control/index.ts';
import { messageOf } from '../errors/index.ts';
import { type MigrationState, otherSide, type Side } from '../migration/index.ts';
import { leastOf, withDeadline } from '../runtime/index.ts';
import type { OpenTransactionSeen } from '../store/index.ts';
import type { CutoverLimits, CutoverStep } from './cutover-options.ts';
import { hasTraffic } from './held-mark.ts';
import type { PausePart } from './pause-part.ts';
import { ANSWER_MS, describeTransaction, guardParts, sequencesPart } from './pause-store-parts.ts';

export type { PausePart, PausePartName } from './pause-part.ts';
export { describeTransaction } from './pause-store-parts.ts';

/** How long writes would be held, computed from what was measured just now. Nothing was changed, but for a mark in the log. */
export interface PausePrediction {
  readonly ms: number;
  /** `holdMs` of the configuration: a longer pause undoes itself. */
  readonly budgetMs: number;
  readonly parts: readonly PausePart[];
  /** Transactions that the guard of the old authority would wait for, the oldest first. */
  readonly transactions: readonly OpenTransactionSeen[];
  /** What the store does not show us: the prediction may be too short by it. */
  readonly unseen: readonly string[];
  /** Keys that are to be rechecked while writes are held. */
  readonly inDoubt: number;
  /** Why the switch could not be made whatever its length; each says what to do. Empty: nothing is in the way. */
  readonly obstacles: readonly string[];
}

/** True when the switch may begin. */
export const fits = ({ ms, budgetMs, obstacles }: PausePrediction): boolean =>
  obstacles.length === 0 && ms <= budgetMs;

export interface PredictionOptions
  extends Pick<CutoverLimits, 'holdMs' | 'waitingMax' | 'drainTimeoutMs'> {
  /** Look at the queue twice, so long apart: does it grow? 0: it has been drained to `waitingMax` already. */
  readonly growthMs: number;
  /** Suspect keys have to be decided before the commit. */
  readonly decidesDoubts: boolean;
}

/** Where nobody has measured: a control store that is polled tells an instance after so long at the latest. */
const ACKNOWLEDGE_MS = 250;
/** Where no worker has told: what a single one does against two stores on one busy machine. */
const CHANGES_PER_SECOND = 500;
/** Recheck of one key: a read on both sides. */
const DOUBT_MS = 5;
/** The hold, two looks at the fleet, the doubts, the commit. */
const CONTROL_CALLS = 5;
const HISTORY = 500;
/** A change that is due waits for the worker's next look at the queue. */
const POLL_MS = 25;

/** Predicts the pause of a change of authority to `to`. Throws what a store or the control store throws. */
export async function predictPause(
  context: MigrationContext,
  state: MigrationState,
  to: Side,
  options: PredictionOptions,
): Promise<PausePrediction> {
  const old = otherSide[to];
  const obstacles: string[] = [];
  const inTime = <T>(what: string, work: Promise<T>): Promise<T> =>
    withDeadline(context.runtime.clock, ANSWER_MS, what, work);
  const [acknowledge, queue, log, guard, sequences, control, inDoubt] = await Promise.all([
    acknowledgePart(context),
    inTime('the queue', queuePart(context, state, options, obstacles)),
    logPart(context, state, options, obstacles),
    guardParts(context, old, obstacles, inTime),
    inTime('the sequences', sequencesPart(context)),
    controlPart(context),
    options.decidesDoubts
      ? context.control.mismatches.count(context.migration.name, 'suspect')
      : Promise.resolve(0),
  ]);
  const parts: readonly PausePart[] = [
    ...acknowledge,
    queue,
    ...log,
    ...guard.parts,
    ...(inDoubt > 0
      ? [{ part: 'in-doubt' as const, ms: inDoubt * DOUBT_MS, why: `${inDoubt} keys to recheck` }]
      : []),
    sequences,
    control,
  ];
  return {
    ms: Math.round(parts.reduce((sum, { ms }) => sum + ms, 0)),
    budgetMs: options.holdMs,
    parts: parts.map((part) => ({ ...part, ms: Math.round(part.ms) })),
    transactions: guard.transactions,
    unseen: guard.unseen,
    inDoubt,
    obstacles,
  };
}

/** As the fleet last did it: in the drill or in a switch. */
async function acknowledgePart(context: MigrationContext): Promise<readonly PausePart[]> {
  const { control, migration } = context;
  const part = 'acknowledge' as const;
  const [{ nowMs, instances }, lines] = await Promise.all([
    control.fleet.list(migration.name),
    control.history(migration.name, HISTORY),
  ]);
  const running = instances.filter(
    ({ kind, leaseUntilMs }) => kind === 'router' && leaseUntilMs > nowMs,
  ).length;
  const hold = hasTraffic(context) ? (lines.map(heldIn).find((ms) => ms !== null) ?? 0) : 0;
  const traffic = hold > 0 ? [{ part: 'traffic' as const, ms: hold, why: 'as the last hold' }] : [];
  if (running === 0) return [...traffic, { part, ms: 0, why: 'no instance is running' }];
  const measured = lines.map(acknowledgedIn).find((ms) => ms !== null) ?? null;
  const of = `${running} ${running === 1 ? 'instance' : 'instances'}`;
  const own =
    measured === null
      ? { part, ms: ACKNOWLEDGE_MS, why: `${of}; not measured yet (a drill measures it)` }
      : { part, ms: measured, why: `${of}; as last measured` };
  return [...traffic, own];
}

/** Of a step that was done: how long it took. */
const stepIn = ({ action, detail }: AuditEntry, step: CutoverStep): number | null =>
  action === 'cutover-step' && detail['step'] === step && detail['outcome'] === 'done'
    ? typeof detail['ms'] === 'number'
      ? detail['ms']
      : null
    : null;

/** Traffic is held in the step of that name. */
const heldIn = (entry: AuditEntry): number | null => stepIn(entry, 'hold');

function acknowledgedIn(entry: AuditEntry): number | null {
  const { spreadMs } = entry.detail;
  if (entry.action === drillAction) return typeof spreadMs === 'number' ? spreadMs : null;
  return stepIn(entry, 'acknowledge');
}

/** Action of the audit line that a drill leaves; `spreadMs` in it is how long the fleet took. */
export const drillAction = 'rollback-drill';

async function queuePart(
  context: MigrationContext,
  state: MigrationState,
  { growthMs, waitingMax, drainTimeoutMs }: PredictionOptions,
  obstacles: string[],
): Promise<PausePart> {
  const following = await observeFollowing(context, state, ANSWER_MS);
  const { side, queue, problem, changesPerSecond, workers } = following;
  if (queue === null) {
    obstacles.push(`The queue of the ${side} does not answer: ${problem ?? ''}`);
    return { part: 'queue', ms: 0, why: 'not known' };
  }
  const rate = changesPerSecond ?? CHANGES_PER_SECOND;
  const said = changesPerSecond === null ? 'assumed' : 'measured';
  const { waiting } = queue;
  if (growthMs > 0 && waiting > waitingMax && workers.some(({ alive }) => alive)) {
    await context.runtime.clock.sleep(growthMs);
    const later = await context.stores[side].queue.depth();
    const perSecond = ((later.waiting - waiting) * 1_000) / growthMs;
    const drainMs =
      perSecond >= 0
        ? Number.POSITIVE_INFINITY
        : ((later.waiting - waitingMax) * 1_000) / -perSecond;
    if (drainMs > drainTimeoutMs)
      obstacles.push(
        `${later.waiting} changes wait in the queue of the ${side}, and it ${perSecond >= 0 ? `grows by ${Math.round(perSecond)}` : `shrinks by only ${Math.round(-perSecond)}`} a second: it does not come down to ${waitingMax} within ${Math.round(drainTimeoutMs / 1_000)} s. Add workers, or look at what holds them up (status).`,
      );
  } else if (growthMs > 0 && waiting > waitingMax) {
    const ms = ((waiting - waitingMax) * 1_000) / rate;
    if (ms > drainTimeoutMs)
      obstacles.push(
        `${waiting} changes wait in the queue of the ${side} and no worker is running: start one with changeover run.`,
      );
  }
  const held = Math.min(waiting, waitingMax);
  const drainMs = (held * 1_000) / rate;
  // What a worker keeps up with leaves the queue as quickly as its oldest entry is about to: much of it are writes in flight.
  const age = workers.some(({ alive }) => alive) ? queue.oldestMs : Number.POSITIVE_INFINITY;
  const ms = held === 0 ? 0 : POLL_MS + Math.min(drainMs, age);
  return {
    part: 'queue',
    ms,
    why: `${waiting} changes wait${waiting > held ? `, ${held} of them when the hold begins` : ''}; ${rate} a second (${said})`,
  };
}

/** Measured, not computed: a mark that is written now comes back through the log once everything before it is applied. */
async function logPart(
  context: MigrationContext,
  state: MigrationState,
  { holdMs }: PredictionOptions,
  obstacles: string[],
): Promise<readonly PausePart[]> {
  if (loggedCollections(context.migration).length === 0) return [];
  const { clock } = context.runtime;
  const began = clock.monotonic();
  try {
    const level = await caughtUp(context, state, Math.min(holdMs, ANSWER_MS));
    const ms = clock.monotonic() - began;
    if (level)
      return [{ part: 'log', ms, why: `a mark written now came back in ${Math.round(ms)} ms` }];
    obstacles.push(
      `What is written now is not applied within ${Math.round(ms)} ms: the log is behind. Look at the worker (status).`,
    );
    return [
      { part: 'log', ms, why: `a mark written now did not come back in ${Math.round(ms)} ms` },
    ];
  } catch (error) {
    obstacles.push(`The log cannot be followed: ${messageOf(error)}`);
    return [{ part: 'log', ms: 0, why: 'not known' }];
  }
}

async function controlPart({ control, migration, runtime }: MigrationContext): Promise<PausePart> {
  const ms = await leastOf(3, runtime.clock, () => control.load(migration.name));
  return {
    part: 'control',
    ms: CONTROL_CALLS * ms,
    why: `${CONTROL_CALLS} calls of ${ms.toFixed(1)} ms`,
  };
}

/** `0.3 s: acknowledge 0.25 s, guard 0.05 s`. */
export function describePrediction({ ms, parts }: PausePrediction): string {
  const told = parts.filter((part) => part.ms > 0).map(({ part, ms: of }) => `${part} ${of} ms`);
  return `${ms} ms${told.length > 0 ? ` (${told.join(', ')})` : ''}`;
}

/** Why a switch must not begin, in one message. */
export function refusalOf(prediction: PausePrediction): string {
  const { ms, budgetMs, obstacles, transactions } = prediction;
  const reasons = [...obstacles];
  if (ms > budgetMs) {
    const [oldest] = transactions.filter(({ kind }) => kind === 'session');
    const longest = [...prediction.parts].sort((a, b) => b.ms - a.ms)[0];
    reasons.push(
      `Writes would be held for about ${describePrediction(prediction)}, allowed are ${budgetMs} ms (switch.holdMs).`,
      ...(longest?.part === 'transactions' && oldest
        ? [`The guard would wait for ${describeTransaction(oldest)}: let it end, or end it.`]
        : longest
          ? [`Most of it: ${longest.part}, ${longest.why}.`]
          : []),
    );
  }
  return reasons.join(' ');
}
