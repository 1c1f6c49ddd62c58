import type { MigrationState } from '../migration/index.ts';

/**
 * What was found and done. `nothing`: no attempt, guards as the state says. `running`: the owner's lease is alive, left alone.
 * `undone`: the old authority serves. `settled`: a committed attempt's marks were removed. `pending`: a store did not answer; call again.
 */
export interface ResumeResult {
  readonly outcome: 'nothing' | 'running' | 'undone' | 'settled' | 'pending';
  readonly attempt: string | null;
  readonly message: string;
  readonly state: MigrationState;
}
