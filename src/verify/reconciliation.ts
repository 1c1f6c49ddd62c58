import type { AuditEntry, MigrationContext } from '../control/index.ts';

/** Runs that compare or repair. Each leaves an entry in the audit. */
export type ReconciliationKind =
  | 'verify'
  | 'repair'
  | 'repair-stopped'
  | 'repair-resumed'
  | 'parity-sweep'
  | 'parity-sample'
  | 'modified-sweep';

const kinds: Readonly<Record<ReconciliationKind, true>> = {
  verify: true,
  repair: true,
  'repair-stopped': true,
  'repair-resumed': true,
  'parity-sweep': true,
  'parity-sample': true,
  'modified-sweep': true,
};

/** True for an entry of the audit that tells of a run. */
export function isReconciliation({ action }: Pick<AuditEntry, 'action'>): boolean {
  return Object.hasOwn(kinds, action);
}

/** What a run came to, for the audit. Counts and times only. */
export interface Reconciled {
  readonly kind: ReconciliationKind;
  readonly collection: string;
  readonly reason: string;
  readonly startedAtMs: number;
  readonly counts: Readonly<Record<string, number>>;
}

/** An entry in the audit, by this process. CONTROL_UNAVAILABLE. */
export async function noteRun(
  { control, migration, instance }: MigrationContext,
  generation: number,
  { kind, collection, reason, startedAtMs, counts }: Reconciled,
): Promise<void> {
  await control.note(migration.name, {
    actor: instance,
    action: kind,
    reason,
    detail: { generation, collection, startedAtMs, counts },
  });
}
