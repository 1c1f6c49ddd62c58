import {
  type BackfillOptions,
  connectionsCheck,
  latencyCheck,
  probeLatency,
  queryCheck,
  queueAgeCheck,
  replicationLagCheck,
  type ThrottleCheck,
} from '../backfill/index.ts';
import { applierDefaults, type LogApplierOptions, logApplierDefaults } from '../capture/index.ts';
import type { MigrationContext } from '../control/index.ts';
import type { CutoverLimits } from '../cutover/index.ts';
import { defaultProfile, demoProfile, type GateProfile } from '../gates/index.ts';
import type { Side } from '../migration/index.ts';
import type { RouterOptionsInput } from '../router/index.ts';
import type { MigrationStore } from '../store/index.ts';
import type { WorkerOptions } from '../worker/index.ts';
import { fileOf } from './config-folder.ts';
import type { DefinedMigration } from './migration-config.ts';
import type { MigrationOptions } from './options.ts';
import { createWorkshopThreads } from './workshop-threads.ts';

/** The router's options of a configuration. `label` names the process for people. */
export function routerOptionsOf(options: MigrationOptions, label: string): RouterOptionsInput {
  const { reads, writes, instances } = options;
  return {
    label,
    leaseMs: instances.leaseMs,
    stateFile: instances.stateFile,
    holdMs: writes.holdMs,
    heldMax: writes.heldMax,
    authorityTimeoutMs: writes.authorityTimeoutMs,
    followerTimeoutMs: writes.followerTimeoutMs,
    dialledReadMs: reads.dialledReadMs,
    detachedMax: writes.detachedMax,
    graceMs: writes.graceMs,
    breaker: { failures: writes.breakerFailures, openMs: writes.breakerOpenMs },
    shadow: { concurrency: reads.shadowConcurrency, deadlineMs: reads.shadowDeadlineMs },
    tokenSecret: reads.tokenSecret,
  };
}

/** The thresholds of the gates. A profile that was changed says so in its name. */
export function gateProfileOf({ gates, approvals }: MigrationOptions): GateProfile {
  const { profile, ...thresholds } = gates;
  const base = profile === 'demo' ? demoProfile : defaultProfile;
  const own = {
    ...base,
    ...thresholds,
    approvals: {
      backfill: approvals.backfill,
      'shadow-read': approvals.shadowRead,
      'read-switch': approvals.readSwitch,
      'write-switch': approvals.writeSwitch,
      retired: approvals.retired,
    },
    approvalMinutes: approvals.validMinutes,
  };
  const same = Object.entries(thresholds).every(
    ([name, value]) => base[name as keyof GateProfile] === value,
  );
  return same ? own : { ...own, name: `${base.name}, adjusted` };
}

/** The deadlines of a change of authority. */
export function cutoverLimitsOf(options: MigrationOptions): CutoverLimits {
  return options.switch;
}

/** The backfill's options, with the throttle checks that are switched on. */
export function backfillOptionsOf(
  options: MigrationOptions,
  context: MigrationContext,
): Omit<BackfillOptions, 'currentState'> {
  const { backfill } = options;
  return {
    checks: throttleChecksOf(options, context),
    rowsPerSecondMax: backfill.rowsPerSecondMax,
    chunkRowsMax: backfill.chunkRows,
    chunkTargetMs: backfill.chunkTargetMs,
    concurrency: backfill.concurrency,
    deadRowsMin: backfill.deadRowsMin,
    deadRatioMax: backfill.deadShareMax,
    timeoutMs: backfill.chunkTimeoutMs,
    deferIndexes: backfill.deferIndexes,
    ...threadsOf(backfill.transformThreads, context),
  };
}

/** Other threads for the transforms, where the file is known from which they can load them. */
function threadsOf(
  count: number,
  context: MigrationContext & { readonly definition?: DefinedMigration },
): Pick<BackfillOptions, 'threads'> {
  const { definition } = context;
  const configFile = definition && fileOf(definition);
  if (count === 0 || configFile === undefined) return {};
  return {
    threads({ name, identity }, follower, bytesMax) {
      if (identity) return null;
      const data = { configFile, collection: name, follower, bytesMax };
      return createWorkshopThreads(data, count);
    },
  };
}

/** Reasons to hold background work, as configured. */
export function throttleChecksOf(
  { backfill }: MigrationOptions,
  { stores, runtime, migration }: Pick<MigrationContext, 'stores' | 'runtime' | 'migration'>,
): readonly ThrottleCheck[] {
  const collection = [...migration.collections.keys()][0] as string;
  const checks: ThrottleCheck[] = [];
  for (const side of ['source', 'target'] as const) {
    const limitMs = backfill[`${side}LatencyMs`];
    if (limitMs > 0) {
      const measure = probeLatency(runtime.clock, stores[side], collection);
      checks.push(latencyCheck(`${side} latency`, measure, limitMs));
    }
    checks.push(...pressureChecks(backfill, stores[side], side));
  }
  if (backfill.queueAgeMs > 0) {
    checks.push(queueAgeCheck('queue age', stores.source.queue, backfill.queueAgeMs));
  }
  return checks;
}

/** Server-side limit of one question; the throttle gives up on it after as long. */
const PRESSURE_MS = 1_000;

/** What the store itself tells about how busy it is. A store that cannot be asked makes the check throw, and so hold. */
function pressureChecks(
  backfill: MigrationOptions['backfill'],
  { pressure, engine }: MigrationStore,
  side: Side,
): readonly ThrottleCheck[] {
  const lagMs = backfill[`${side}ReplicationLagMs`];
  const connections = backfill[`${side}ConnectionsMax`];
  const query = backfill[`${side}ThrottleQuery`];
  const untold = async (): Promise<never> => {
    throw new Error(`a ${engine} store does not tell it`);
  };
  const checks: ThrottleCheck[] = [];
  if (lagMs > 0) {
    const ask = pressure?.replicationLagMs ?? untold;
    checks.push(replicationLagCheck(`${side} replication lag`, () => ask(PRESSURE_MS), lagMs));
  }
  if (connections > 0) {
    const ask = pressure?.activeConnections ?? untold;
    checks.push(connectionsCheck(`${side} connections`, () => ask(PRESSURE_MS), connections));
  }
  if (query !== null) {
    const ask = pressure?.measure ?? untold;
    const max = backfill[`${side}ThrottleQueryMax`];
    checks.push(queryCheck(`${side} throttle query`, () => ask(query, PRESSURE_MS), max));
  }
  return checks;
}

/** How the log is followed. */
export function logOptionsOf({ log, writes }: MigrationOptions): LogApplierOptions {
  const { transactions, batchChanges, batchBytes, gatherMs, durableMs } = log;
  return {
    ...logApplierDefaults,
    changesMax: batchChanges,
    bytesMax: batchBytes,
    gatherMs,
    durableMs,
    whole: transactions === 'whole',
    followerTimeoutMs: Math.max(writes.followerTimeoutMs, logApplierDefaults.followerTimeoutMs),
  };
}

/** The worker's options. */
export function workerOptionsOf(
  options: MigrationOptions,
  context: MigrationContext,
  label: string,
): Partial<WorkerOptions> {
  const { worker, instances, writes } = options;
  return {
    label,
    leaseMs: instances.leaseMs,
    pollMs: worker.pollMs,
    recheckMs: worker.recheckMs,
    cutover: cutoverLimitsOf(options),
    applier: {
      ...applierDefaults,
      batch: worker.batch,
      claimLeaseMs: worker.claimLeaseMs,
      followerTimeoutMs: Math.max(writes.followerTimeoutMs, applierDefaults.followerTimeoutMs),
      refusedAttemptsMax: worker.refusedAttemptsMax,
    },
    log: logOptionsOf(options),
    backfill: backfillOptionsOf(options, context),
  };
}
