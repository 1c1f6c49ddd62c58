import { describe, expect, test } from 'vitest';
import { ChangeoverError } from '../../src/errors/index.ts';
import type { Collection } from '../../src/migration/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { itemsCollection, seed } from '../support/engine-fixture.ts';
import {
  mend,
  type Opened,
  openOf,
  quick,
  sabotage,
  type VerifyFixture,
  verify,
  verifyFixtures,
} from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();
const orders = itemsCollection({
  source: orderShape('orders', 'lines'),
  target: orderShape('orders', 'lines'),
});

function orderShape(table: string, lines: string): Collection['source'] {
  return {
    table,
    key: ['id'],
    children: { lines: { table: lines, key: ['order', 'line'], parent: ['order'] } },
  };
}

describe('verification', () => {
  test('passes over equal stores, and says what kind of proof that is', async () => {
    const fixture = await fixtureWith(250);
    const report = await verify(fixture);
    expect(report).toMatchObject({ outcome: 'passed', extent: 'full', compared: 250, equal: 250 });
    expect(report.proof.sentence).toContain('by recheck');
    const [evidence] = await fixture.context.control.evidence.since('fixture', 0);
    expect(evidence).toMatchObject({ detector: 'verify', compared: 250, matched: 250 });
  });

  test('two empty stores are equal, and a full follower of an empty authority is all extra', async () => {
    const fixture = await fixtureWith(0);
    expect(await verify(fixture)).toMatchObject({ outcome: 'passed', compared: 0 });
    await seed(fixture.foreign.target.put, 250);
    const report = await verify(fixture);
    expect(report.persistent).toEqual({ missing: 0, extra: 250, different: 0 });
  });

  test('finds missing, different and extra records, beyond the last key too, with their fields', async () => {
    const fixture = await fixtureWith(300);
    await sabotage(fixture);
    const report = await verify(fixture);
    expect(report).toMatchObject({ outcome: 'failed', suspects: 4, transient: 0, unresolved: 0 });
    expect(report.persistent).toEqual({ missing: 1, extra: 2, different: 1 });
    expect(await openOf(fixture)).toEqual([
      { key: '["000042"]', kind: 'missing', differences: [] },
      { key: '["0001005"]', kind: 'extra', differences: [] },
      {
        key: '["000101"]',
        kind: 'different',
        differences: [{ field: 'name', expected: 'name 101', actual: 'wrong', class: 'unknown' }],
      },
      { key: '["999999"]', kind: 'extra', differences: [] },
    ]);
    const evidence = await fixture.context.control.evidence.since('fixture', 0);
    expect(evidence.reduce((sum, { confirmed }) => sum + confirmed, 0)).toBe(4);
  });

  test('only given keys, a range or a sample can be compared', async () => {
    const fixture = await fixtureWith(1_000);
    await sabotage(fixture);
    const keys = await verify(fixture, { keys: [['000042'], ['000043'], ['nobody']] });
    expect(keys).toMatchObject({ extent: 'keys', compared: 3, persistent: { missing: 1 } });
    const range = await verify(fixture, { scope: { after: ['000100'], until: ['000200'] } });
    expect(range).toMatchObject({ extent: 'range', persistent: { different: 1, extra: 1 } });
    const sample = await verify(fixture, { sample: 0.3, batchRows: 10 });
    expect(sample.extent).toBe('sample');
    expect(sample.compared).toBeGreaterThan(100);
    expect(sample.compared).toBeLessThan(700);
  });

  test('child rows that differ, are missing or too many are found', async () => {
    const fixture = await fixtureWith(0, orders);
    const line = (order: string, at: string, text: string) => ({ order, line: at, text });
    const order = (id: string, lines: readonly Record<string, string>[]): DataRecord => ({
      id,
      lines,
    });
    const { source, target } = fixture.foreign;
    await source.put(['1'], order('1', [line('1', 'a', 'x'), line('1', 'b', 'y')]));
    await target.put(['1'], order('1', [line('1', 'b', 'y'), line('1', 'a', 'x')]));
    await source.put(['2'], order('2', [line('2', 'a', 'x')]));
    await target.put(['2'], order('2', [line('2', 'a', 'z'), line('2', 'c', 'x')]));
    await source.put(['3'], order('3', [line('3', 'a', 'x')]));
    await target.put(['3'], order('3', []));
    expect(await verify(fixture)).toMatchObject({ equal: 1, persistent: { different: 2 } });
    const [two, three] = await openOf(fixture);
    expect(two?.differences).toEqual([
      { field: 'lines["2","a"].text', expected: 'x', actual: 'z', class: 'unknown' },
      { field: 'lines["2","c"]', expected: null, actual: 'present', class: 'extra' },
    ]);
    expect(three?.differences).toEqual([
      { field: 'lines["3","a"]', expected: 'present', actual: null, class: 'missing' },
    ]);
    expect(await mend(fixture, 'open')).toMatchObject({ counts: { repaired: 2 } });
    expect(await verify(fixture)).toMatchObject({ outcome: 'passed' });
  });

  test('text that the follower spells differently is no mismatch', async () => {
    const fixture = await fixtureWith(20);
    const { records } = fixture.context.stores.target;
    const spelled = {
      ...fixture.context.stores.target,
      records: {
        ...records,
        async canonicalise(_: string, given: readonly DataRecord[]) {
          return given.map((record) => ({ ...record, name: `${record['name']}.00` }));
        },
      },
    };
    for (const [id, name] of [
      ['000005', 'name 5.00'],
      ['000006', 'name 6.50'],
    ] as const)
      await fixture.foreign.target.put([id], { id, name });
    const stores = { ...fixture.context.stores, target: spelled };
    const report = await verify({ context: { ...fixture.context, stores }, state: fixture.state });
    expect(report).toMatchObject({ suspects: 1, persistent: { different: 1 } });
  });

  test('a field that is ignored for a while is not compared until then, and is afterwards', async () => {
    const ignore = (until: string) => itemsCollection({ ignore: { name: { reason: 'r', until } } });
    for (const [until, outcome] of [
      ['2999-01-01', 'passed'],
      ['2001-01-01', 'failed'],
    ] as const) {
      const fixture = await fixtureWith(3, ignore(until));
      await fixture.foreign.target.put(['000002'], { id: '000002', name: 'x' });
      expect(await verify(fixture)).toMatchObject({ outcome });
    }
  });

  test('a record whose transform throws is a mismatch with that note', async () => {
    const collection = itemsCollection({
      identity: false,
      forward(record) {
        if (record['id'] === '000002') throw new Error('no postcode');
        return record;
      },
    });
    const fixture = await fixtureWith(3, collection);
    expect(await verify(fixture)).toMatchObject({ persistent: { different: 1 } });
    const [line] = await fixture.context.control.mismatches.list('fixture', { limit: 1 });
    expect(line?.note).toContain('no postcode');
    expect(await mend(fixture, 'open')).toMatchObject({ counts: { failed: 1 } });
  });

  test('live writes by four writers give no false mismatch, while a real one is found', async () => {
    const fixture = await fixtureWith(400);
    const router = await createRouter(fixture.context, { graceMs: 50 });
    const items = router.collection('items');
    let done = false;
    const writer = async (offset: number): Promise<void> => {
      for (let turn = 0; !done; turn++) {
        // A few keys are written without pause.
        const at = turn % 2 === 0 ? 1 + (turn % 5) : 1 + ((turn * 31 + offset * 97) % 300);
        const id = String(at).padStart(6, '0');
        if (turn % 7 === 0) await items.delete([id]);
        else await items.put({ id, name: `live ${offset}.${turn}` });
        await fixture.context.runtime.clock.yield();
      }
    };
    const writers = [0, 1, 2, 3].map(writer);
    await fixture.foreign.target.put(['000350'], { id: '000350', name: 'wrong' });
    const slow = slowed(fixture, 3);
    const report = await verify(slow, { recheck: { ...quick, hotTriesMax: 500 } });
    done = true;
    await Promise.all(writers);
    await router.close();
    expect(report.transient).toBeGreaterThan(0);
    expect(await openOf(fixture)).toMatchObject([{ key: '["000350"]', kind: 'different' }]);
  });

  test('a change that waits in the queue is waited for, and named when it takes too long', async () => {
    const fixture = await fixtureWith(10);
    const write = (id: string) =>
      fixture.context.stores.source.records.write({
        collection: 'items',
        key: [id],
        action: 'put',
        record: { id, name: 'newer' },
        epoch: 1,
        journal: 'change',
        graceMs: 0,
        timeoutMs: 1_000,
      });
    await write('000003');
    const { journalId } = await write('000004');
    setTimeout(async () => {
      await fixture.foreign.target.put(['000004'], { id: '000004', name: 'newer' });
      await fixture.context.stores.source.queue.complete([journalId as bigint]);
    }, 100);
    const report = await verify(fixture);
    expect(report).toMatchObject({ suspects: 2, transient: 1, waiting: 1, unresolved: 1 });
    expect(report.persistent).toEqual({ missing: 0, extra: 0, different: 0 });
    const [line] = await fixture.context.control.mismatches.list('fixture', { limit: 1 });
    expect(line?.note).toContain('waits in the queue');
  });

  test('a dead letter is a mismatch that says so', async () => {
    const fixture = await fixtureWith(10);
    await fixture.foreign.source.put(['000003'], { id: '000003', name: 'newer' });
    await fixture.context.stores.source.queue.enqueue([
      { collection: 'items', key: ['000003'], kind: 'change', graceMs: 0, deadReason: 'refused' },
    ]);
    expect(await verify(fixture)).toMatchObject({ dead: 1, persistent: { different: 1 } });
    const [line] = await fixture.context.control.mismatches.list('fixture', { limit: 1 });
    expect(line?.note).toContain('dead letter');
  });

  test('without the standing of single keys a young queue proves loss, and an old one is not called loss', async () => {
    const fixture = await fixtureWith(10);
    const { standing: _, ...queue } = fixture.context.stores.source.queue;
    const source = { ...fixture.context.stores.source, queue };
    const context = { ...fixture.context, stores: { ...fixture.context.stores, source } };
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    expect(await verify({ context, state: fixture.state })).toMatchObject({
      persistent: { different: 1 },
      unresolved: 0,
    });
    await queue.enqueue([{ collection: 'items', key: ['7'], kind: 'change', graceMs: 0 }]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await verify({ context, state: fixture.state })).toMatchObject({
      persistent: { different: 0 },
      unresolved: 1,
      outcome: 'failed',
    });
    expect(await openOf(fixture)).toHaveLength(1);
  });

  test('stops when authority moves, on a hold unless the operator asks, and on abort', async () => {
    const fixture = await fixtureWith(500);
    const during = async (change: Parameters<VerifyFixture['setState']>[0], more = {}) => {
      const before = fixture.state();
      const pace = async (): Promise<boolean> => {
        await fixture.setState(change);
        return true;
      };
      const report = await verify(fixture, { pace, ...more });
      await fixture.setState(before);
      return report;
    };
    expect(await during({ epoch: 2 })).toMatchObject({
      outcome: 'stopped',
      reason: 'state-changed',
    });
    expect(await during({ workHeld: true })).toMatchObject({ outcome: 'stopped', reason: 'held' });
    const asked = await during({ workHeld: true }, { ignoreHold: true });
    expect(asked).toMatchObject({ outcome: 'passed', compared: 500 });
    const aborted = await verify(fixture, {}, AbortSignal.abort(new Error('enough')));
    expect(aborted).toMatchObject({ outcome: 'stopped', reason: 'aborted' });
  });

  test('ends early when nearly everything differs', async () => {
    const fixture = await fixtureWith(0);
    await seed(fixture.foreign.source.put, 1_000);
    const report = await verify(fixture, { mismatchesMax: 150, suspectsMax: 100 });
    expect(report).toMatchObject({ outcome: 'failed', reason: 'too-many-mismatches' });
    expect(report.compared).toBeLessThan(1_000);
  });

  test('a store that is away for a moment is waited for', async () => {
    const fixture = await fixtureWith(300);
    const { target } = fixture.context.stores;
    let calls = 0;
    const records = {
      ...target.records,
      async scan(...given: Parameters<typeof target.records.scan>) {
        calls += 1;
        if (calls === 2) throw new ChangeoverError('STORE_UNAVAILABLE', 'Gone.');
        return target.records.scan(...given);
      },
    };
    const stores = { ...fixture.context.stores, target: { ...target, records } };
    const context = { ...fixture.context, stores };
    expect(await verify({ context, state: fixture.state })).toMatchObject({ outcome: 'passed' });
  });

  test('a later verification drops what has gone by itself, and keeps what was explained', async () => {
    const fixture = await fixtureWith(10);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    await fixture.foreign.target.put(['000004'], { id: '000004', name: 'wrong' });
    await verify(fixture);
    const { mismatches } = fixture.context.control;
    const lines = await mismatches.list('fixture', { status: 'open', limit: 10 });
    const explained = lines.find(({ key }) => key === '["000004"]')!;
    const decision = {
      by: 'ada',
      to: 'explained',
      owner: 'ada',
      ticket: 'JIRA-1',
      note: '',
    } as const;
    const expiresMs = Date.now() + 60_000;
    await mismatches.decide('fixture', [explained], { ...decision, atMs: Date.now(), expiresMs });
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'name 3' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await verify(fixture);
    expect(await openOf(fixture)).toEqual([]);
    expect(await mismatches.count('fixture', 'explained')).toBe(1);
  });
});

/** The fixture with a target that answers scans late, so that live writes overtake the comparison. */
function slowed(fixture: VerifyFixture, ms: number): Opened {
  const { target } = fixture.context.stores;
  const records = {
    ...target.records,
    async scan(...given: Parameters<typeof target.records.scan>) {
      await fixture.context.runtime.clock.sleep(ms);
      return target.records.scan(...given);
    },
  };
  const stores = { ...fixture.context.stores, target: { ...target, records } };
  return { context: { ...fixture.context, stores }, state: fixture.state };
}
