import { defaultProfile } from '../gates/index.ts';
import { choice, ms, type OptionEntry, share, whole } from './option-entry.ts';

/** What has to be proven, and by how much. */
export const gateOptions = {
  profile: choice({
    values: ['default', 'demo'],
    default: 'default',
    effect:
      'Thresholds that the others here start from. `demo` proves little and says so wherever it is shown.',
  }),
  parity: share({
    unit: 'share of reads',
    default: defaultProfile.parity,
    min: 0,
    max: 0.999_999_999,
    effect: 'Least share of equal comparisons that has to be proven.',
  }),
  confidence: share({
    unit: 'probability',
    default: defaultProfile.confidence,
    min: 0.5,
    max: 0.999_999,
    effect: 'One-sided confidence of that proof.',
  }),
  windowMinutes: whole({
    unit: 'minutes',
    default: defaultProfile.windowMinutes,
    min: 1,
    max: 525_600,
    effect: 'Only comparisons of the last so many minutes count.',
  }),
  parityFrom: choice({
    values: ['shadow-read', 'any'],
    default: defaultProfile.parityFrom,
    effect:
      'What counts for parity. `any`: comparisons of the parity worker as well, for applications whose reads do not go through a router.',
  }),
  parityOf: choice({
    values: ['migration', 'collection'],
    default: defaultProfile.parityOf,
    effect: '`collection`: each collection has to prove it by itself, not all together.',
  }),
  evidenceMinutesMax: whole({
    unit: 'minutes',
    default: defaultProfile.evidenceMinutesMax,
    min: 1,
    max: 10_080,
    effect: 'The newest comparison may be so old; older evidence makes parity `unknown`.',
  }),
  coverageMin: share({
    unit: 'share of reads',
    default: defaultProfile.coverageMin,
    min: 0,
    max: 1,
    effect:
      'Least share of shadow reads that were compared: not shed, timed out or failed; 0: not asked.',
  }),
  latencyRatioMax: share({
    unit: 'times',
    default: defaultProfile.latencyRatioMax,
    min: 0,
    max: 1_000,
    effect: 'p99 of reads on the target, at most so many times that of the source; 0: not asked.',
  }),
  latencyMinutes: whole({
    unit: 'minutes',
    default: defaultProfile.latencyMinutes,
    min: 1,
    max: 1_440,
    effect: 'Of the reads of the last so many minutes.',
  }),
  latencyReadsMin: whole({
    unit: 'reads',
    default: defaultProfile.latencyReadsMin,
    min: 100,
    max: 10_000_000,
    effect: 'With fewer reads on both stores nobody can tell: `unknown`.',
  }),
  latencyMsFine: ms(
    defaultProfile.latencyMsFine,
    0,
    60_000,
    'A p99 of the target up to this is fast enough, whatever the ratio.',
  ),
  drillDaysMax: whole({
    unit: 'days',
    default: defaultProfile.drillDaysMax,
    min: 0,
    max: 365,
    effect:
      'The way back was drilled (`rollback --drill`) so lately before the write switch; 0: not asked.',
  }),
  queueWaitingMax: whole({
    unit: 'changes',
    default: defaultProfile.queueWaitingMax,
    min: 0,
    max: 1_000_000_000,
    effect: 'Waiting changes in the authority’s queue, at most.',
  }),
  queueOldestMsMax: ms(
    defaultProfile.queueOldestMsMax,
    0,
    86_400_000,
    'Age of the oldest waiting change, at most.',
  ),
  answerMsMax: ms(
    defaultProfile.answerMsMax,
    10,
    600_000,
    'A store that does not answer a gate within this time makes it `unknown`.',
  ),
} as const;

const approvals = (phase: string): OptionEntry<number> =>
  whole({
    unit: 'people',
    default: 0,
    min: 0,
    max: 20,
    effect: `So many people other than the one who advances have to approve before ${phase} is entered.`,
  });

/** Who has to say yes. Names are claims that stand in the audit: nothing proves who typed them. */
export const approvalOptions = {
  backfill: approvals('`backfill`'),
  shadowRead: approvals('`shadow-read`'),
  readSwitch: approvals('`read-switch`'),
  writeSwitch: approvals('`write-switch`'),
  retired: approvals('`retired`'),
  validMinutes: whole({
    unit: 'minutes',
    default: defaultProfile.approvalMinutes,
    min: 1,
    max: 43_200,
    effect:
      'An approval holds so long, and only while state, comparator, thresholds and gates stay as they were.',
  }),
} as const;
