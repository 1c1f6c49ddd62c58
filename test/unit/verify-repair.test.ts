import { describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import type { Key } from '../../src/record/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { diffKey, linesToRecheck, recheckSuspects } from '../../src/verify/index.ts';
import { itemsCollection, seed } from '../support/engine-fixture.ts';
import {
  mend,
  never,
  openOf,
  quick,
  sabotage,
  verify,
  verifyFixtures,
} from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();

describe('suspects of the ledger', () => {
  const suspect = (key: string) => ({
    collection: 'items',
    key: JSON.stringify([key]),
    kind: 'different' as const,
    status: 'suspect' as const,
    detector: 'shadow-read',
    differences: [],
    firstSeenMs: 1,
    lastSeenMs: 1,
    rechecks: 0,
    note: '',
  });

  test('are dropped when they agree, opened when they differ, and counted for their detector', async () => {
    const fixture = await fixtureWith(10);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    const { mismatches, evidence } = fixture.context.control;
    await mismatches.record('fixture', [suspect('000003'), suspect('000004')]);
    const options = { currentState: fixture.state, recheck: quick, openAfterMs: 0 };
    expect(await recheckSuspects(fixture.context, options, never)).toMatchObject({
      checked: 2,
      dropped: 1,
      opened: 1,
    });
    expect(await openOf(fixture)).toMatchObject([{ key: '["000003"]' }]);
    expect(await evidence.since('fixture', 0)).toMatchObject([
      { detector: 'shadow-read', confirmed: 1 },
    ]);
    // An open one that heals by itself is dropped by a later round, and not counted twice.
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'name 3' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await recheckSuspects(fixture.context, options, never)).toMatchObject({ dropped: 1 });
    expect(await mismatches.list('fixture', { limit: 10 })).toEqual([]);
  });

  test('of collections that are not configured are left alone', async () => {
    const fixture = await fixtureWith(1);
    const line = { ...suspect('x'), collection: 'ordersByTenant' };
    await fixture.context.control.mismatches.record('fixture', [line]);
    const options = { currentState: fixture.state, recheck: quick };
    expect(await recheckSuspects(fixture.context, options, never)).toMatchObject({ checked: 0 });
  });

  test('that nobody can look at do not stand in the way of younger ones', async () => {
    const fixture = await fixtureWith(10);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    const { mismatches } = fixture.context.control;
    const old = Array.from({ length: 25 }, (_, at) => ({
      ...suspect(`x${at}`),
      collection: 'ordersByTenant',
    }));
    const younger = { ...suspect('000003'), firstSeenMs: 2, lastSeenMs: 2 };
    await mismatches.record('fixture', [...old, younger]);
    const options = { currentState: fixture.state, recheck: quick, limit: 5 };
    expect(await recheckSuspects(fixture.context, options, never)).toMatchObject({ opened: 1 });
  });

  test('are rechecked behind a verification, however many another collection has', async () => {
    const fixture = await fixtureWith(5);
    const { mismatches } = fixture.context.control;
    const others = Array.from({ length: 10_000 }, (_, at) => ({
      ...suspect(`x${at}`),
      collection: 'aOther',
    }));
    await mismatches.record('fixture', [...others, suspect('000003')]);
    await verify(fixture);
    expect(await mismatches.list('fixture', { collection: 'items', limit: 9 })).toEqual([]);
  });

  test('that no look decides do not keep younger ones from their turn', async () => {
    const fixture = await fixtureWith(1);
    const { mismatches } = fixture.context.control;
    const round = async (): Promise<readonly string[]> =>
      ((await linesToRecheck(fixture.context, { limit: 2 })).get('items') ?? []).map(
        ({ key }) => key,
      );
    await mismatches.record('fixture', [suspect('a'), suspect('b')]);
    await mismatches.record('fixture', [{ ...suspect('c'), firstSeenMs: 2, lastSeenMs: 2 }]);
    expect(await round()).toEqual(['["a"]', '["b"]']);
    // Looked at, and still in doubt.
    const doubtful = { firstSeenMs: 1, lastSeenMs: 3, rechecks: 4 };
    await mismatches.record(
      'fixture',
      ['a', 'b'].map((key) => ({ ...suspect(key), ...doubtful })),
    );
    expect(await round()).toEqual(['["c"]', '["a"]']);
  });
});

describe('repair', () => {
  test('proposes without writing anything', async () => {
    const fixture = await fixtureWith(300);
    await sabotage(fixture);
    await verify(fixture);
    const before = await fixture.all('target');
    const report = await mend(fixture, 'open', { mode: 'propose', deleteExtras: true });
    expect(report.counts).toMatchObject({ proposed: 4, repaired: 0 });
    expect(report.keys.map(({ action }) => action).sort()).toEqual([
      'delete',
      'delete',
      'put',
      'put',
    ]);
    expect(await fixture.all('target')).toEqual(before);
  });

  test('puts what is missing or different, deletes extras only when told, and is done when the recheck passes', async () => {
    const fixture = await fixtureWith(300);
    await sabotage(fixture);
    await verify(fixture);
    expect((await mend(fixture, 'open')).counts).toMatchObject({ repaired: 2, 'extra-kept': 2 });
    expect(await openOf(fixture)).toHaveLength(2);
    const second = await mend(fixture, 'open', { deleteExtras: true });
    expect(second.counts).toMatchObject({ repaired: 2 });
    expect(await fixture.all('target')).toEqual(await fixture.all('source'));
    expect(await fixture.context.control.mismatches.count('fixture', 'repaired')).toBe(4);
    expect(await mend(fixture, [['000042'], ['000042']])).toMatchObject({ counts: { equal: 1 } });
    expect(await verify(fixture)).toMatchObject({ outcome: 'passed' });
  });

  test('never overwrites a newer live write, and never deletes a record inserted meanwhile', async () => {
    const fixture = await fixtureWith(10);
    const router = await createRouter(fixture.context);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    await fixture.foreign.target.put(['99'], { id: '99', name: 'extra' });
    const { target } = fixture.context.stores;
    const door = {
      ...target.door,
      async apply(...given: Parameters<typeof target.door.apply>) {
        // Between the re-read and the door: both keys are written by the application.
        if (given[0][0]?.origin === 'repair') {
          await router.collection('items').put({ id: '000003', name: 'newest' });
          await router.collection('items').put({ id: '99', name: 'inserted' });
        }
        return target.door.apply(...given);
      },
    };
    const stores = { ...fixture.context.stores, target: { ...target, door } };
    const context: MigrationContext = { ...fixture.context, stores };
    const report = await mend({ context, state: fixture.state }, [['000003'], ['99']], {
      deleteExtras: true,
    });
    await router.close();
    expect(report.counts).toMatchObject({ overtaken: 2 });
    expect((await fixture.all('target')).get('["000003"]')).toMatchObject({ name: 'newest' });
    expect((await fixture.all('target')).get('["99"]')).toMatchObject({ name: 'inserted' });
  });

  test('does not delete the record of another key that the follower takes for this one', async () => {
    const fixture = await fixtureWith(0);
    for (const side of ['source', 'target'] as const)
      await fixture.foreign[side].put(['ada'], { id: 'ada', name: 'alive' });
    const { target } = fixture.context.stores;
    const folded = (key: Key): Key => key.map((part) => part.toLowerCase());
    // As a table under a collation that ignores case; with its door as well.
    const records = {
      ...target.records,
      read: (name: string, keys: readonly Key[]) => target.records.read(name, keys.map(folded)),
    };
    const door = {
      ...target.door,
      apply: (...[changes, context]: Parameters<typeof target.door.apply>) =>
        target.door.apply(
          changes.map((one) => ({ ...one, key: folded(one.key) })),
          context,
        ),
    };
    const stores = { ...fixture.context.stores, target: { ...target, records, door } };
    const context: MigrationContext = { ...fixture.context, stores };
    const report = await mend({ context, state: fixture.state }, [['ADA']], { deleteExtras: true });
    expect((await fixture.all('target')).get('["ada"]')).toMatchObject({ name: 'alive' });
    expect(report.counts).toMatchObject({ 'extra-kept': 1 });
  });

  test('refuses when so much differs that it is a bug', async () => {
    const fixture = await fixtureWith(400);
    const keys = [...(await fixture.all('source')).keys()].map((key) => JSON.parse(key) as Key);
    expect(await mend(fixture, keys, { stopRatio: 1 })).toMatchObject({ counts: { equal: 400 } });
    expect(await mend(fixture, keys)).toMatchObject({ reason: 'too-many-mismatches', keys: [] });
  });

  test('stops at a door that is shut', async () => {
    const fixture = await fixtureWith(10);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    const { guard } = fixture.context.stores.target;
    const now = await guard.read();
    await guard.change(now, { ...now, role: 'sealed' }, 1_000);
    expect(await mend(fixture, [['000003']])).toMatchObject({ reason: 'state-changed' });
  });

  test('one record that the follower refuses does not keep the others out', async () => {
    const fixture = await fixtureWith(0, itemsCollection(), {
      targetConstraints: {
        items: (row) => ((row as { name: string }).name === 'name 3' ? 'check' : null),
      },
    });
    await seed(fixture.foreign.source.put, 6);
    const keys = [...(await fixture.all('source')).keys()].map((key) => JSON.parse(key) as Key);
    const report = await mend(fixture, keys);
    expect(report.counts).toMatchObject({ repaired: 5, failed: 1 });
    expect(report.keys.find(({ outcome }) => outcome === 'failed')?.key).toEqual(['000003']);
  });
});

test('diffKey shows one key field by field', async () => {
  const fixture = await fixtureWith(5);
  await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
  const options = { currentState: fixture.state };
  expect(await diffKey(fixture.context, 'items', ['000003'], options)).toMatchObject({
    kind: 'different',
    fields: [{ field: 'name', expected: 'name 3', actual: 'wrong' }],
    standing: 'none',
  });
  expect(await diffKey(fixture.context, 'items', ['000001'], options)).toMatchObject({
    kind: null,
  });
});
