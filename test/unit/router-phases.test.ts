import { afterEach, describe, expect, test } from 'vitest';
import { phases, routingTable } from '../../src/migration/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { openRig, type Rig, until } from '../support/router-rig.ts';

let rig: Rig;
afterEach(() => rig.close());

/** Epoch 2 where the target has become the authority. */
const stateOf = (phase: (typeof phases)[number]) => ({
  phase,
  epoch: routingTable[phase].authority === 'target' ? 2 : 1,
});

describe.each(phases)('in phase %s', (phase) => {
  test('with both stores healthy the router behaves like the bare store', async () => {
    rig = await openRig();
    await rig.enter({ ...stateOf(phase), dialBasisPoints: 5_000 });
    const customers = rig.router.collection('customers');
    expect(await customers.get('1')).toBeNull();
    const put = await customers.put({ id: 1, name: 'Ada', city: 'Łódź' });
    expect(put.record).toEqual({ id: '1', name: 'Ada', city: 'Łódź' });
    expect(await customers.get(1, { token: put.token })).toEqual(put.record);
    const updated = await customers.update('1', { city: 'Kraków' });
    expect(updated.record).toEqual({ id: '1', name: 'Ada', city: 'Kraków' });
    expect(await customers.get('1', { token: updated.token })).toEqual(updated.record);
    expect((await customers.update('2', { city: 'Oslo' })).record).toBeNull();
    expect(await customers.get('2')).toBeNull();
    const deleted = await customers.delete('1');
    expect(deleted.record).toBeNull();
    expect(await customers.get('1', { token: deleted.token })).toBeNull();
    await customers.delete('1');
    expect(rig.of('write').every((event) => event.outcome === 'committed')).toBe(true);
    expect(rig.of('read').every((event) => event.outcome === 'ok')).toBe(true);
  });

  test('the authority has the write, the follower has it exactly when the phase applies', async () => {
    rig = await openRig();
    await rig.enter(stateOf(phase));
    const { authority, follow } = routingTable[phase];
    await rig.router.collection('customers').put({ id: 1, name: 'Ada', city: 'Łódź' });
    await rig.router.settle(1_000);
    const follower = authority === 'source' ? 'target' : 'source';
    expect(await rig.stored(authority, '1')).not.toBeNull();
    expect((await rig.stored(follower, '1')) !== null).toBe(follow === 'apply');
    expect(rig.of('follower-write').map(({ outcome }) => outcome)).toEqual(
      follow === 'none' ? [] : ['applied'],
    );
    const { waiting, dead } = await rig.context.stores[authority].queue.depth();
    expect({ waiting, dead }).toEqual({ waiting: 0, dead: 0 });
  });

  test('an application that speaks the target’s shape sees and writes the same records', async () => {
    rig = await openRig();
    await rig.enter(stateOf(phase));
    const old = rig.router.collection('customers');
    const people = rig.router.collection('customers', { view: 'target' });
    await old.put({ id: 1, name: 'Ada', city: 'Łódź' });
    expect(await people.get('1')).toEqual({
      id: '1',
      full_name: 'Ada',
      addresses: [{ customer_id: '1', position: '1', city: 'Łódź' }],
    });
    const renamed = await people.update('1', { full_name: 'Ada Lovelace' });
    expect(renamed.record).toMatchObject({ full_name: 'Ada Lovelace', addresses: [{}] });
    expect(await old.get('1')).toEqual({ id: '1', name: 'Ada Lovelace', city: 'Łódź' });
    expect((await people.update('9', { full_name: 'Nobody' })).record).toBeNull();
    expect(await old.get('9')).toBeNull();
  });
});

test('where each column is converted by itself, a write in the other shape touches what it names and nothing else', async () => {
  const shape = { table: 'customers', key: ['id'], columns: ['id', 'name', 'city'] };
  // There and back loses the case of the city, as zero dates and blanks may be lost between engines.
  const upper = (record: DataRecord): DataRecord =>
    typeof record['city'] === 'string' ? { ...record, city: record['city'].toUpperCase() } : record;
  const collection = { source: shape, target: shape, forward: upper, backward: upper };
  rig = await openRig({ collection: { ...collection, columnwise: true } });
  await rig.enter({ phase: 'dual-write', epoch: 1 });
  await rig.router.collection('customers').put({ id: 1, name: 'Ada', city: 'Łódź' });
  const other = rig.router.collection('customers', { view: 'target' });
  await other.update('1', { name: 'Ada Lovelace' });
  expect(await rig.stored('source', '1')).toEqual({ id: '1', name: 'Ada Lovelace', city: 'Łódź' });
  await other.update('1', { city: 'Kraków' });
  expect(await rig.stored('source', '1')).toMatchObject({ city: 'KRAKÓW' });
});

test('reads are shadowed exactly in the phases that say so', async () => {
  rig = await openRig();
  for (const phase of phases) {
    await rig.enter(stateOf(phase));
    const before = rig.of('shadow-read').length;
    await rig.router.collection('customers').get('1');
    if (routingTable[phase].shadowReads) await until(() => rig.of('shadow-read').length > before);
    else await rig.router.settle(50);
    expect(rig.of('shadow-read').length > before, phase).toBe(routingTable[phase].shadowReads);
  }
});

describe('named closures', () => {
  const closures = { source: async () => 'old', target: async () => 'new' };

  test('are routed like keyed reads: authority, dial, segment, and without a key to the authority', async () => {
    rig = await openRig({ collection: { capture: 'outbox' } });
    const { router } = rig;
    expect(await router.read('list', closures)).toBe('old');
    await rig.enter({ phase: 'read-switch', dialBasisPoints: 10_000, segments: ['staff'] });
    expect(await router.read('list', closures)).toBe('old');
    expect(await router.read('list', closures, { routingKey: 'a' })).toBe('new');
    await rig.enter({ dialBasisPoints: 0 });
    expect(await router.read('list', closures, { routingKey: 'a' })).toBe('old');
    expect(await router.read('list', closures, { segment: 'staff' })).toBe('new');
    expect(rig.of('read').map(({ why }) => why)).toEqual([
      'authority',
      'no-routing-key',
      'dial',
      'authority',
      'segment',
    ]);
    expect(await router.write('customers', closures)).toBe('old');
    await rig.enter({ phase: 'write-switch', epoch: 2, segments: [] });
    expect(await router.read('list', closures)).toBe('new');
    expect(await router.write('customers', closures)).toBe('new');
  });

  test('that write are refused where nobody would learn of them', async () => {
    rig = await openRig();
    await expect(rig.router.write('customers', closures)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
    await expect(rig.router.write('orders', closures)).rejects.toMatchObject({
      code: 'COLLECTION_UNKNOWN',
    });
  });

  test('that throw give the caller their own error, once counted', async () => {
    rig = await openRig();
    const mine = new Error('mine');
    const failing = {
      source: () => Promise.reject(mine),
      target: async () => 'new',
    };
    await expect(rig.router.read('list', failing)).rejects.toBe(mine);
    expect(rig.of('read').map(({ outcome }) => outcome)).toEqual(['failed']);
  });
});

test('raising the dial only adds keys: nobody who reads the target is sent back', async () => {
  rig = await openRig();
  const keys = Array.from({ length: 300 }, (_, at) => `customer ${at}`);
  let before = new Set<string>();
  for (const dialBasisPoints of [0, 100, 500, 2_500, 2_501, 9_999, 10_000]) {
    await rig.enter({ phase: 'read-switch', dialBasisPoints });
    const now = new Set<string>();
    for (const routingKey of keys) {
      const side = await rig.router.read(
        'list',
        { source: async () => 'source', target: async () => 'target' },
        { routingKey },
      );
      if (side === 'target') now.add(routingKey);
    }
    expect([...before].filter((key) => !now.has(key))).toEqual([]);
    before = now;
  }
  expect(before.size).toBe(keys.length);
});

test('a dialled read is answered by the authority when the target is down or hangs', async () => {
  rig = await openRig({ router: { dialledReadMs: 30 } });
  await rig.enter({ phase: 'dual-write' });
  await rig.router.collection('customers').put({ id: 1, name: 'Ada', city: null });
  await rig.enter({ phase: 'read-switch', dialBasisPoints: 10_000 });
  const customers = rig.router.collection('customers');
  const free = rig.obstruct('target', 'records/read');
  const started = performance.now();
  for (let read = 0; read < 8; read++) expect(await customers.get('1')).toMatchObject({ id: '1' });
  // Five fall back after their deadline, then the breaker answers at once.
  expect(performance.now() - started).toBeLessThan(1_000);
  expect(rig.of('breaker').map(({ state }) => state)).toContain('open');
  free();
  rig.databases.target.stop();
  expect(await customers.get('1')).toMatchObject({ id: '1' });
  expect(new Set(rig.of('read').map(({ why }) => why))).toEqual(new Set(['fallback']));
  rig.databases.target.start();
});
