import { type Following, logLag } from '../capture/index.ts';
import type { Instance, MigrationContext } from '../control/index.ts';
import { messageOf } from '../errors/index.ts';
import { authorityOf, type MigrationState, otherSide, type Side } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { describeGuard, sameRole } from './guard-roles.ts';
import { hasTraffic, heldByOthers, saysHeld } from './held-mark.ts';
import { deadMessage, isSilent } from './switch-waits.ts';
import { inspectTraffic } from './traffic.ts';

/** One thing that a change of authority needs. `warn` does not keep it from being made. */
export interface RehearsalCheck {
  readonly check: string;
  readonly verdict: 'pass' | 'warn' | 'fail' | 'unknown';
  /** What was seen, with values. */
  readonly message: string;
  /** What to do; empty for `pass`. */
  readonly fix: string;
}

/** A store that takes longer does not answer. */
export const ANSWER_MS = 5_000;
/** So long a change may wait while a worker lives before that is a sign. */
const STUCK_MS = 5_000;

export const pass = (check: string, message: string): RehearsalCheck => ({
  check,
  verdict: 'pass',
  message,
  fix: '',
});

/** The answer of a check that asks a store; no answer is `unknown`. */
async function asking(
  { runtime }: MigrationContext,
  check: string,
  side: Side,
  ask: () => Promise<RehearsalCheck>,
): Promise<RehearsalCheck> {
  try {
    const answer = Promise.resolve().then(ask);
    return await withDeadline(runtime.clock, ANSWER_MS, `${check} of the ${side}`, answer);
  } catch (error) {
    return {
      check,
      verdict: 'unknown',
      message: `The ${side} does not answer: ${messageOf(error)}`,
      fix: `Bring the ${side} back.`,
    };
  }
}

export function guardCheck(
  context: MigrationContext,
  side: Side,
  role: 'authority' | 'follower',
  epoch: number,
): Promise<RehearsalCheck> {
  const check = `guard of the ${side}`;
  return asking(context, check, side, async () => {
    const row = await context.stores[side].guard.read();
    if (row.attempt !== null && saysHeld(row.attempt) && !hasTraffic(context)) {
      const to = role === 'follower' ? side : otherSide[side];
      const message = `Of the ${side}: ${heldByOthers(row.attempt)}.`;
      return { check, verdict: to === 'target' ? 'fail' : 'warn', message, fix: 'As it says.' };
    }
    if (sameRole(row, { role, epoch, attempt: null }))
      return pass(check, `It is ${role}/${epoch}.`);
    return {
      check,
      verdict: 'fail',
      message: `It is ${describeGuard(row)}, expected ${role}/${epoch}.`,
      fix: 'See changeover status; a worker or changeover switch-writes --recover puts right what an interrupted change left.',
    };
  });
}

export function deadLetters(context: MigrationContext, side: Side): Promise<RehearsalCheck> {
  return asking(context, 'dead letters', side, async () => {
    const { dead } = await context.stores[side].queue.depth();
    if (dead === 0) return pass('dead letters', `None in the queue of the ${side}.`);
    return {
      check: 'dead letters',
      verdict: 'fail',
      message: deadMessage(side, dead),
      fix: 'changeover dlq list, then dlq retry or dlq discard.',
    };
  });
}

export async function logCheck(
  context: MigrationContext,
  state: MigrationState,
): Promise<readonly RehearsalCheck[]> {
  const found = await asking(context, 'log', authorityOf(state.phase), async () => {
    const lag = await logLag(context, state);
    if (lag === null) return pass('', '');
    const { position, retention } = lag;
    if (retention.state === 'lost' || position === null)
      return {
        check: 'log',
        verdict: 'fail',
        message:
          position === null
            ? 'The follower does not know where the log begins.'
            : 'A part of the log that was not applied is gone.',
        fix: 'It cannot be followed any more: verify and repair, or abort and start anew.',
      };
    if (retention.state === 'at-risk')
      return {
        check: 'log',
        verdict: 'warn',
        message: `${retention.retainedBytes} bytes of log are kept, and soon the store throws away what is not applied.`,
        fix: 'Find out what holds up the worker, or give the log more room.',
      };
    return pass('log', `${retention.retainedBytes} bytes of it are kept.`);
  });
  return found.check === '' ? [] : [found];
}

/** Somebody has to apply what comes, and it has to arrive. */
export function workerCheck(following: Following, needed: boolean): RehearsalCheck {
  const { workers, queue, lastError, side } = following;
  const live = workers.filter(({ alive }) => alive);
  const check = 'worker';
  if (live.length === 0) {
    const silent = workers
      .map(({ label, id, heardAgoMs }) => `${label || id} for ${seconds(heardAgoMs)}`)
      .join(', ');
    return {
      check,
      verdict: needed ? 'fail' : 'warn',
      message: silent
        ? `No worker is heard of: ${silent}.`
        : 'No worker is running: nobody applies changes.',
      fix: 'Start one: changeover run.',
    };
  }
  const waits = queue !== null && queue.waiting > 0;
  if (waits && lastError !== null)
    return {
      check,
      verdict: 'fail',
      message: `What waits in the queue of the ${side} is not applied: ${lastError.message} (${seconds(lastError.agoMs)} ago).`,
      fix: 'Remove what the message says; the worker tries again by itself.',
    };
  const applied = Math.min(...live.map(({ appliedAgoMs }) => appliedAgoMs ?? Infinity));
  if (waits && queue.oldestMs > STUCK_MS && applied > STUCK_MS)
    return {
      check,
      verdict: 'fail',
      message: `${queue.waiting} changes wait, the oldest for ${seconds(queue.oldestMs)}, and nothing was applied ${Number.isFinite(applied) ? `for ${seconds(applied)}` : 'yet'}.`,
      fix: 'Look at the output of the worker, and whether both stores answer it.',
    };
  const heard = Math.min(...live.map(({ heardAgoMs }) => heardAgoMs));
  return pass(check, `${live.length} running, heard of ${seconds(heard)} ago.`);
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

export async function fleetChecks({
  control,
  migration,
}: MigrationContext): Promise<readonly RehearsalCheck[]> {
  const { nowMs, instances } = await control.fleet.list(migration.name);
  const routers = instances.filter(({ kind }) => kind === 'router');
  const expired = routers.filter(({ leaseUntilMs }) => leaseUntilMs <= nowMs);
  const silent = routers.filter((one) => one.leaseUntilMs > nowMs && isSilent(one, nowMs));
  const name = ({ id, label, lastSeenMs }: Instance): string =>
    `${label || id} (for ${seconds(nowMs - lastSeenMs)})`;
  const check = 'instances';
  if (silent.length > 0)
    return [
      {
        check,
        verdict: 'warn',
        message: `Silent, and waited for until their lease ends: ${silent.map(name).join(', ')}.`,
        fix: 'Look whether they run; if not, wait for the end of their lease.',
      },
    ];
  if (expired.length > 0)
    return [
      {
        check,
        verdict: 'warn',
        message: `Not waited for, because their lease is over: ${expired.map(name).join(', ')}. Should one wake, the store refuses its writes.`,
        fix: 'changeover attest-gone INSTANCE --reason TEXT for those that are dead.',
      },
    ];
  return [pass(check, `${routers.length} registered, all heard of.`)];
}

/** The way back does not wait for hooks: what is wrong with them is a warning there. */
export async function trafficChecks(
  context: MigrationContext,
  old: Side,
): Promise<readonly RehearsalCheck[]> {
  if (!hasTraffic(context)) return [];
  const found = await inspectTraffic(context, old);
  const bad = found.filter(({ verdict }) => verdict !== 'pass');
  if (bad.length === 0) return [pass('traffic', 'Traffic beside the routers can be held.')];
  return bad.map(({ verdict, message, fix }) =>
    old === 'source'
      ? { check: 'traffic', verdict, message, fix }
      : {
          check: 'traffic',
          verdict: 'warn',
          message: `${message} The way back goes on without it: what comes through it in that moment is refused.`,
          fix,
        },
  );
}
