import { ChangeoverError } from '../errors/index.ts';
import {
  isRefusal,
  type MigrationEvent,
  type MigrationState,
  transition,
} from '../migration/index.ts';
import { backoffMs } from '../runtime/index.ts';
import type { MigrationContext } from './migration-context.ts';

/** Who, why, and what else belongs into the audit entry of an event. */
export interface EventEntry {
  readonly actor: string;
  readonly reason: string;
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** Others may be faster that often before we give up: no loop without a bound. */
const RACES_MAX = 50;

/**
 * Applies one event to the durable state: load, transition, compare-and-set with its audit entry. The entry's detail holds the event, the
 * phase before (`from`) and after (`phase`), generation and epoch. Emits `state`. With `expectedVersion` the event
 * is bound to that state version (STATE_CHANGED); without, it is applied to whatever the state has become meanwhile. `known`: the state as the
 * caller last saw it, which saves a round trip when it still stands.
 *
 * Errors: TRANSITION_REFUSED, STATE_CHANGED, CONTROL_UNAVAILABLE (whether it was applied is then unknown).
 */
export async function applyEvent(
  context: MigrationContext,
  event: MigrationEvent,
  entry: EventEntry,
  expectedVersion?: number,
  known?: MigrationState,
): Promise<MigrationState> {
  const { control, migration, runtime } = context;
  for (let race = 1; race <= RACES_MAX; race++) {
    const guessed = race === 1 ? known : undefined;
    const state = guessed ?? (await control.load(migration.name));
    if (expectedVersion !== undefined && state.version !== expectedVersion)
      throw stateChanged(expectedVersion, state.version);
    const next = transition(state, event);
    if (isRefusal(next)) {
      if (guessed) continue;
      throw new ChangeoverError(
        'TRANSITION_REFUSED',
        `${event.type} is refused: ${next.refused}.`,
        {
          data: { event: event.type, phase: state.phase, stateVersion: state.version },
        },
      );
    }
    if (await control.commit(next, auditEntry(state, next, event, entry))) {
      context.events.emit({ type: 'state', state: next });
      return next;
    }
    if (expectedVersion === undefined)
      await runtime.clock.sleep(backoffMs({ firstMs: 2, maxMs: 50 }, race, runtime.random));
  }
  throw new ChangeoverError(
    'STATE_CHANGED',
    `${event.type} lost ${RACES_MAX} races for the state.`,
  );
}

function stateChanged(expected: number, actual: number): ChangeoverError {
  return new ChangeoverError(
    'STATE_CHANGED',
    `The decision was taken on state version ${expected}, the state is at ${actual}.`,
    { data: { expected, actual } },
  );
}

function auditEntry(
  state: MigrationState,
  next: MigrationState,
  event: MigrationEvent,
  entry: EventEntry,
) {
  const { type, ...fields } = event;
  return {
    actor: entry.actor,
    action: type,
    reason: entry.reason,
    detail: {
      ...fields,
      ...entry.detail,
      from: state.phase,
      phase: next.phase,
      generation: next.generation,
      epoch: next.epoch,
    },
  };
}
