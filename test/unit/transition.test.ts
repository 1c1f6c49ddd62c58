import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  authorityOf,
  initialState,
  isRefusal,
  type MigrationEvent,
  type MigrationState,
  nextPhase,
  type Phase,
  phaseOrder,
  phases,
  transition,
  transitionTable,
} from '../../src/migration/index.ts';

/** Every kind of event, in the form that has the best chance in that phase. */
function events(state: MigrationState): Readonly<Record<MigrationEvent['type'], MigrationEvent>> {
  const attempt = state.cutover?.attempt ?? 'none';
  const toTarget = authorityOf(state.phase) === 'source';
  return {
    start: { type: 'start', shadow: false },
    advance: { type: 'advance', to: nextPhase[state.phase] ?? 'retired' },
    dial: { type: 'dial', basisPoints: 100 },
    drill: { type: 'drill' },
    'hold-work': { type: 'hold-work' },
    'resume-work': { type: 'resume-work' },
    rollback: { type: 'rollback', to: 'off' },
    'cutover-begin': {
      type: 'cutover-begin',
      attempt: 'next',
      owner: 'me',
      to: toTarget ? 'target' : 'source',
      phaseAfter: toTarget ? 'write-switch' : 'read-switch',
    },
    'cutover-hold-writes': { type: 'cutover-hold-writes', attempt },
    'cutover-adopt': { type: 'cutover-adopt', attempt, owner: 'other' },
    'cutover-commit': { type: 'cutover-commit', attempt },
    'cutover-abort': { type: 'cutover-abort', attempt },
    'cutover-undone': { type: 'cutover-undone', attempt },
    'gap-collected': { type: 'gap-collected', rescue: state.gap?.rescue ?? 'none' },
    'gap-closed': { type: 'gap-closed', rescue: state.gap?.rescue ?? 'none' },
  };
}

const at = (phase: Phase, more: Partial<MigrationState> = {}): MigrationState => ({
  ...initialState('shop'),
  phase,
  ...more,
});

/** SPEC.md, table E: which event is let in in which phase, without a change of authority under way. */
const letIn: Readonly<Record<MigrationEvent['type'], readonly Phase[]>> = {
  start: ['off'],
  advance: ['shadow-write', 'dual-write', 'backfill', 'shadow-read', 'write-switch'],
  dial: ['read-switch'],
  drill: ['shadow-write', 'dual-write', 'backfill', 'shadow-read', 'read-switch', 'write-switch'],
  'hold-work': [
    'shadow-write',
    'dual-write',
    'backfill',
    'shadow-read',
    'read-switch',
    'write-switch',
  ],
  'resume-work': [],
  rollback: ['shadow-write', 'dual-write', 'backfill', 'shadow-read', 'read-switch'],
  'cutover-begin': ['read-switch', 'write-switch'],
  'cutover-hold-writes': [],
  'cutover-adopt': [],
  'cutover-commit': [],
  'cutover-abort': [],
  'cutover-undone': [],
  'gap-collected': [],
  'gap-closed': [],
};

const every = Object.keys(letIn).flatMap((type) =>
  phases.map((phase) => [type as MigrationEvent['type'], phase] as const),
);

describe('the transition table', () => {
  test('has a rule for every event in every phase', () => {
    expect(Object.keys(transitionTable).sort()).toEqual(Object.keys(letIn).sort());
    for (const rules of Object.values(transitionTable))
      expect(Object.keys(rules).sort()).toEqual([...phases].sort());
  });

  test.each(every)('%s in %s', (type, phase) => {
    const state = at(phase);
    const next = transition(state, events(state)[type]);
    expect(isRefusal(next)).toBe(!letIn[type].includes(phase));
    if (isRefusal(next)) expect(next.refused).not.toBe('');
  });

  test.each([
    ['read-switch', 'target'],
    ['write-switch', 'source'],
  ] as const)('a change of authority in %s runs through its events', (phase, to) => {
    let state = at(phase, { dialBasisPoints: 100, segments: ['staff'] });
    const apply = (type: MigrationEvent['type']): void => {
      const next = transition(state, events(state)[type]);
      if (isRefusal(next)) throw new Error(`${type}: ${next.refused}`);
      state = next;
    };
    apply('cutover-begin');
    expect(state.cutover).toMatchObject({ to, epoch: 2, writesHeld: false, status: 'running' });
    for (const refused of ['cutover-begin', 'cutover-commit', 'cutover-undone', 'advance'] as const)
      expect(isRefusal(transition(state, events(state)[refused])), refused).toBe(true);
    apply('cutover-hold-writes');
    apply('cutover-adopt');
    expect(state.cutover).toMatchObject({ owner: 'other', writesHeld: true });
    apply('cutover-commit');
    expect(state).toMatchObject({ epoch: 2, cutover: null, dialBasisPoints: 0, segments: [] });
    expect(authorityOf(state.phase)).toBe(to);
  });

  test('an aborted change of authority can only be undone', () => {
    let state = at('read-switch');
    for (const type of ['cutover-begin', 'cutover-hold-writes', 'cutover-abort'] as const) {
      const next = transition(state, events(state)[type]);
      if (isRefusal(next)) throw new Error(next.refused);
      state = next;
    }
    for (const type of ['cutover-commit', 'cutover-hold-writes', 'cutover-abort'] as const)
      expect(isRefusal(transition(state, events(state)[type])), type).toBe(true);
    expect(transition(state, events(state)['cutover-undone'])).toMatchObject({
      cutover: null,
      epoch: 1,
    });
  });

  test('an event of another attempt is refused', () => {
    const begun = transition(at('read-switch'), events(at('read-switch'))['cutover-begin']);
    const other = transition(begun as MigrationState, {
      type: 'cutover-abort',
      attempt: 'stranger',
    });
    expect(other).toMatchObject({ refused: expect.stringContaining('stranger') });
  });

  test('a rollback makes the change of authority under way unable to commit', () => {
    const begun = transition(
      at('read-switch'),
      events(at('read-switch'))['cutover-begin'],
    ) as MigrationState;
    const back = transition(begun, { type: 'rollback', to: 'shadow-read' });
    expect(back).toMatchObject({ phase: 'shadow-read', cutover: { status: 'aborting' } });
    expect(
      isRefusal(transition(back as MigrationState, { type: 'cutover-commit', attempt: 'next' })),
    ).toBe(true);
  });

  describe('a rescue', () => {
    const run = (
      state: MigrationState,
      ...happening: readonly MigrationEvent[]
    ): MigrationState => {
      let now = state;
      for (const event of happening) {
        const next = transition(now, event);
        if (isRefusal(next)) throw new Error(`${event.type}: ${next.refused}`);
        now = next;
      }
      return now;
    };
    const begin: MigrationEvent = {
      type: 'cutover-begin',
      attempt: 'r',
      owner: 'me',
      to: 'source',
      phaseAfter: 'read-switch',
      rescue: 'sealed',
    };
    const switched = at('write-switch', { epoch: 2 });
    const open = run(
      switched,
      begin,
      { type: 'cutover-hold-writes', attempt: 'r' },
      { type: 'cutover-commit', attempt: 'r' },
    );

    test('opens a gap of the epoch that it leaves, and older releases refuse the state until it is closed', () => {
      expect(run(switched, begin).formatVersion).toBe(2);
      expect(open).toMatchObject({
        phase: 'read-switch',
        epoch: 3,
        formatVersion: 2,
        gap: { rescue: 'r', epoch: 2, stage: 'uncollected' },
      });
      const collected = run(open, { type: 'gap-collected', rescue: 'r' });
      expect(collected).toMatchObject({ formatVersion: 2, gap: { stage: 'collected' } });
      const closed = run(collected, { type: 'gap-closed', rescue: 'r' });
      expect(closed.formatVersion).toBe(1);
      expect('gap' in closed).toBe(false);
    });

    test('that was undone opens none', () => {
      const undone = run(
        switched,
        begin,
        { type: 'cutover-abort', attempt: 'r' },
        { type: 'cutover-undone', attempt: 'r' },
      );
      expect(undone).toMatchObject({ formatVersion: 1, cutover: null, phase: 'write-switch' });
      expect(undone.gap).toBeUndefined();
    });

    test.each<MigrationEvent>([
      { type: 'advance', to: 'write-switch' },
      { type: 'dial', basisPoints: 100 },
      { ...begin, to: 'target', phaseAfter: 'write-switch' } as MigrationEvent,
      { type: 'rollback', to: 'off' },
      { type: 'rollback', to: 'shadow-write' },
      { type: 'gap-collected', rescue: 'another' },
      { type: 'gap-closed', rescue: 'another' },
    ])('with its gap open refuses %o', (event) => {
      for (const state of [open, run(open, { type: 'gap-collected', rescue: 'r' })])
        expect(isRefusal(transition(state, event))).toBe(true);
    });

    test('with its gap open lets go back to where somebody follows', () => {
      expect(run(open, { type: 'rollback', to: 'dual-write' })).toMatchObject({
        phase: 'dual-write',
        gap: { rescue: 'r' },
      });
    });

    test('goes to the source only', () => {
      const forward = { ...begin, to: 'target', phaseAfter: 'write-switch' } as MigrationEvent;
      expect(isRefusal(transition(at('read-switch'), forward))).toBe(true);
    });
  });

  test('a drill changes nothing but the version, and is refused during a change of authority', () => {
    const state = at('read-switch', { dialBasisPoints: 100, segments: ['staff'] });
    expect(transition(state, { type: 'drill' })).toEqual({ ...state, version: state.version + 1 });
    const begun = transition(state, events(state)['cutover-begin']) as MigrationState;
    expect(isRefusal(transition(begun, { type: 'drill' }))).toBe(true);
  });

  test('back to off ends the generation', () => {
    expect(transition(at('backfill'), { type: 'rollback', to: 'off' })).toMatchObject({
      phase: 'off',
      generation: 2,
    });
  });

  test.each([-1, 10_001, 0.5, Number.NaN])(
    'a dial of %s basis points is refused',
    (basisPoints) => {
      expect(isRefusal(transition(at('read-switch'), { type: 'dial', basisPoints }))).toBe(true);
    },
  );

  test('segments are sorted and without doubles, and stay when none are given', () => {
    const state = transition(at('read-switch'), {
      type: 'dial',
      basisPoints: 0,
      segments: ['b', 'a', 'b'],
    });
    expect(state).toMatchObject({ segments: ['a', 'b'] });
    expect(transition(state as MigrationState, { type: 'dial', basisPoints: 5 })).toMatchObject({
      segments: ['a', 'b'],
    });
  });
});

const attempts = fc.constantFrom('a', 'b');
const anyEvent: fc.Arbitrary<MigrationEvent> = fc.oneof(
  fc.record({ type: fc.constant('start' as const), shadow: fc.boolean() }),
  fc.record({ type: fc.constant('advance' as const), to: fc.constantFrom(...phases) }),
  fc.record({
    type: fc.constant('dial' as const),
    basisPoints: fc.integer({ min: -10, max: 10_010 }),
    segments: fc.array(fc.constantFrom('x', 'y'), { maxLength: 2 }),
  }),
  fc.record({
    type: fc.constantFrom('hold-work' as const, 'resume-work' as const, 'drill' as const),
  }),
  fc.record({ type: fc.constant('rollback' as const), to: fc.constantFrom(...phases) }),
  fc.record({
    type: fc.constant('cutover-begin' as const),
    attempt: attempts,
    owner: fc.constant('me'),
    to: fc.constantFrom('source' as const, 'target' as const),
    phaseAfter: fc.constantFrom(...phases),
  }),
  fc.record({
    type: fc.constant('cutover-begin' as const),
    attempt: attempts,
    owner: fc.constant('me'),
    to: fc.constant('source' as const),
    phaseAfter: fc.constantFrom('read-switch' as const, 'shadow-read' as const),
    rescue: fc.constantFrom('sealed' as const, 'unreachable' as const),
  }),
  fc.record({
    type: fc.constantFrom('gap-collected' as const, 'gap-closed' as const),
    rescue: attempts,
  }),
  fc.record({
    type: fc.constant('cutover-adopt' as const),
    attempt: attempts,
    owner: fc.constant('you'),
  }),
  fc.record({
    type: fc.constantFrom(
      'cutover-hold-writes' as const,
      'cutover-commit' as const,
      'cutover-abort' as const,
      'cutover-undone' as const,
    ),
    attempt: attempts,
  }),
);
/** Walks mostly forward, so that the late phases are reached; mixed with anything. */
const walk = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: anyEvent },
    { weight: 3, arbitrary: fc.constant('forward' as const) },
  ),
  { maxLength: 60 },
);

function forward(state: MigrationState): MigrationEvent {
  if (state.phase === 'off') return { type: 'start', shadow: false };
  if (state.phase !== 'read-switch')
    return { type: 'advance', to: nextPhase[state.phase] ?? 'off' };
  if (state.cutover === null)
    return {
      type: 'cutover-begin',
      attempt: 'a',
      owner: 'me',
      to: 'target',
      phaseAfter: 'write-switch',
    };
  const { attempt, status, writesHeld } = state.cutover;
  if (status === 'aborting') return { type: 'cutover-undone', attempt };
  return { type: writesHeld ? 'cutover-commit' : 'cutover-hold-writes', attempt };
}

/** Every step of a walk that was not refused. */
function steps(choices: readonly (MigrationEvent | 'forward')[]) {
  let state = initialState('shop');
  const seen: { before: MigrationState; event: MigrationEvent; after: MigrationState }[] = [];
  for (const choice of choices) {
    const event = choice === 'forward' ? forward(state) : choice;
    const frozen = JSON.stringify(state);
    const after = transition(state, event);
    // I2: a refusal, and a step as well, leave the state that they were given alone.
    expect(JSON.stringify(state)).toBe(frozen);
    if (isRefusal(after)) continue;
    seen.push({ before: state, event, after });
    state = after;
  }
  return seen;
}

describe('over any walk', () => {
  const always = (holds: (step: ReturnType<typeof steps>[number]) => void): void =>
    fc.assert(
      fc.property(walk, (choices) => steps(choices).forEach(holds)),
      { numRuns: 2_000 },
    );

  test('the version rises by one with every step (I1)', () =>
    always(({ before, after }) => expect(after.version).toBe(before.version + 1)));

  test('the epoch never falls, and rises by one exactly with a change of authority (I3, I4)', () =>
    always(({ before, after, event }) => {
      const moved = authorityOf(before.phase) !== authorityOf(after.phase);
      expect(after.epoch - before.epoch).toBe(moved ? 1 : 0);
      expect(moved).toBe(event.type === 'cutover-commit');
    }));

  test('a gap opens with the commit of a rescue alone, and no authority moves while it is open (I10)', () =>
    always(({ before, event, after }) => {
      if (after.gap && !before.gap) {
        expect(event.type).toBe('cutover-commit');
        expect(before.cutover?.rescue).toBeDefined();
      }
      if (before.gap) expect(after.epoch).toBe(before.epoch);
      const rescued = after.gap !== undefined || after.cutover?.rescue !== undefined;
      expect(after.formatVersion).toBe(rescued ? 2 : 1);
    }));

  test('an attempt that is aborting never commits (I5)', () => {
    fc.assert(
      fc.property(walk, (choices) => {
        for (const { before, event, after } of steps(choices)) {
          if (before.cutover?.status !== 'aborting') continue;
          expect(event.type).not.toBe('cutover-commit');
          expect(after.cutover === null || after.cutover.status === 'aborting').toBe(true);
          if (after.cutover === null) expect(event.type).toBe('cutover-undone');
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('nothing commits before writes are held (I6)', () =>
    always(({ before, event }) => {
      if (event.type === 'cutover-commit') expect(before.cutover?.writesHeld).toBe(true);
    }));

  test('forward is one phase at a time, apart from the optional rehearsal (I7)', () =>
    always(({ before, after }) => {
      const distance = phaseOrder(after.phase) - phaseOrder(before.phase);
      const skipsRehearsal = before.phase === 'off' && after.phase === 'dual-write';
      expect(distance <= 1 || skipsRehearsal).toBe(true);
    }));

  test('the dial is up only in read-switch (I8)', () =>
    always(({ after }) => {
      if (after.phase !== 'read-switch')
        expect([after.dialBasisPoints, after.segments]).toEqual([0, []]);
    }));

  test('a generation ends only at off (I9)', () =>
    always(({ before, after }) => {
      expect(after.generation - before.generation).toBe(
        after.phase === 'off' && before.phase !== 'off' ? 1 : 0,
      );
    }));
});
