import { suggestion } from '../config/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import { isPhase, type MigrationState, type Phase, phases } from '../migration/index.ts';
import type { CommandResult } from './result.ts';

/** What a change of state looks like. */
export function stateResult(
  kind: string,
  state: MigrationState,
  text: readonly string[],
  data: Readonly<Record<string, unknown>> = {},
): CommandResult {
  return {
    kind,
    verdict: 'done',
    stateVersion: state.version,
    data: { state, ...data },
    next: ['changeover status'],
    text,
  };
}

/** A phase by name, or CONFIG_INVALID. */
export function phaseOf(name: string): Phase {
  if (isPhase(name)) return name;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `There is no phase "${name}".${suggestion(name, phases)}`,
  );
}
