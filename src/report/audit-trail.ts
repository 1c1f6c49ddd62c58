import type { AuditEntry, MigrationContext } from '../control/index.ts';

/** What the audit holds, oldest first. */
export interface AuditTrail {
  readonly entries: readonly AuditEntry[];
  /** There is more, older than this; it was not read. */
  readonly cut: boolean;
}

const LIMITS = [500, 10_000, 200_000] as const;

/** Reads the audit back until `enough` of it is there, or its beginning. Errors: CONTROL_UNAVAILABLE. */
export async function readAudit(
  { control, migration }: Pick<MigrationContext, 'control' | 'migration'>,
  enough: (entries: readonly AuditEntry[]) => boolean,
): Promise<AuditTrail> {
  let entries: readonly AuditEntry[] = [];
  for (const limit of LIMITS) {
    entries = (await control.history(migration.name, limit)).toReversed();
    if (entries.length < limit) return { entries, cut: false };
    if (enough(entries)) break;
  }
  return { entries, cut: true };
}
