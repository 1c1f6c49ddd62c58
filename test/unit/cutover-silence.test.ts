import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import {
  type CutoverStep,
  expectedGuard,
  resumeCutover,
  type SwitchOptions,
  switchAuthority,
} from '../../src/cutover/index.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import {
  bring,
  by,
  drainBy,
  latch,
  type MemoryMigration,
  memoryMigration,
  put,
} from '../support/memory-migration.ts';

let migration: MemoryMigration;
let context: MigrationContext;
let other: MigrationContext;

beforeEach(async () => {
  migration = memoryMigration();
  context = await migration.open('coordinator');
  other = await migration.open('successor');
  await bring(context, 'read-switch');
});

const toTarget = (more: Partial<SwitchOptions> = {}): SwitchOptions => ({
  to: 'target',
  phaseAfter: 'write-switch',
  ...by,
  drain: drainBy(context),
  ...more,
});

const load = () => other.control.load('shop');
const guards = async () => ({
  source: await other.stores.source.guard.read(),
  target: await other.stores.target.guard.read(),
});
/** Both guards say what the state says, and nobody's mark is left. */
async function consistent(): Promise<void> {
  const state = await load();
  expect(state.cutover).toBeNull();
  expect(await guards()).toEqual({
    source: expectedGuard(state, 'source'),
    target: expectedGuard(state, 'target'),
  });
}
const actions = async (action: string) =>
  (await context.control.history('shop', 1_000)).filter((line) => line.action === action).reverse();

/** A control store that loses requests or answers of one client. */
function loseControl(lost: (label: string, stage: 'request' | 'reply') => boolean): void {
  const at = (stage: 'request' | 'reply') => async (client: string, label: string) => {
    if (client === 'coordinator' && lost(label, stage))
      throw new ChangeoverError('CONTROL_UNAVAILABLE', 'The line is dead.');
  };
  migration.control.hook = { request: at('request'), reply: at('reply') };
}

describe('when the control store falls silent', () => {
  test.each(['begin', 'hold', 'commit'] as const)(
    'a lost answer to %s is looked up, not guessed',
    async (step) => {
      let armed = false;
      loseControl((label, stage) => {
        if (!armed || label !== 'control/commit' || stage !== 'reply') return false;
        armed = false;
        return true;
      });
      const onStep = (name: CutoverStep): void => {
        if (name === step) armed = true;
      };
      const done = await switchAuthority(context, toTarget({ onStep }));
      expect(done).toMatchObject({ outcome: 'committed' });
      expect((await actions('cutover-begin')).length).toBe(1);
      expect((await actions('cutover-commit')).length).toBe(1);
      await consistent();
    },
  );

  test('for good, before the commit: undecided, and undone by whoever reaches it', async () => {
    let silent = false;
    loseControl(() => silent);
    const onStep = (name: CutoverStep): void => {
      if (name === 'commit') silent = true;
    };
    await expect(
      switchAuthority(context, toTarget({ onStep, holdMs: 200, undoMs: 200, leaseMs: 50 })),
    ).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
    await expect(put(context, 'a', 1)).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    expect(await resumeCutover(other)).toMatchObject({ outcome: 'undone' });
    await consistent();
    await put(other, 'a', 1);
  });

  test('for good, with the answer to the commit: the switch stands', async () => {
    let [committing, silent] = [false, false];
    loseControl((label, stage) => {
      if (silent) return true;
      silent = committing && label === 'control/commit' && stage === 'reply';
      return silent;
    });
    const onStep = (name: CutoverStep): void => {
      committing = name === 'commit';
    };
    await expect(
      switchAuthority(context, toTarget({ onStep, holdMs: 200, undoMs: 200 })),
    ).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
    expect(await load()).toMatchObject({ phase: 'write-switch', epoch: 2 });
    await put(other, 'a', 2, 'target');
    expect(await resumeCutover(other)).toMatchObject({ outcome: 'settled' });
    await consistent();
  });
});

describe('when a store falls silent', () => {
  test('a new authority that is down does not keep the old one shut', async () => {
    await expect(
      switchAuthority(
        context,
        toTarget({
          undoMs: 400,
          onStep: (name) => {
            if (name === 'commit') migration.databases.target.stop();
            if (name === 'commit') throw new Error('out of luck');
          },
        }),
      ),
    ).rejects.toMatchObject({ code: 'CUTOVER_ABORTED' });
    expect(await load()).toMatchObject({ phase: 'read-switch', epoch: 1, cutover: null });
    await put(context, 'a', 1);
    migration.databases.target.start();
    expect((await guards()).target).toMatchObject({ role: 'authority', epoch: 2 });
    expect(await resumeCutover(other)).toMatchObject({ outcome: 'settled' });
    await consistent();
    await switchAuthority(context, toTarget());
  });

  test('an old authority that is down leaves the attempt aborting until it is back', async () => {
    const failing = switchAuthority(
      context,
      toTarget({
        undoMs: 200,
        onStep: (name) => {
          if (name === 'commit') migration.databases.source.stop();
          if (name === 'commit') throw new Error('out of luck');
        },
      }),
    );
    await expect(failing).rejects.toThrow('not restored yet');
    expect((await load()).cutover).toMatchObject({ status: 'aborting', writesHeld: true });
    expect(await resumeCutover(other, { undoMs: 100 })).toMatchObject({ outcome: 'pending' });
    migration.databases.source.start();
    expect(await resumeCutover(other)).toMatchObject({ outcome: 'undone' });
    await consistent();
    await put(other, 'a', 1);
  });
});

test('a settle that comes late leaves the next change of authority alone', async () => {
  const [first, second] = [latch(), latch()];
  const [wakeFirst, wakeSecond] = [latch(), latch()];
  const sleepBefore =
    (step: CutoverStep, reached: () => void, wake: Promise<void>) => async (name: CutoverStep) => {
      if (name !== step) return;
      reached();
      await wake;
    };
  const forward = switchAuthority(
    context,
    toTarget({ onStep: sleepBefore('settle', first.open, wakeFirst.opened) }),
  );
  await first.opened;
  const back = switchAuthority(other, {
    to: 'source',
    phaseAfter: 'read-switch',
    ...by,
    drain: drainBy(other),
    onStep: sleepBefore('commit', second.open, wakeSecond.opened),
  });
  await second.opened;
  const flipped = await guards();
  expect(flipped.source).toMatchObject({ role: 'authority', epoch: 3 });
  expect(await resumeCutover(context)).toMatchObject({ outcome: 'running' });
  wakeFirst.open();
  await forward;
  expect(await guards()).toEqual(flipped);
  wakeSecond.open();
  expect((await back).state).toMatchObject({ phase: 'read-switch', epoch: 3 });
  await consistent();
});
