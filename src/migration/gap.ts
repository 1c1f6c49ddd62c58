import type { MigrationState } from './state.ts';

/** After a rescue, until the gap is collected: the target is sealed, and what the source takes waits in its queue and log. */
export function forwardIsShut(state: Pick<MigrationState, 'gap'>): boolean {
  return state.gap?.stage === 'uncollected';
}
