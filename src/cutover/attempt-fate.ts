import { applyEvent, type EventEntry, type MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError } from '../errors/index.ts';
import type { MigrationEvent, MigrationState } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';

/** What has become of an attempt. `ended`: undone. `absent`: never begun. */
export type Fate = 'running' | 'aborting' | 'committed' | 'ended' | 'absent';

/** The events that drive one attempt. */
export type AttemptEventType =
  | 'cutover-begin'
  | 'cutover-hold-writes'
  | 'cutover-adopt'
  | 'cutover-commit'
  | 'cutover-abort'
  | 'cutover-undone';
export type AttemptEvent = Extract<MigrationEvent, { type: AttemptEventType }>;

const HISTORY_NEAR = 500;
const HISTORY_ALL = 1_000_000;
const PAUSE_MS = 25;

/** The durable truth about an attempt: the state while it is under way, the audit afterwards. */
export async function fateOf(
  context: MigrationContext,
  attempt: string,
): Promise<{ readonly fate: Fate; readonly state: MigrationState }> {
  const { control, migration } = context;
  const state = await control.load(migration.name);
  if (state.cutover?.attempt === attempt) return { fate: state.cutover.status, state };
  for (const limit of [HISTORY_NEAR, HISTORY_ALL]) {
    const lines = await control.history(migration.name, limit);
    const own = lines.filter(({ detail }) => detail['attempt'] === attempt);
    const actions = own.map(({ action }) => action);
    if (actions.includes('cutover-commit')) return { fate: 'committed', state };
    if (actions.includes('cutover-undone') || actions.includes('cutover-begin'))
      return { fate: 'ended', state };
    if (lines.length < limit) break;
  }
  return { fate: 'absent', state };
}

/** True when the attempt has gone through this event already: its answer was lost, not its effect. */
function happened(type: AttemptEventType, fate: Fate, state: MigrationState): boolean {
  switch (type) {
    case 'cutover-begin':
    case 'cutover-adopt':
      return fate === 'running';
    case 'cutover-hold-writes':
      return fate === 'running' && state.cutover?.writesHeld === true;
    case 'cutover-commit':
      return fate === 'committed';
    case 'cutover-abort':
      return fate === 'aborting';
    case 'cutover-undone':
      return fate === 'ended';
  }
}

/**
 * Applies an event of an attempt and does not leave the outcome open: while the control store does not answer, it looks again until
 * `budgetMs` is over. A lost answer can do no harm, because every try is a compare-and-set on the state version.
 *
 * Errors: TRANSITION_REFUSED (the attempt is elsewhere), CONTROL_UNAVAILABLE (after the budget; undecided), STATE_CHANGED.
 */
export async function applyAttemptEvent(
  context: MigrationContext,
  event: AttemptEvent,
  entry: EventEntry,
  budgetMs: number,
  expectedVersion?: number,
  known?: MigrationState,
): Promise<MigrationState> {
  const { clock } = context.runtime;
  const started = clock.monotonic();
  let unsure = false;
  for (;;) {
    try {
      // A hung control store counts as a silent one; what arrives late loses its compare-and-set or is found below.
      const ms = Math.max(1, started + budgetMs - clock.monotonic());
      const applied = applyEvent(
        context,
        event,
        entry,
        expectedVersion,
        unsure ? undefined : known,
      );
      return await withDeadline(clock, ms, event.type, applied);
    } catch (error) {
      const silent = isChangeoverError(error, 'CONTROL_UNAVAILABLE', 'DEADLINE_EXCEEDED');
      if (!silent && !unsure) throw error;
      if (clock.monotonic() - started + PAUSE_MS >= budgetMs)
        throw undecided(event, budgetMs, error);
      if (silent) await clock.sleep(PAUSE_MS);
      unsure = true;
      const settled = await lookAgain(context, event);
      if (settled === 'silent') continue;
      if (settled !== null) return settled;
      if (!silent) throw error;
    }
  }
}

/** The state when the event has happened, null when it has not, `silent` while the control store does not answer. */
async function lookAgain(
  context: MigrationContext,
  event: AttemptEvent,
): Promise<MigrationState | null | 'silent'> {
  try {
    const { fate, state } = await fateOf(context, event.attempt);
    if (event.type === 'cutover-begin' && (fate === 'ended' || fate === 'committed')) {
      // The same id must not begin twice: everything in the stores is bound to it.
      throw new ChangeoverError(
        'TRANSITION_REFUSED',
        `Attempt ${event.attempt} has ended already.`,
      );
    }
    if (!happened(event.type, fate, state)) return null;
    context.events.emit({ type: 'state', state });
    return state;
  } catch (error) {
    if (isChangeoverError(error, 'CONTROL_UNAVAILABLE')) return 'silent';
    throw error;
  }
}

function undecided(event: AttemptEvent, budgetMs: number, cause: unknown): ChangeoverError {
  return new ChangeoverError(
    'CONTROL_UNAVAILABLE',
    `${event.type} of attempt ${event.attempt} is undecided: no answer for ${budgetMs} ms.`,
    { cause, data: { attempt: event.attempt, event: event.type } },
  );
}
