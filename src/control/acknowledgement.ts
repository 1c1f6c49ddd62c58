import { ChangeoverError } from '../errors/index.ts';
import type { Instance } from './fleet.ts';
import type { MigrationContext } from './migration-context.ts';

/** Registered instances that have not acknowledged a version. */
export interface Laggards {
  /** Their lease holds: they run. */
  readonly alive: readonly Instance[];
  /** Their lease has expired: they may be dead, paused or cut off. */
  readonly expired: readonly Instance[];
}

/** Coordinators of a change of authority keep their lease in the fleet under this prefix; they route nothing. */
export const coordinatorPrefix = 'cutover:';

/** Which registered instances may still have an operation in flight that was routed by an older version than this. */
export async function laggards(
  context: MigrationContext,
  version: number,
  kinds: readonly Instance['kind'][] = ['router'],
): Promise<Laggards> {
  const { nowMs, instances } = await context.control.fleet.list(context.migration.name);
  const late = instances.filter(
    ({ id, kind, acknowledgedVersion }) =>
      kinds.includes(kind) && acknowledgedVersion < version && !id.startsWith(coordinatorPrefix),
  );
  return {
    alive: late.filter(({ leaseUntilMs }) => leaseUntilMs > nowMs),
    expired: late.filter(({ leaseUntilMs }) => leaseUntilMs <= nowMs),
  };
}

/** `id (host:pid, acknowledged 7)`, for messages. */
export function describeInstances(instances: readonly Instance[]): string {
  return instances
    .map(
      ({ id, label, acknowledgedVersion }) =>
        `${id} (${label}, acknowledged ${acknowledgedVersion})`,
    )
    .join(', ');
}

/** FLEET_NOT_ACKNOWLEDGED with the instances by name. */
export function notAcknowledged(
  version: number,
  late: Laggards,
  waitedMs: number,
): ChangeoverError {
  const parts = [
    late.alive.length > 0 ? `running: ${describeInstances(late.alive)}` : '',
    late.expired.length > 0 ? `lease expired: ${describeInstances(late.expired)}` : '',
  ].filter((part) => part !== '');
  return new ChangeoverError(
    'FLEET_NOT_ACKNOWLEDGED',
    `After ${Math.round(waitedMs)} ms state version ${version} is not acknowledged by ${parts.join('; ')}.`,
    { data: { version, instances: [...late.alive, ...late.expired].map(({ id }) => id) } },
  );
}

const POLL_FIRST_MS = 5;
const POLL_MAX_MS = 50;

/**
 * Waits until every registered router acknowledges ≥ `version`. `expired: 'ignore'` does not wait for instances whose lease has
 * expired, which is safe only where the store itself refuses them. FLEET_NOT_ACKNOWLEDGED after `timeoutMs`.
 */
export async function waitForAcknowledgements(
  context: MigrationContext,
  version: number,
  options: {
    readonly timeoutMs: number;
    readonly expired: 'ignore' | 'wait';
    readonly kinds?: readonly Instance['kind'][];
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { clock } = context.runtime;
  const started = clock.monotonic();
  let pauseMs = POLL_FIRST_MS;
  for (;;) {
    const late = await laggards(context, version, options.kinds);
    if (late.alive.length === 0 && (options.expired === 'ignore' || late.expired.length === 0))
      return;
    const waitedMs = clock.monotonic() - started;
    if (waitedMs >= options.timeoutMs) throw notAcknowledged(version, late, waitedMs);
    await clock.sleep(Math.min(pauseMs, options.timeoutMs - waitedMs), options.signal);
    pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS);
  }
}
