import assert from 'node:assert/strict';
import type { LogChange } from '../../log/index.ts';
import { type DataRecord, encodeKey } from '../../record/index.ts';
import { systemClock, systemRandom } from '../../runtime/index.ts';
import type { RecordSnapshot, SnapshotPlace, SnapshotSource } from '../../store/index.ts';
import { order } from './conformance-shapes.ts';
import { firstEpoch, look, ordered, write } from './conformance-steps.ts';
import type { LogFact, LoggedStores } from './conformance-subject.ts';
import {
  changesBehind,
  deleteItem,
  insertItem,
  install,
  logOf,
  rowOf,
  startOf,
  updateItem,
} from './log-steps.ts';

const wanted = {
  collections: ['items', 'orders'],
  placed: true,
  openMs: 10_000,
  ageMs: 30_000,
} as const;
const everything = { after: null, until: null };

/**
 * Snapshots of a store whose collections are captured from its log: they stand still, and their place is right however many commit while they are opened. Stores
 * without the port, or without places (`SnapshotOptions.placed`), are left out by not calling it.
 */
export function snapshotFacts(fact: LogFact): void {
  fact('a snapshot stands still, with the children and the fences', async (stores) => {
    const { source, target } = stores;
    const key = ['t', '1'];
    await write(source, 'orders', key, order(key, ['1:pen'], ['x:gift']), { journal: 'log' });
    const before = await look(source, 'orders', key);
    const change = (sequence: bigint) => ({
      collection: 'items',
      key: ['a'],
      version: { epoch: 1, sequence },
      value: { id: 'a', name: `at ${sequence}`, note: null },
      origin: 'live' as const,
    });
    await target.door.apply([change(5n)], firstEpoch);
    const [old, follower] = [
      await sourceOf(stores, 'source').open({ ...wanted, placed: false }),
      await sourceOf(stores, 'target').open({ ...wanted, placed: false }),
    ];
    assert.equal(old.place, null);
    await write(source, 'orders', key, order(key, ['2:ink'], []), { journal: 'log' });
    await target.door.apply([change(9n)], firstEpoch);
    const [read] = await old.read('orders', [key]);
    assert.deepEqual(read?.record && ordered(read.record), before);
    const [scanned] = await old.scan('orders', everything, 10);
    assert.deepEqual(scanned && ordered(scanned.record), before);
    assert.deepEqual(await old.boundary('orders', everything, 10), key);
    const [fenced] = await follower.read('items', [['a']], { withFence: true });
    assert.deepEqual(fenced?.fence, { epoch: 1, sequence: 5n });
    assert.equal(fenced?.record?.['name'], 'at 5');
    for (const one of [old, follower, old]) await one.close();
  });

  fact('the log up to the place of a snapshot makes what is in it', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    const ids = Array.from({ length: 24 }, (_, index) => `k${index}`);
    const taken: Taken[] = [];
    let writing = true;
    const done = Promise.all(
      [0, 1, 2].map((writer) => hammer(stores, ids.slice(writer * 8, writer * 8 + 8))),
    ).finally(() => {
      writing = false;
    });
    while (writing) {
      const snapshot = await sourceOf(stores, 'source').open(wanted);
      taken.push(await takenFrom(snapshot));
      await snapshot.close();
      await systemClock.sleep(systemRandom.next() * 4);
    }
    await done;
    const changes = await changesBehind(source, from);
    assert.ok(taken.length >= 3, `only ${taken.length} snapshots were taken while others wrote`);
    for (const one of taken) assertBetween(one, changes);
  });

  fact('a transaction that is open is in no snapshot, and in the next one', async (stores) => {
    const { source } = stores;
    const start = await install(source);
    const open = (): Promise<RecordSnapshot> => sourceOf(stores, 'source').open(wanted);
    await stores.foreignTransaction('source', [insertItem('a')], async () => {
      const snapshot = await open();
      assert.deepEqual((await takenFrom(snapshot)).records, new Map());
      assert.ok(placed(snapshot).until >= start.position.sequence);
      await snapshot.close();
    });
    const end = await logOf(source).end();
    const snapshot = await open();
    assert.equal((await takenFrom(snapshot)).records.size, 1);
    assert.ok(placed(snapshot).until >= placed(snapshot).from);
    assert.ok(placed(snapshot).until >= end.sequence);
    await snapshot.close();
  });
}

function sourceOf(stores: LoggedStores, side: 'source' | 'target'): SnapshotSource {
  const { snapshots } = stores[side];
  assert.ok(snapshots, 'the store opens no snapshots');
  return snapshots;
}

function placed({ place }: RecordSnapshot): SnapshotPlace {
  assert.ok(place, 'the snapshot does not know its place');
  return place;
}

/** Transactions over several of these keys, each new state another number. */
async function hammer(stores: LoggedStores, ids: readonly string[]): Promise<void> {
  const there = new Set<string>();
  for (let round = 0; round < 40; round++) {
    const some = ids.filter(() => systemRandom.next() < 0.3);
    const statements = some.map((id) => {
      if (!there.has(id)) {
        there.add(id);
        return insertItem(id, `${round}`);
      }
      if (systemRandom.next() < 0.2) {
        there.delete(id);
        return deleteItem(id);
      }
      return updateItem(id, { name: `${round}` });
    });
    if (statements.length > 0) await stores.foreignTransaction('source', statements);
  }
}

interface Taken {
  readonly place: SnapshotPlace;
  /** Encoded key → name. */
  readonly records: ReadonlyMap<string, DataRecord[string] | undefined>;
}

async function takenFrom(snapshot: RecordSnapshot): Promise<Taken> {
  const found = await snapshot.scan('items', everything, 1_000);
  const records = new Map(found.map(({ key, record }) => [encodeKey(key), record['name']]));
  return { place: placed(snapshot), records };
}

/** Whole transactions: everything up to `from`, nothing behind `until`, and of what lies between, per key, one of its states. */
function assertBetween({ place, records }: Taken, changes: readonly LogChange[]): void {
  const settled = new Map<string, unknown>();
  const between = new Map<string, unknown[]>();
  for (const change of changes) {
    if (change.sequence > place.until) break;
    const row = rowOf(change, change.after ?? change.before);
    const key = encodeKey([String(row?.['id'])]);
    const state = change.after === null ? undefined : row?.['name'];
    if (change.sequence <= place.from) settled.set(key, state);
    else between.set(key, [...(between.get(key) ?? []), state]);
  }
  for (const key of new Set([...settled.keys(), ...between.keys(), ...records.keys()])) {
    const allowed = [settled.get(key), ...(between.get(key) ?? [])];
    assert.ok(
      allowed.includes(records.get(key)),
      `${key} is ${String(records.get(key))} in the snapshot between ${place.from} and ${place.until}; the log says ${allowed.map(String).join(', ')}`,
    );
  }
}
