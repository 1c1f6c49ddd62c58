import type { MigrationContext } from '../control/index.ts';
import { forwardIsShut, type MigrationState, routingTable } from '../migration/index.ts';
import { createWorkLease, linesToRecheck, RecheckDesk, verifyScope } from '../verify/index.ts';
import type { WorkerOptions } from './worker-options.ts';
import type { WorkerTask } from './worker-tasks.ts';

/** Between two looks at the desks while keys wait at them. */
const DESK_MS = 50;
/** Another worker begins so long after this one has died. */
const LEASE_MS = 5_000;

/** Decides the suspicions of all detectors, one worker at a time: so none is counted twice. */
export function recheckTask(context: MigrationContext, options: WorkerOptions): WorkerTask {
  const { clock } = context.runtime;
  const lease = createWorkLease(context, 'recheck', LEASE_MS);
  const desks = new Map<string, RecheckDesk>();
  let listedAt = Number.NEGATIVE_INFINITY;

  const deskOf = (
    name: string,
    currentState: () => MigrationState,
    signal: AbortSignal,
  ): RecheckDesk => {
    const known = desks.get(name);
    if (known?.isOpen) return known;
    // Of another authority, or held meanwhile: what it had not decided stands in the ledger.
    const desk = new RecheckDesk(verifyScope(context, name, { currentState }, signal), {});
    desks.set(name, desk);
    return desk;
  };

  return {
    name: 'recheck',
    idleMs: options.recheckMs,
    holdable: true,
    async turn(currentState, signal) {
      const state = currentState();
      const follows = routingTable[state.phase].follow === 'apply' && !forwardIsShut(state);
      if (!follows || state.cutover !== null) return 'idle';
      if (clock.monotonic() - listedAt >= options.recheckMs) {
        const lines = await linesToRecheck(context, {});
        if (lines.size > 0 && !(await lease.hold())) return 'idle';
        for (const [name, own] of lines) deskOf(name, currentState, signal).admit(own);
        listedAt = clock.monotonic();
      }
      for (const [name, desk] of desks)
        if (desk.isOpen) await desk.work();
        else desks.delete(name);
      if (![...desks.values()].some(({ size }) => size > 0)) return 'idle';
      await clock.sleep(DESK_MS, signal);
      return 'busy';
    },
  };
}
