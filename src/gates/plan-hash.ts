import { createHash } from 'node:crypto';
import { type MigrationContext, migrationFingerprint } from '../control/index.ts';
import type { MigrationState, Phase } from '../migration/index.ts';
import type { Gate } from './gate.ts';
import type { GateProfile } from './profile.ts';

/**
 * Names what somebody approves: this step of this migration at this state, judged by these gates and thresholds with this comparator. What the
 * gates answer is not part of it: they are asked again when somebody advances. 16 hexadecimal digits.
 */
export function planHash(
  { migration, runtime }: MigrationContext,
  { generation, version, phase }: MigrationState,
  to: Phase,
  profile: GateProfile,
  gates: readonly Gate[],
): string {
  const names = gates.map(({ name, overridable }) => [name, overridable]);
  const comparator = migrationFingerprint(migration, runtime.clock.now());
  const content = [migration.name, generation, version, phase, to, comparator, profile, names];
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
}
