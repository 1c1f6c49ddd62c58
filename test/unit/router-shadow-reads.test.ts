import { afterEach, describe, expect, test } from 'vitest';
import { snapshot } from '../../src/router/snapshot.ts';
import { openRig, type Rig, until } from '../support/router-rig.ts';

let rig: Rig;
afterEach(() => rig?.close());

async function shadowing(options: Parameters<typeof openRig>[0] = {}): Promise<void> {
  rig = await openRig(options);
  await rig.enter({ phase: 'dual-write' });
  await rig.router.collection('customers').put({ id: 1, name: 'Ada', city: 'Łódź' });
  await rig.router.settle(500);
  await rig.enter({ phase: 'shadow-read' });
}
const outcomes = () => rig.of('shadow-read').map(({ outcome }) => outcome);
const pair = <T>(source: () => T, target: () => T) => ({
  source: async () => source(),
  target: async () => target(),
});

test('a hung target neither delays nor fails a read, and is counted as timed out', async () => {
  await shadowing({ router: { shadow: { deadlineMs: 30 } } });
  const free = rig.obstruct('target', 'records/read');
  const started = performance.now();
  expect(await rig.router.collection('customers').get('1')).toMatchObject({ name: 'Ada' });
  expect(performance.now() - started).toBeLessThan(25);
  await until(() => outcomes().length === 1);
  expect(outcomes()).toEqual(['timed-out']);
  free();
});

test('a broken target does not fail a read, and is counted as failed', async () => {
  await shadowing();
  rig.databases.target.stop();
  expect(await rig.router.collection('customers').get('1')).toMatchObject({ name: 'Ada' });
  await until(() => outcomes().length === 1);
  expect(outcomes()).toEqual(['failed']);
  rig.databases.target.start();
});

test('more than the cap is shed and counted, and given-up reads keep their places until they end', async () => {
  await shadowing({ router: { shadow: { concurrency: 2, deadlineMs: 20 } } });
  const free = rig.obstruct('target', 'records/read');
  const customers = rig.router.collection('customers');
  for (let read = 0; read < 5; read++) await customers.get('1');
  expect(outcomes()).toEqual(['shed', 'shed', 'shed']);
  await until(() => outcomes().length === 5);
  await customers.get('1');
  expect(outcomes().at(-1)).toBe('shed');
  free();
  await until(async () => {
    await customers.get('1');
    await rig.context.runtime.clock.sleep(5);
    return outcomes().at(-1) === 'matched';
  });
});

test('coverage and suspects reach the control store: matched, suspect, shed, timed out, failed', async () => {
  await shadowing();
  const customers = rig.router.collection('customers');
  await customers.get('1');
  await until(() => outcomes().length === 1);
  const { door } = rig.context.stores.target;
  const value = { id: '1', full_name: 'Eve', addresses: [] };
  const wrong = { collection: 'customers', key: ['1'], value, origin: 'live' as const };
  await door.apply([{ ...wrong, version: { epoch: 1, sequence: 1_000n } }], {
    epoch: 1,
    timeoutMs: 1_000,
  });
  await customers.get('1');
  await until(() => outcomes().length === 2);
  await rig.router.settle(500);
  const { control } = rig.context;
  const [row] = await control.evidence.since('shop', 0);
  expect(row).toMatchObject({ detector: 'shadow-read', compared: 2, matched: 1, suspect: 1 });
  const [mismatch] = await control.mismatches.list('shop', { limit: 10 });
  expect(mismatch).toMatchObject({ key: '["1"]', kind: 'different', status: 'suspect' });
  expect(mismatch?.differences).toContainEqual({
    field: 'full_name',
    expected: 'Ada',
    actual: 'Eve',
  });
});

test('what a caller does to its answer does not matter', async () => {
  await shadowing();
  const answer = (await rig.router.collection('customers').get('1')) as Record<string, unknown>;
  answer['name'] = 'changed by the caller';
  const list = await rig.router.read(
    'list',
    pair(
      () => [{ id: 1, tags: ['a'] }],
      () => [{ id: 1, tags: ['a'] }],
    ),
  );
  list[0]?.tags.push('b');
  list.length = 0;
  await until(() => outcomes().length === 2);
  expect(outcomes()).toEqual(['matched', 'matched']);
});

test('a sample of 0 compares nothing', async () => {
  await shadowing({ collection: { shadowReadSample: 0 } });
  await rig.router.collection('customers').get('1');
  await rig.router.settle(50);
  expect(outcomes()).toEqual([]);
});

describe('named closures', () => {
  test('that differ once because of a write in between are compared anew', async () => {
    await shadowing();
    let version = 1;
    const closures = pair(
      () => ({ version }),
      () => ({ version: 2 }),
    );
    await rig.router.read('list', closures);
    version = 2;
    await until(() => outcomes().length === 1);
    expect(outcomes()).toEqual(['matched']);
  });

  test('that differ twice are suspects', async () => {
    await shadowing();
    await rig.router.read(
      'list',
      pair(
        () => 1,
        () => 2,
      ),
    );
    await until(() => outcomes().length === 1);
    expect(outcomes()).toEqual(['suspect']);
  });

  test('are compared by the caller’s own comparison; one that throws is counted, not thrown', async () => {
    await shadowing();
    const same = (a: number, b: number) => a === -b;
    expect(
      await rig.router.read(
        'list',
        pair(
          () => 1,
          () => -1,
        ),
        { same },
      ),
    ).toBe(1);
    const broken = (): boolean => {
      throw new Error('broken comparison');
    };
    expect(
      await rig.router.read(
        'list',
        pair(
          () => 1,
          () => 1,
        ),
        { same: broken },
      ),
    ).toBe(1);
    await until(() => outcomes().length === 2);
    expect(outcomes()).toEqual(['matched', 'failed']);
  });

  test('whose answers cannot be copied are counted as failed', async () => {
    await shadowing();
    const weak = new WeakMap<object, object>();
    const closures = { source: async () => weak, target: async () => weak };
    expect(await rig.router.read('list', closures)).toBe(weak);
    expect(outcomes()).toEqual(['failed']);
  });
});

test('a snapshot is deep, equal, and keeps buffers, dates, maps and classes', () => {
  class Money {
    readonly cents: number;
    constructor(cents: number) {
      this.cents = cents;
    }
    add(other: Money): Money {
      return new Money(this.cents + other.cents);
    }
  }
  const value = {
    bytes: Buffer.from('Łódź'),
    at: new Date(0),
    map: new Map([['a', { b: 1 }]]),
    money: new Money(5),
    bare: Object.assign(Object.create(null), { x: [1, null, undefined, 7n] }),
    text: 'x',
  };
  const copy = snapshot(value);
  expect(copy).toStrictEqual(value);
  expect(copy.money.add(copy.money).cents).toBe(10);
  expect(Buffer.isBuffer(copy.bytes)).toBe(true);
  value.bytes.fill(0);
  value.map.get('a')!.b = 2;
  (value.bare.x as unknown[]).push('later');
  expect(copy.bytes.toString()).toBe('Łódź');
  expect(copy.map.get('a')).toEqual({ b: 1 });
  expect(copy.bare.x).toHaveLength(4);
  const parsed = JSON.parse('{"__proto__": {"admin": true}, "list": [{"a": 1}]}') as object;
  expect(Object.getPrototypeOf(snapshot(parsed))).toBe(Object.prototype);
  expect(snapshot(parsed)).toStrictEqual(parsed);
});

test('a snapshot of a ring or of something deep or very large ends, and is a copy', () => {
  interface Node {
    readonly links: Node[];
  }
  const nodes: Node[] = Array.from({ length: 40 }, () => ({ links: [] }));
  for (const node of nodes) node.links.push(...nodes);
  const started = performance.now();
  const copy = snapshot(nodes);
  expect(performance.now() - started).toBeLessThan(500);
  // Compared by hand: `toBe` looks at both in depth when they differ.
  expect(copy[0] === nodes[0]).toBe(false);
  expect(copy[0]?.links[1]?.links[0] === copy[0]).toBe(true);
  const list = Array.from({ length: 50_000 }, (_, id) => ({ id }));
  expect(snapshot(list)).toStrictEqual(list);
});
