import { defaultCutoverLimits } from '../cutover/index.ts';
import { ms, whole } from './option-entry.ts';

/** How long a switch may take, and its parts. */
export const switchOptions = {
  holdMs: ms(
    defaultCutoverLimits.holdMs,
    100,
    60_000,
    'Writes are held at most so long during a switch; beyond it the switch undoes itself.',
  ),
  ackTimeoutMs: ms(
    defaultCutoverLimits.ackTimeoutMs,
    100,
    60_000,
    'Until every live instance has acknowledged the hold; a part of `switch.holdMs`.',
  ),
  drainTimeoutMs: ms(
    defaultCutoverLimits.drainTimeoutMs,
    100,
    3_600_000,
    'Before the hold: until the queue is nearly empty, with writes flowing.',
  ),
  lockTimeoutMs: ms(
    defaultCutoverLimits.lockTimeoutMs,
    10,
    60_000,
    'One wait for running writers at a guard.',
  ),
  leaseMs: ms(
    defaultCutoverLimits.leaseMs,
    500,
    600_000,
    'After it, another process may undo the attempt of a coordinator that died.',
  ),
  undoMs: ms(
    defaultCutoverLimits.undoMs,
    100,
    600_000,
    'Budget of the undoing of a failed switch.',
  ),
  waitingMax: whole({
    unit: 'changes',
    default: defaultCutoverLimits.waitingMax,
    min: 0,
    max: 1_000_000,
    effect: 'The hold begins only when no more than so many changes wait.',
  }),
  oldestMsMax: ms(
    defaultCutoverLimits.oldestMsMax,
    0,
    3_600_000,
    'The hold begins only when no waiting change is older than this.',
  ),
} as const;
