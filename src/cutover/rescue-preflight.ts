import { prepareStream, streamEnds } from '../capture/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import type { RescueKind } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { expectGuard } from './expect-guard.ts';
import type { SwitchRun } from './switch-run.ts';
import { heardOf } from './switch-waits.ts';

/** A target that does not answer a single look within this does not answer. */
const TARGET_MS = 2_000;
/** Longest wait for a dead instance's lease to run out, before the hold. */
const HEARD_MS = 10_000;

/**
 * What a rescue has to know before it holds writes: much less than any other change of authority, because every refusal here costs the operator time. The
 * source keeps its log from before the hold, so that all that is written there in the new epoch is told.
 */
export async function rescuePreflight(run: SwitchRun, rescue: RescueKind): Promise<void> {
  const { context, options, state } = run;
  const { clock } = context.runtime;
  const { to } = options;
  const { epoch } = state;
  await expectGuard(run, to, { role: 'follower', epoch, attempt: null });
  if (rescue === 'sealed') {
    const look = expectGuard(run, run.old, { role: 'authority', epoch, attempt: null });
    await withDeadline(clock, TARGET_MS, 'a look at the guard of the target', look).catch(silent);
  }
  if (options.dryRun) return;
  for (const { capture, name } of context.migration.collections.values())
    if (capture === 'outbox') await context.stores[to].setup.installCapture(name);
  const forward = streamEnds(context, to, epoch + 1);
  // The target is told where the stream begins when the gap is collected, if it cannot be told now.
  if (forward && rescue === 'unreachable')
    await forward.log.install(forward.stream, options.drainTimeoutMs);
  else if (forward) {
    const prepared = prepareStream(forward, options.drainTimeoutMs);
    const what = 'preparing the log of the source';
    await withDeadline(clock, options.drainTimeoutMs + TARGET_MS, what, prepared).catch(silent);
  }
  const until = clock.monotonic() + Math.min(HEARD_MS, options.drainTimeoutMs);
  await heardOf(run, () => until - clock.monotonic());
}

function silent(error: unknown): never {
  if (!isChangeoverError(error, 'STORE_UNAVAILABLE', 'DEADLINE_EXCEEDED')) throw error;
  throw new ChangeoverError(
    'STORE_UNAVAILABLE',
    `The target does not answer (${messageOf(error)}), so it cannot be sealed before authority moves; nothing was begun. \`changeover rescue --target-unreachable\` goes on without it: what a stale process still writes there becomes a part of the gap.`,
    { cause: error },
  );
}
