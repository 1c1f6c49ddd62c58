import type { MigrationContext } from '../control/index.ts';
import { drillAction } from '../cutover/index.ts';
import { type MigrationState, type Phase, phases } from '../migration/index.ts';
import type { DrillCheck } from './drill-rollback.ts';

/** The last drill of a migration, as the audit has it. */
export interface LastDrill {
  readonly atMs: number;
  readonly ageMs: number;
  readonly ok: boolean;
  readonly phase: Phase;
  readonly estimateMs: number | null;
  readonly failed: readonly string[];
}

const HISTORY = [500, 10_000] as const;

/** The newest drill in the audit of this generation; null: none. */
export async function lastDrill(
  { control, migration, runtime }: MigrationContext,
  state: MigrationState,
): Promise<LastDrill | null> {
  for (const limit of HISTORY) {
    const lines = await control.history(migration.name, limit);
    const entry = lines.find(({ action }) => action === drillAction);
    if (entry) {
      const { ok, phase, estimateMs, checks, generation } = entry.detail;
      if (generation !== undefined && generation !== state.generation) return null;
      const failed = Array.isArray(checks)
        ? (checks as readonly DrillCheck[]).filter(({ verdict }) => verdict === 'fail')
        : [];
      return {
        atMs: entry.atMs,
        ageMs: Math.max(0, runtime.clock.now() - entry.atMs),
        ok: ok === true,
        phase: phases.find((one) => one === phase) ?? state.phase,
        estimateMs: typeof estimateMs === 'number' ? estimateMs : null,
        failed: failed.map(({ check }) => check),
      };
    }
    if (lines.length < limit) break;
  }
  return null;
}
