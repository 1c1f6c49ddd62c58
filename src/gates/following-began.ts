import type { AuditEntry, MigrationContext } from '../control/index.ts';
import { isPhase, type MigrationState, type Phase, routingTable } from '../migration/index.ts';

/** Where in the audit the follower began to receive every change, without a gap since. */
export interface FollowingBegan {
  readonly stateVersion: number;
  readonly atMs: number;
  /** Audit lines since then, newest first. */
  readonly since: readonly AuditEntry[];
}

const LIMITS = [500, 10_000, 1_000_000];

/**
 * The newest step from a phase without a follower (`off`, `shadow-write`) into one with: what was proven before it may have missed writes
 * that were not journalled. null: the audit does not tell, or the present phase has no follower.
 */
export async function followingBegan(
  context: MigrationContext,
  state: MigrationState,
): Promise<FollowingBegan | null> {
  if (!follows(state.phase)) return null;
  for (const limit of LIMITS) {
    const lines = await context.control.history(context.migration.name, limit);
    const index = lines.findIndex(beginsFollowing);
    const entry = lines[index];
    if (entry && entry.stateVersion !== null) {
      const { stateVersion, atMs } = entry;
      return { stateVersion, atMs, since: lines.slice(0, index) };
    }
    if (lines.length < limit) return null;
  }
  return null;
}

function beginsFollowing({ stateVersion, detail }: AuditEntry): boolean {
  if (stateVersion === null) return false;
  const from = phaseOf(detail['from']);
  const to = phaseOf(detail['phase']);
  return from !== null && to !== null && !follows(from) && follows(to);
}

function phaseOf(value: unknown): Phase | null {
  return typeof value === 'string' && isPhase(value) ? value : null;
}

const follows = (phase: Phase): boolean => routingTable[phase].follow === 'apply';

/** The state version by which the present phase was entered; null when the audit does not tell. */
export async function phaseEntered(
  context: MigrationContext,
  state: MigrationState,
): Promise<number | null> {
  for (const limit of LIMITS) {
    const lines = await context.control.history(context.migration.name, limit);
    const entry = lines.find(
      ({ stateVersion, detail }) =>
        stateVersion !== null && detail['phase'] === state.phase && detail['from'] !== state.phase,
    );
    if (entry) return entry.stateVersion;
    if (lines.length < limit) return null;
  }
  return null;
}
