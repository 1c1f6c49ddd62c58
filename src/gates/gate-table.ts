import type { Phase } from '../migration/index.ts';
import { approved } from './approval-gate.ts';
import { rollbackDrilled } from './drill-gate.ts';
import type { Gate } from './gate.ts';
import {
  logKept,
  noDeadLetters,
  noDeadLettersAtSwitch,
  noMismatches,
  queueLag,
} from './health-gates.ts';
import { latencyRatio } from './latency-gate.ts';
import { coverage, shadowReadParity } from './parity-gates.ts';
import type { GateProfile } from './profile.ts';
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
  'dual-write': [fleetAcknowledged, approved],
  backfill: [everyoneFollows, logKept, approved],
  'shadow-read': [fleetAcknowledged, backfillComplete, noDeadLetters, queueLag, logKept, approved],
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
    coverage,
    latencyRatio,
    approved,
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
    coverage,
    latencyRatio,
    dialComplete,
    reverseReady,
    rollbackDrilled,
    approved,
  ],
  retired: [
    fleetAcknowledged,
    noDeadLetters,
    queueLag,
    logKept,
    noRogueWrites,
    noMismatches,
    approved,
  ],
};

/** The standard gates that these thresholds ask before `to`. */
export const gatesBefore = (to: Phase, profile: GateProfile): readonly Gate[] =>
  gateTable[to].filter(({ asked }) => asked?.(profile, to) ?? true);

/** Every standard gate by name: no other gate may be called so. */
export const standardGateNames: ReadonlySet<string> = new Set(
  Object.values(gateTable)
    .flat()
    .map(({ name }) => name),
);
