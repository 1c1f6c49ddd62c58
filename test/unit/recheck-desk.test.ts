import { describe, expect, test } from 'vitest';
import type { MigrationContext, Mismatch } from '../../src/control/index.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import { RecheckDesk, verifyScope } from '../../src/verify/index.ts';
import { never, quick, type VerifyFixture, verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();

const suspicion = (key: string, lastSeenMs: number, detector = 'shadow-read'): Mismatch => ({
  collection: 'items',
  key: JSON.stringify([key]),
  kind: 'different',
  status: 'suspect',
  detector,
  differences: [],
  firstSeenMs: 1,
  lastSeenMs,
  rechecks: 0,
  note: '',
});

const deskOf = ({ state }: VerifyFixture, context: MigrationContext): RecheckDesk =>
  new RecheckDesk(verifyScope(context, 'items', { currentState: state }, never), quick);

const suspects = ({ context }: VerifyFixture) =>
  context.control.mismatches.list('fixture', { status: 'suspect', limit: 9 });

/** The ledger, in which a suspicion comes up between the exact look and its verdict; `forgetful`: the defect that this is for. */
function withLateSuspicion(fixture: VerifyFixture, forgetful: boolean): MigrationContext {
  const { context } = fixture;
  const { mismatches } = context.control;
  const ledger = {
    ...mismatches,
    async gone(...[migration, places]: Parameters<typeof mismatches.gone>) {
      // In another process: the key was changed behind the look, and read.
      await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
      await mismatches.record(migration, [suspicion('000003', 9)]);
      const blind = places.map(({ collection, key }) => ({ collection, key }));
      await mismatches.gone(migration, forgetful ? blind : places);
    },
  };
  return { ...context, control: { ...context.control, mismatches: ledger } };
}

describe('the desk', () => {
  test('keeps a suspicion that comes up while its key is found equal', async () => {
    const fixture = await fixtureWith(5);
    const { mismatches } = fixture.context.control;
    await mismatches.record('fixture', [suspicion('000003', 5)]);
    const desk = deskOf(fixture, withLateSuspicion(fixture, false));
    desk.admit(await suspects(fixture));
    await desk.drain();
    expect(await suspects(fixture)).toMatchObject([{ key: '["000003"]', lastSeenMs: 9 }]);
    const second = deskOf(fixture, fixture.context);
    expect(second.admit(await suspects(fixture))).toBe(1);
    await second.drain();
    expect(await mismatches.count('fixture', 'open')).toBe(1);
  });

  test('would lose it if the ledger forgot by the key alone: this is what the time is for', async () => {
    const fixture = await fixtureWith(5);
    await fixture.context.control.mismatches.record('fixture', [suspicion('000003', 5)]);
    const desk = deskOf(fixture, withLateSuspicion(fixture, true));
    desk.admit(await suspects(fixture));
    await desk.drain();
    expect((await fixture.all('target')).get('["000003"]')).toMatchObject({ name: 'wrong' });
    expect(await fixture.context.control.mismatches.list('fixture', { limit: 9 })).toEqual([]);
  });

  test('looks once more at a line that is seen again while it waits, and takes no line in twice', async () => {
    const fixture = await fixtureWith(5);
    const desk = deskOf(fixture, fixture.context);
    expect(desk.admit([suspicion('000003', 5)])).toBe(1);
    expect(desk.admit([suspicion('000003', 5)])).toBe(0);
    expect(desk.admit([suspicion('000003', 6)])).toBe(1);
    expect(desk.size).toBe(1);
    await desk.drain();
    expect(desk.takeReport()).toMatchObject({ checked: 1, dropped: 1 });
  });

  test('decides suspicions of all detectors, and counts each for the one that saw it first', async () => {
    const fixture = await fixtureWith(9);
    const detectors = ['shadow-read', 'parity', 'modified', 'verify'];
    const lines = detectors.map((detector, at) => suspicion(`00000${at + 1}`, 5, detector));
    for (let at = 1; at <= 4; at++)
      await fixture.foreign.target.put([`00000${at}`], { id: `00000${at}`, name: 'wrong' });
    const { mismatches, evidence } = fixture.context.control;
    await mismatches.record('fixture', lines);
    const desk = deskOf(fixture, fixture.context);
    desk.admit(await suspects(fixture));
    await desk.drain();
    expect(await mismatches.count('fixture', 'open')).toBe(4);
    const counts = await evidence.since('fixture', 0);
    expect(counts.map(({ detector, confirmed }) => [detector, confirmed]).sort()).toEqual(
      detectors.map((detector) => [detector, 1]).sort(),
    );
  });

  test('tells the ledger the versions of its exact look', async () => {
    const fixture = await fixtureWith(5);
    const { mismatches } = fixture.context.control;
    const { target } = fixture.context.stores;
    const [key, version] = [['000003'], { epoch: 1, sequence: 0n }];
    const value = { id: '000003', name: 'wrong' };
    const change = { collection: 'items', key, version, value, origin: 'outbox' as const };
    await target.door.apply([change], { epoch: 1, timeoutMs: 1_000 });
    await fixture.foreign.target.put(['000004'], { id: '000004', name: 'wrong' });
    await mismatches.record('fixture', [suspicion('000003', 5), suspicion('000004', 5)]);
    const desk = deskOf(fixture, fixture.context);
    desk.admit(await suspects(fixture));
    await desk.drain();
    const authority = expect.stringMatching(/^1\.\d+$/);
    expect(await mismatches.list('fixture', { status: 'open', limit: 9 })).toMatchObject([
      { key: '["000003"]', versions: { authority, follower: '1.0' } },
      { key: '["000004"]', versions: { authority, follower: null } },
    ]);
  });

  test.each(['read', 'reread'] as const)(
    'decides all but the one key whose %s will not pass',
    async (call) => {
      const fixture = await fixtureWith(9);
      const { context } = fixture;
      const { source, target } = context.stores;
      const records = {
        ...source.records,
        async [call](...given: never[]) {
          if (JSON.stringify(given[1]).includes('000004'))
            throw new ChangeoverError('VALUE_INVALID', 'A date has the year 20000.');
          return (source.records[call] as (...all: never[]) => Promise<unknown>)(...given);
        },
      } as typeof source.records;
      const keys = Array.from({ length: 9 }, (_, at) => `00000${at + 1}`);
      await Promise.all(keys.map((id) => fixture.foreign.target.put([id], { id, name: 'wrong' })));
      await context.control.mismatches.record(
        'fixture',
        keys.map((key) => suspicion(key, 5)),
      );
      const stores = { source: { ...source, records }, target };
      const desk = deskOf(fixture, { ...context, stores });
      desk.admit(await suspects(fixture));
      await desk.drain();
      expect(desk.takeReport()).toMatchObject({ opened: 8, unresolved: 1 });
      expect(await suspects(fixture)).toMatchObject([
        { key: '["000004"]', note: expect.stringContaining('20000') },
      ]);
    },
  );

  test('leaves what it has not decided to another one when authority moves', async () => {
    const fixture = await fixtureWith(5);
    await fixture.context.control.mismatches.record('fixture', [suspicion('000003', 5)]);
    const desk = deskOf(fixture, fixture.context);
    desk.admit(await suspects(fixture));
    await fixture.setState({ phase: 'write-switch', epoch: 2 });
    await desk.drain();
    expect(desk.isOpen).toBe(false);
    expect(await suspects(fixture)).toHaveLength(1);
  });
});
