import { caughtUp, logLag, logReaders, logStopped } from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { authorityOf } from '../migration/index.ts';
import { counted, fail, pass, seconds, unknown } from './answers.ts';
import type { Gate, GateForecast, GateInput } from './gate.ts';
import { livingWorkers, noWorker } from './living-worker.ts';

/** No change of the authority waits for a person. */
export const noDeadLetters: Gate = {
  name: 'dead-letters',
  question: 'Are there no dead letters?',
  overridable: true,
  async evaluate({ context, state }) {
    const side = authorityOf(state.phase);
    const { dead } = await context.stores[side].queue.depth();
    return dead === 0
      ? pass(`No dead letters in the queue of the ${side}.`, { dead })
      : fail(
          `In the queue of the ${side}: ${counted(dead, 'dead letter')}. See dlq list, then dlq retry or dlq discard.`,
          { dead },
        );
  },
};

/** At the write switch a redrive would re-read the wrong store, so this one is not negotiable. */
export const noDeadLettersAtSwitch: Gate = { ...noDeadLetters, overridable: false };

/** The follower is close behind. */
export const queueLag: Gate = {
  name: 'queue-lag',
  question: 'Is the follower close behind?',
  overridable: true,
  async evaluate({ context, state, profile }) {
    const side = authorityOf(state.phase);
    const { waiting, oldestMs } = await context.stores[side].queue.depth();
    const age = waiting === 0 ? '' : `, the oldest for ${seconds(oldestMs)}`;
    const seen = `Waiting in the queue of the ${side}: ${counted(waiting, 'change')}${age}`;
    const limits = `allowed: ${counted(profile.queueWaitingMax, 'change')}, for ${seconds(profile.queueOldestMsMax)}`;
    const close = waiting <= profile.queueWaitingMax && oldestMs <= profile.queueOldestMsMax;
    return close
      ? pass(`${seen}.`, { waiting, oldestMs })
      : fail(`${seen}; ${limits}.`, { waiting, oldestMs }, await drainForecast(context, waiting));
  },
};

/** By what the workers of now apply, and if nothing more came. */
async function drainForecast(
  { control, migration, runtime }: GateInput['context'],
  waiting: number,
): Promise<GateForecast> {
  const { nowMs, instances } = await control.fleet.list(migration.name);
  const perSecond = instances
    .filter(({ kind, leaseUntilMs }) => kind === 'worker' && leaseUntilMs > nowMs)
    .reduce((sum, { report }) => sum + (report?.changesPerSecond ?? 0), 0);
  if (perSecond <= 0)
    return { atMs: null, text: 'cannot be predicted: no worker applies anything of the queue' };
  const rate = Number(perSecond.toPrecision(2));
  return {
    atMs: runtime.clock.now() + (waiting / perSecond) * 1_000,
    text: `workers apply ${rate} changes a second, if no more come than they apply`,
  };
}

/** What is captured from the log arrives, and none of it is about to be thrown away. */
export const logKept: Gate = {
  name: 'log-lag',
  question: 'Does the follower keep up with the log, and is the log kept for it?',
  overridable: true,
  async evaluate({ context, state, profile }) {
    const lag = await logLag(context, state);
    if (lag === null) return pass('No collection is captured from the log.', {});
    const { position, end, retention } = lag;
    const evidence = { position: position?.text ?? null, end: end.text, ...retention };
    const kept = `${retention.retainedBytes} bytes of log are kept for it`;
    if (retention.state === 'lost')
      return fail(
        'A part of the log that was not applied is gone: abort and start anew.',
        evidence,
      );
    if (retention.state === 'at-risk')
      return fail(
        `${kept}, ${retention.leftBytes ?? '?'} more and the store throws away what was not applied. Find out what holds up the worker, or give the log more room.`,
        evidence,
      );
    if (position === null)
      return fail('The follower does not know where its log begins.', evidence);
    const waitMs = Math.min(profile.queueOldestMsMax, LOG_WAIT_MS);
    return (await caughtUp(context, state, waitMs))
      ? pass(`A change written now arrived within ${seconds(waitMs)}; ${kept}.`, evidence)
      : fail(
          `A change written now did not arrive within ${seconds(waitMs)}; ${kept}. ${await whyStopped(context)}`,
          evidence,
        );
  },
};

/** What a worker said last when it could not go on, in this period of authority. It may be over, but then the log would move. */
async function whyStopped(context: MigrationContext): Promise<string> {
  const { control, migration } = context;
  if ((await logReaders(context)).length === 0)
    return 'No worker is running: start one with changeover run.';
  const lines = await control.history(migration.name, RECENT);
  const begun = lines.findIndex(({ action }) => action === 'start' || action === 'cutover-commit');
  const last = lines
    .slice(0, begun < 0 ? RECENT : begun)
    .find(({ action }) => action === logStopped);
  return last
    ? `The worker stopped following: ${last.reason}`
    : 'A worker is running: look at its output, and at the load of both stores.';
}

const RECENT = 200;
const LOG_WAIT_MS = 2_000;

/** No confirmed mismatch is unexplained, and none waits for its recheck: as far as anybody has looked. */
export const noMismatches: Gate = {
  name: 'unexplained-mismatches',
  question: 'Is every difference repaired or explained?',
  overridable: true,
  async evaluate({ context }) {
    const { name } = context.migration;
    const [open, suspects, explained, workers] = await Promise.all([
      context.control.mismatches.count(name, 'unexplained'),
      context.control.mismatches.count(name, 'suspect'),
      context.control.mismatches.count(name, 'explained'),
      livingWorkers(context),
    ]);
    const evidence = { open, suspects, explained, workers };
    if (open > 0)
      return fail(
        `Open, recurring, or explained but expired: ${counted(open, 'mismatch')}. See mismatch list, diff, mismatch repair.`,
        evidence,
      );
    if (workers === 0) return unknown(noWorker, evidence);
    if (suspects > 0)
      return unknown(
        `In doubt: ${counted(suspects, 'key')}. A worker or mismatch recheck looks again.`,
        evidence,
        { atMs: null, text: 'with the next recheck, within some seconds as a rule' },
      );
    const told = explained > 0 ? ` Explained: ${counted(explained, 'mismatch')}.` : '';
    return pass(`No mismatch is open or in doubt.${told}`, evidence);
  },
};
