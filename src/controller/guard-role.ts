import type { MigrationContext } from '../control/index.ts';
import { describeGuard } from '../cutover/index.ts';
import { ChangeoverError, isChangeoverError } from '../errors/index.ts';
import type { Side } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import type { GuardRole } from '../store/index.ts';

const PAUSE_MS = 25;
const LOCK_MS = 500;

/**
 * Gives a guard without an attempt's mark another role. Idempotent. Waits for writers in tries of half a second, `budgetMs` in all, then the last error.
 * STATE_CHANGED when the row is neither `from` nor `to`.
 */
export async function changeRole(
  context: MigrationContext,
  side: Side,
  from: GuardRole,
  to: GuardRole,
  epoch: number,
  budgetMs: number,
): Promise<void> {
  const { clock } = context.runtime;
  const { guard } = context.stores[side];
  const until = clock.monotonic() + budgetMs;
  const left = (): number => Math.max(1, until - clock.monotonic());
  for (;;) {
    try {
      const row = await withDeadline(
        clock,
        left(),
        `reading the guard of the ${side}`,
        guard.read(),
      );
      if (row.epoch === epoch && row.role === to && row.attempt === null) return;
      if (row.epoch !== epoch || row.role !== from || row.attempt !== null) {
        throw new ChangeoverError(
          'STATE_CHANGED',
          `The guard of the ${side} is ${describeGuard(row)}, expected ${from}/${epoch} or ${to}/${epoch}.`,
        );
      }
      const next = { role: to, epoch, attempt: null };
      const changed = guard.change(row, next, Math.min(LOCK_MS, left()));
      if (await withDeadline(clock, left(), `changing the guard of the ${side}`, changed)) return;
    } catch (error) {
      const busy = isChangeoverError(error, 'STORE_CONFLICT', 'STORE_UNAVAILABLE');
      if (!busy || clock.monotonic() + PAUSE_MS >= until) throw error;
    }
    await clock.sleep(PAUSE_MS);
  }
}
