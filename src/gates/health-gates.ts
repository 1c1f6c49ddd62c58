import { caughtUp, logLag, logReaders, logStopped } from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import { authorityOf } from '../migration/index.ts';
import { counted, fail, pass, unknown } from './answers.ts';
import { followingBegan } from './following-began.ts';
import type { Gate } from './gate.ts';
import { comparisonsNeeded, parityLowerBound, percentText, provesParity } from './parity-bound.ts';

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
      : fail(`${seen}; ${limits}.`, { waiting, oldestMs });
  },
};

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

const seconds = (ms: number): string => `${Number((ms / 1_000).toFixed(1))} s`;

/** No confirmed mismatch is open, and none waits for its recheck. */
export const noMismatches: Gate = {
  name: 'unexplained-mismatches',
  question: 'Is every difference repaired or explained?',
  overridable: true,
  async evaluate({ context }) {
    const { name } = context.migration;
    const [open, suspects] = await Promise.all([
      context.control.mismatches.count(name, 'open'),
      context.control.mismatches.count(name, 'suspect'),
    ]);
    if (open > 0)
      return fail(`Open: ${counted(open, 'mismatch')}. See mismatch list, diff, mismatch repair.`, {
        open,
        suspects,
      });
    if (suspects > 0)
      return unknown(
        `In doubt: ${counted(suspects, 'key')}. A worker or mismatch recheck looks again.`,
        { open, suspects },
      );
    return pass('No mismatch is open or in doubt.', { open, suspects });
  },
};

/** The shadow reads prove the share of equal answers that the profile demands. */
export const shadowReadParity: Gate = {
  name: 'shadow-read-parity',
  question: 'Do shadow reads prove that both stores answer alike?',
  overridable: true,
  async evaluate({ context, state, profile }) {
    const began = await followingBegan(context, state);
    if (began === null)
      return unknown('The audit does not tell since when the follower has had every change.');
    const nowMs = context.runtime.clock.now();
    const from = Math.max(nowMs - profile.windowMinutes * 60_000, began.atMs);
    const rows = await context.control.evidence.since(
      context.migration.name,
      Math.floor(from / 60_000),
    );
    const sum = { matched: 0, confirmed: 0, shed: 0, timedOut: 0, failed: 0 };
    for (const row of rows) {
      if (row.detector !== 'shadow-read') continue;
      sum.matched += row.matched;
      sum.confirmed += row.confirmed;
      sum.shed += row.shed;
      sum.timedOut += row.timedOut;
      sum.failed += row.failed;
    }
    const comparisons = sum.matched + sum.confirmed;
    const { parity, confidence } = profile;
    const needed = comparisonsNeeded(sum.confirmed, parity, confidence);
    const bound = parityLowerBound(comparisons, sum.confirmed, confidence);
    const evidence = {
      ...sum,
      comparisons,
      bound,
      parity,
      confidence,
      needed,
      profile: profile.name,
    };
    const seen = `${comparisons} comparisons with ${sum.confirmed} mismatches prove ${percentText(bound)}`;
    const demanded = `${percentText(parity)} at ${percentText(confidence)} (${profile.name})`;
    if (comparisons === 0)
      return unknown(`No shadow read was compared yet; ${needed} prove ${demanded}.`, evidence);
    if (provesParity(comparisons, sum.confirmed, parity, confidence))
      return pass(`${seen}; demanded: ${demanded}.`, evidence);
    const message = `${seen}; demanded: ${demanded}, which takes ${needed} comparisons.`;
    // Too little seen is not a failure, it is not yet an answer.
    return sum.confirmed > comparisons * (1 - parity)
      ? fail(message, evidence)
      : unknown(message, evidence);
  },
};
