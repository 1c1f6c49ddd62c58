import { ms, type OptionEntry, share, textOrNone, whole } from './option-entry.ts';

const latency = (side: string): OptionEntry<number> =>
  ms(
    0,
    0,
    60_000,
    `Holds the copy while a one-row read of the ${side} takes longer; 0: not looked at.`,
  );
const replicationLag = (side: string): OptionEntry<number> =>
  ms(
    0,
    0,
    3_600_000,
    `Holds the copy while the slowest standby of the ${side} is later, or no standby is to be seen; 0: not looked at.`,
  );
const connections = (side: string): OptionEntry<number> =>
  whole({
    unit: 'connections',
    default: 0,
    min: 0,
    max: 100_000,
    effect: `Holds the copy while more connections to the server of the ${side} run a statement, those of the copy included; 0: not looked at.`,
  });
const query = (side: string): OptionEntry<string | null> =>
  textOrNone({
    unit: 'SQL',
    effect: `Asked of the ${side}, read-only; holds the copy while it answers true, or a number above \`backfill.${side}ThrottleQueryMax\`. null: none.`,
  });
const queryMax = (side: string): OptionEntry<number> =>
  share({
    unit: 'as the query answers',
    default: 0,
    min: -1e15,
    max: 1e15,
    effect: `The largest answer of \`backfill.${side}ThrottleQuery\` with which the copy goes on.`,
  });

/**
 * What holds the copy. Asked at most every 100 ms and only while a chunk is wanted; one that cannot be read (privilege, no answer
 * within a second) holds the copy as well, and says so.
 */
export const throttleOptions = {
  sourceLatencyMs: latency('source'),
  targetLatencyMs: latency('target'),
  queueAgeMs: ms(
    30_000,
    0,
    86_400_000,
    'Holds the copy while the oldest waiting change is older; 0: not looked at.',
  ),
  sourceReplicationLagMs: replicationLag('source'),
  targetReplicationLagMs: replicationLag('target'),
  sourceConnectionsMax: connections('source'),
  targetConnectionsMax: connections('target'),
  sourceThrottleQuery: query('source'),
  sourceThrottleQueryMax: queryMax('source'),
  targetThrottleQuery: query('target'),
  targetThrottleQueryMax: queryMax('target'),
} as const;
