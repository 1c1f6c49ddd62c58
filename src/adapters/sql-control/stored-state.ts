import { ChangeoverError } from '../../errors/index.ts';
import { isPhase, type MigrationState } from '../../migration/index.ts';

/** The state as it lies in the database. Errors: CONFIG_INVALID for formats that this release does not know. */
export function parseState(display: string, text: string): MigrationState {
  const state = JSON.parse(text) as MigrationState;
  const known = state.formatVersion === 1 || state.formatVersion === 2;
  if (!known || !isPhase(state.phase)) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `The state in the control store ${display} has format ${state.formatVersion} and phase "${state.phase}", which this release of changeover does not know: use the newer release that wrote it.`,
    );
  }
  return state;
}
