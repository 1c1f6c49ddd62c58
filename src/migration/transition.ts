import { type Phase, phaseOrder, phases, type Side } from './phase.ts';
import { authorityOf, routingTable } from './routing.ts';
import type { CutoverState, MigrationState, RescueKind } from './state.ts';

/** Everything that can happen to a migration's state. SPEC.md, table E. */
export type MigrationEvent =
  | { readonly type: 'start'; readonly shadow: boolean }
  | { readonly type: 'advance'; readonly to: Phase }
  | { readonly type: 'dial'; readonly basisPoints: number; readonly segments?: readonly string[] }
  | { readonly type: 'drill' }
  | { readonly type: 'hold-work' }
  | { readonly type: 'resume-work' }
  | { readonly type: 'rollback'; readonly to: Phase }
  | {
      readonly type: 'cutover-begin';
      readonly attempt: string;
      readonly owner: string;
      readonly to: Side;
      readonly phaseAfter: Phase;
      /** To the source only: without a drain, and what the source then lacks is the gap. */
      readonly rescue?: RescueKind;
    }
  | { readonly type: 'cutover-hold-writes'; readonly attempt: string }
  | { readonly type: 'cutover-adopt'; readonly attempt: string; readonly owner: string }
  | { readonly type: 'cutover-commit'; readonly attempt: string }
  | { readonly type: 'cutover-abort'; readonly attempt: string }
  | { readonly type: 'cutover-undone'; readonly attempt: string }
  | { readonly type: 'gap-collected'; readonly rescue: string }
  | { readonly type: 'gap-closed'; readonly rescue: string };

export type EventType = MigrationEvent['type'];

/** Why an event does not apply, in words for the operator. */
export interface Refusal {
  readonly refused: string;
}

type Outcome = MigrationState | Refusal;
type Rule<T extends EventType> = (
  state: MigrationState,
  event: Extract<MigrationEvent, { type: T }>,
) => Outcome;
type RuleTable = { readonly [T in EventType]: Readonly<Record<Phase, Rule<T>>> };

const refuse =
  (why: (state: MigrationState) => string): ((state: MigrationState) => Refusal) =>
  (state) => ({ refused: why(state) });

/** The same rule in every phase that is not named. */
function inPhases<T extends EventType>(
  rules: Partial<Record<Phase, Rule<T>>>,
  otherwise: Rule<T>,
): Readonly<Record<Phase, Rule<T>>> {
  const table: Partial<Record<Phase, Rule<T>>> = {};
  for (const phase of phases) table[phase] = rules[phase] ?? otherwise;
  return table as Record<Phase, Rule<T>>;
}

const step = (state: MigrationState, change: Partial<MigrationState>): MigrationState => {
  const next = { ...state, ...change, version: state.version + 1 };
  const rescued = next.gap !== undefined || next.cutover?.rescue !== undefined;
  return { ...next, formatVersion: rescued ? 2 : 1 };
};

const gapIsOpen = (state: MigrationState): Refusal => ({
  refused: `the gap of rescue ${state.gap?.rescue} is open (${state.gap?.stage}): decide its records first (changeover rescue list)`,
});

/** The one next phase by `advance`; null where another event moves on. */
export const nextPhase: Readonly<Record<Phase, Phase | null>> = {
  off: null,
  'shadow-write': 'dual-write',
  'dual-write': 'backfill',
  backfill: 'shadow-read',
  'shadow-read': 'read-switch',
  'read-switch': null,
  'write-switch': 'retired',
  retired: null,
};

const advance: Rule<'advance'> = (state, event) => {
  if (state.cutover)
    return { refused: `a change of authority (attempt ${state.cutover.attempt}) is under way` };
  if (state.gap) return gapIsOpen(state);
  const next = nextPhase[state.phase];
  if (next === null) return { refused: advanceHint(state.phase) };
  if (event.to !== next)
    return { refused: `from ${state.phase} the next phase is ${next}, not ${event.to}` };
  return step(state, { phase: next });
};

function advanceHint(phase: Phase): string {
  if (phase === 'off') return 'the migration is off: start it';
  if (phase === 'read-switch') return 'the write switch is a change of authority: begin a cutover';
  return `${phase} is the last phase`;
}

const dial: Rule<'dial'> = (state, event) => {
  if (!Number.isInteger(event.basisPoints) || event.basisPoints < 0 || event.basisPoints > 10_000) {
    return { refused: `a dial of ${event.basisPoints} basis points is not between 0 and 10000` };
  }
  // The target lacks what the source has taken, and holds what the source lacks.
  if (state.gap) return gapIsOpen(state);
  const segments =
    event.segments === undefined ? state.segments : [...new Set(event.segments)].sort();
  return step(state, { dialBasisPoints: event.basisPoints, segments });
};

/**
 * Backward, never asked for evidence. A change of authority under way can no longer commit from here on;
 * it stays in the state as `aborting` until its guards are undone.
 */
const rollback: Rule<'rollback'> = (state, event) => {
  if (authorityOf(event.to) !== 'source') return { refused: `${event.to} is not an earlier phase` };
  // Where nobody follows, what stands only in the gap would be forgotten.
  if (state.gap && routingTable[event.to].follow !== 'apply') return gapIsOpen(state);
  const same = event.to === state.phase;
  if (phaseOrder(event.to) > phaseOrder(state.phase))
    return { refused: `${event.to} is not earlier than ${state.phase}` };
  if (same && state.dialBasisPoints === 0 && state.segments.length === 0 && !state.cutover) {
    return { refused: `the migration is in ${state.phase} with dial 0 already` };
  }
  return step(state, {
    phase: event.to,
    dialBasisPoints: 0,
    segments: [],
    cutover: state.cutover && { ...state.cutover, status: 'aborting' },
    generation: event.to === 'off' ? state.generation + 1 : state.generation,
  });
};

const cutoverBegin: Rule<'cutover-begin'> = (state, event) => {
  if (state.cutover)
    return { refused: `attempt ${state.cutover.attempt} by ${state.cutover.owner} is under way` };
  if (state.gap) return gapIsOpen(state);
  if (event.rescue && event.to !== 'source') return { refused: 'a rescue goes to the source' };
  if (authorityOf(state.phase) === event.to)
    return { refused: `the ${event.to} is the authority already` };
  if (
    authorityOf(event.phaseAfter) !== event.to ||
    event.phaseAfter === 'off' ||
    event.phaseAfter === 'retired'
  ) {
    return {
      refused: `phase ${event.phaseAfter} cannot follow a change of authority to the ${event.to}`,
    };
  }
  const { attempt, owner, to, phaseAfter, rescue } = event;
  return step(state, {
    cutover: {
      attempt,
      owner,
      to,
      phaseAfter,
      epoch: state.epoch + 1,
      writesHeld: false,
      status: 'running',
      ...(rescue ? { rescue } : {}),
    },
  });
};

const cutoverCommit = (state: MigrationState, cutover: CutoverState): Outcome => {
  if (cutover.status === 'aborting') return aborting(cutover);
  if (!cutover.writesHeld) return { refused: 'writes are not held yet' };
  const { attempt, epoch, phaseAfter, rescue } = cutover;
  return step(state, {
    phase: phaseAfter,
    epoch,
    cutover: null,
    dialBasisPoints: 0,
    segments: [],
    ...(rescue
      ? { gap: { rescue: attempt, epoch: state.epoch, stage: 'uncollected' as const } }
      : {}),
  });
};

/** A rule that applies only to the gap that is open. */
function ofGap<T extends 'gap-collected' | 'gap-closed'>(rule: Rule<T>): Rule<T> {
  return (state, event) => {
    const { rescue } = event as { readonly rescue: string };
    return state.gap?.rescue === rescue
      ? rule(state, event)
      : { refused: `the gap of rescue ${rescue} is not open` };
  };
}

const gapCollected: Rule<'gap-collected'> = (state) =>
  state.gap?.stage === 'uncollected'
    ? step(state, { gap: { ...state.gap, stage: 'collected' } })
    : { refused: 'the gap is collected already' };

const gapClosed: Rule<'gap-closed'> = ({ gap: _, ...state }) => step(state, {});

/** A rule that applies only to the attempt which is under way. */
type AttemptEvent =
  | 'cutover-hold-writes'
  | 'cutover-adopt'
  | 'cutover-commit'
  | 'cutover-abort'
  | 'cutover-undone';
function ofAttempt<T extends AttemptEvent>(
  rule: (
    state: MigrationState,
    cutover: CutoverState,
    event: Extract<MigrationEvent, { type: T }>,
  ) => Outcome,
): Rule<T> {
  return (state, event) => {
    const { attempt } = event as { readonly attempt: string };
    const { cutover } = state;
    if (cutover === null || cutover.attempt !== attempt) {
      return {
        refused: `attempt ${attempt} is not under way${cutover ? ` (${cutover.attempt} is)` : ''}`,
      };
    }
    return rule(state, cutover, event);
  };
}

const aborting = (cutover: CutoverState): Refusal => ({
  refused: `attempt ${cutover.attempt} is being undone`,
});
const everyPhase = <T extends EventType>(rule: Rule<T>): Readonly<Record<Phase, Rule<T>>> =>
  inPhases({}, rule);
const notRunning = refuse((state) => `the migration is ${state.phase}`);
const startRule: Rule<'start'> = (state, event) =>
  step(state, { phase: event.shadow ? 'shadow-write' : 'dual-write' });

/** Total: the compiler demands every event and every phase. */
export const transitionTable: RuleTable = {
  start: inPhases(
    { off: startRule },
    refuse((state) => `the migration is started already (${state.phase})`),
  ),
  advance: everyPhase(advance),
  dial: inPhases(
    { 'read-switch': dial },
    refuse((state) => `there is no dial in phase ${state.phase}`),
  ),
  // Nothing but a new version: how long does the fleet take to acknowledge it?
  drill: inPhases({ off: notRunning, retired: notRunning }, (state) => {
    if (state.cutover)
      return { refused: `a change of authority (attempt ${state.cutover.attempt}) is under way` };
    // The record that it sends again would count as written on the source since the rescue.
    return state.gap ? gapIsOpen(state) : step(state, {});
  }),
  'hold-work': inPhases({ off: notRunning, retired: notRunning }, (state) =>
    state.workHeld
      ? { refused: 'background work is held already' }
      : step(state, { workHeld: true }),
  ),
  'resume-work': everyPhase((state) =>
    state.workHeld ? step(state, { workHeld: false }) : { refused: 'background work is not held' },
  ),
  rollback: inPhases(
    {
      'write-switch': refuse(
        () =>
          'the target is the authority: going back is a change of authority (cutover to the source)',
      ),
      retired: refuse(() => 'the migration is retired: there is no way back'),
    },
    rollback,
  ),
  'cutover-begin': inPhases(
    { 'read-switch': cutoverBegin, 'write-switch': cutoverBegin },
    refuse((state) => `authority cannot change in phase ${state.phase}`),
  ),
  'cutover-hold-writes': everyPhase(
    ofAttempt((state, cutover) =>
      cutover.status === 'aborting'
        ? aborting(cutover)
        : step(state, { cutover: { ...cutover, writesHeld: true } }),
    ),
  ),
  'cutover-adopt': everyPhase(
    ofAttempt((state, cutover, event) =>
      step(state, { cutover: { ...cutover, owner: event.owner } }),
    ),
  ),
  'cutover-commit': everyPhase(ofAttempt((state, cutover) => cutoverCommit(state, cutover))),
  'cutover-abort': everyPhase(
    ofAttempt((state, cutover) =>
      cutover.status === 'aborting'
        ? aborting(cutover)
        : step(state, { cutover: { ...cutover, status: 'aborting' } }),
    ),
  ),
  'cutover-undone': everyPhase(
    ofAttempt((state, cutover) =>
      cutover.status === 'aborting'
        ? step(state, { cutover: null })
        : { refused: 'the attempt has not been aborted' },
    ),
  ),
  'gap-collected': everyPhase(ofGap(gapCollected)),
  'gap-closed': everyPhase(ofGap(gapClosed)),
};

export function isRefusal(outcome: MigrationState | Refusal): outcome is Refusal {
  return 'refused' in outcome;
}

/** The whole phase machine: pure, total. The result has `version + 1`, or says why not. */
export function transition(state: MigrationState, event: MigrationEvent): MigrationState | Refusal {
  const rule = transitionTable[event.type][state.phase] as Rule<EventType>;
  return rule(state, event);
}
