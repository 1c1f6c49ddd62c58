import { ChangeoverError } from '../errors/index.ts';
import type { Side } from '../migration/index.ts';
import type { GuardState } from '../store/index.ts';
import { clearStaleMark, describeGuard, sameRole } from './guard-roles.ts';
import { hasTraffic, heldByOthers, saysHeld } from './held-mark.ts';
import type { SwitchRun } from './switch-run.ts';
import { finishHeld } from './traffic.ts';

/** Before anything is begun: CUTOVER_ABORTED unless the guard says so. A mark that an ended attempt left is cleared. */
export async function expectGuard(run: SwitchRun, side: Side, expected: GuardState): Promise<void> {
  const { context, options } = run;
  const { guard } = context.stores[side];
  let row = await guard.read();
  if (row.attempt !== null && !sameRole(row, expected) && !options.dryRun) {
    // The mark may be all that says that traffic is held.
    if (hasTraffic(context)) {
      const finished = finishHeld(context, side, options.lockTimeoutMs);
      // The way back waits for no hook, and lets go of everything at its own end.
      await (run.needsHooks ? finished : finished.catch(() => {}));
    }
    await clearStaleMark(context, side, options.lockTimeoutMs);
    row = await guard.read();
  }
  if (row.attempt !== null && saysHeld(row.attempt) && !hasTraffic(context)) {
    if (options.to === 'target')
      throw new ChangeoverError(
        'CUTOVER_ABORTED',
        `The guard of the ${side}: ${heldByOthers(row.attempt)}. Nothing was begun.`,
      );
    // Nobody is kept from going back; what the mark says must not be lost with it.
    run.keepHeld();
  }
  if (!sameRole(row, expected)) {
    throw new ChangeoverError(
      'CUTOVER_ABORTED',
      `The guard of the ${side} is ${describeGuard(row)}, expected ${describeGuard(expected)}; nothing was begun.`,
    );
  }
}
