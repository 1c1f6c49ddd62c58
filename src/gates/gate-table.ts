import type { Phase } from '../migration/index.ts';
import type { Gate } from './gate.ts';
import {
  logKept,
  noDeadLetters,
  noDeadLettersAtSwitch,
  noMismatches,
  queueLag,
  shadowReadParity,
} from './health-gates.ts';
import {
  backfillComplete,
  everyoneFollows,
  fleetAcknowledged,
  verifyPassed,
} from './progress-gates.ts';
import { noRogueWrites } from './rogue-gate.ts';
import { dialComplete, reverseReady } from './switch-gates.ts';

/** Which gates stand before a phase that is entered by going forward. Total, so that nobody forgets one. */
export const gateTable: Readonly<Record<Phase, readonly Gate[]>> = {
  off: [],
  'shadow-write': [],
  'dual-write': [fleetAcknowledged],
  backfill: [everyoneFollows, logKept],
  'shadow-read': [fleetAcknowledged, backfillComplete, noDeadLetters, queueLag, logKept],
  'read-switch': [
    fleetAcknowledged,
    backfillComplete,
    noDeadLetters,
    queueLag,
    logKept,
    verifyPassed,
    noRogueWrites,
    noMismatches,
    shadowReadParity,
  ],
  'write-switch': [
    fleetAcknowledged,
    noDeadLettersAtSwitch,
    queueLag,
    logKept,
    verifyPassed,
    noRogueWrites,
    noMismatches,
    shadowReadParity,
    dialComplete,
    reverseReady,
  ],
  retired: [fleetAcknowledged, noDeadLetters, queueLag, logKept, noRogueWrites, noMismatches],
};
