import type { MigrationState, Phase } from '../migration/index.ts';
import type { AuditEntry } from './control-store.ts';
import type { MigrationContext } from './migration-context.ts';

/** Action of the audit line that is an approval. */
export const approvalAction = 'approve';

/** Somebody's word that a step may be made. The name is a claim that stands in the audit: nothing here proves who it was. */
export interface Approval {
  readonly by: string;
  readonly reason: string;
  readonly atMs: number;
  readonly to: Phase;
  /** What was approved: `planHash` of that moment. */
  readonly plan: string;
}

const LIMITS = [200, 10_000, 1_000_000];

/** What an approval's audit line holds. */
export function approvalDetail(
  { version, generation }: MigrationState,
  to: Phase,
  plan: string,
): Readonly<Record<string, unknown>> {
  return { to, plan, approvedVersion: version, generation };
}

/**
 * The approvals of steps from exactly this state, newest first. Every change of state voids those before it: they stand behind its line in the
 * audit, and name another version.
 */
export async function approvalsOf(
  { control, migration }: MigrationContext,
  state: MigrationState,
  to: Phase,
): Promise<readonly Approval[]> {
  for (const limit of LIMITS) {
    const lines = await control.history(migration.name, limit);
    const changed = lines.findIndex(
      ({ stateVersion }) => stateVersion !== null && stateVersion <= state.version,
    );
    if (changed < 0 && lines.length === limit) continue;
    const since = changed < 0 ? lines : lines.slice(0, changed);
    return since.flatMap((line) => approvalOf(line, state, to));
  }
  return [];
}

function approvalOf(line: AuditEntry, state: MigrationState, to: Phase): Approval[] {
  const { action, actor, reason, atMs, detail, stateVersion } = line;
  const { plan, approvedVersion, generation } = detail;
  const fits =
    action === approvalAction &&
    stateVersion === null &&
    detail['to'] === to &&
    approvedVersion === state.version &&
    generation === state.generation &&
    typeof plan === 'string';
  return fits ? [{ by: actor, reason, atMs, to, plan }] : [];
}

/** Two names of one person, as far as writing goes. */
export const samePerson = (a: string, b: string): boolean => plainName(a) === plainName(b);

/** For counting different people: without spaces and what nobody sees, and without case (`ẞ` is `ss` only by way of capitals). */
export const plainName = (name: string): string =>
  name
    .normalize('NFKC')
    .replace(/[\s\p{Cc}\p{Default_Ignorable_Code_Point}]/gu, '')
    .toUpperCase()
    .toLowerCase()
    .normalize('NFC');
