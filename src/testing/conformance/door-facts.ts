import assert from 'node:assert/strict';
import type { Change, Origin } from '../../record/index.ts';
import type { DoorContext } from '../../store/index.ts';
import { item, order } from './conformance-shapes.ts';
import {
  failsWith,
  firstEpoch,
  look,
  ordered,
  send,
  timeoutMs,
  version,
} from './conformance-steps.ts';
import type { ConformanceSubject, Fact } from './conformance-subject.ts';

const k = ['k'];
const change = (
  sequence: number,
  value: Change['value'],
  key: readonly string[] = k,
  origin: Origin = 'live',
): Change => ({ collection: 'items', key, version: version(sequence), value, origin });

/** What the door lets in, what it writes, and that it does so wholly or not at all. */
export function doorFacts(fact: Fact, subject: ConformanceSubject): void {
  fenceFacts(fact);
  tombstoneFacts(fact);
  aggregateFacts(fact);
  directionFacts(fact);
  batchFacts(fact, subject);
}

function fenceFacts(fact: Fact): void {
  for (const origin of ['live', 'outbox', 'log', 'retry'] as const) {
    fact(`${origin}: newer is let in, the same and older are not`, async ({ target }) => {
      const at = (sequence: number, name: string) =>
        send(target, 'items', k, version(sequence), item('k', name), origin);
      assert.equal(await at(5, 'five'), 'applied');
      assert.equal(await at(5, 'five again'), 'stale');
      assert.equal(await at(4, 'four'), 'stale');
      assert.deepEqual(await look(target, 'items', k), item('k', 'five'));
      assert.equal(await at(6, 'six'), 'applied');
      assert.deepEqual(await look(target, 'items', k), item('k', 'six'));
      assert.deepEqual(await target.door.fences('items', [k]), [version(6)]);
    });
  }

  fact('repair: the same and newer are let in, older is not', async ({ target }) => {
    const at = (sequence: number, name: string) =>
      send(target, 'items', k, version(sequence), item('k', name), 'repair');
    await send(target, 'items', k, version(5), item('k', 'wrong'));
    assert.equal(await at(4, 'four'), 'stale');
    assert.equal(await at(5, 'five'), 'applied');
    assert.deepEqual(await look(target, 'items', k), item('k', 'five'));
    assert.equal(await at(6, 'six'), 'applied');
    assert.deepEqual(await target.door.fences('items', [k]), [version(6)]);
  });

  fact('a later epoch is newer than any version of an earlier one', async ({ target }) => {
    await send(target, 'items', k, version(1_000), item('k', 'old epoch'));
    assert.equal(await send(target, 'items', k, version(1, 2), item('k', 'new epoch')), 'applied');
    assert.equal(await send(target, 'items', k, version(2_000), item('k', 'late')), 'stale');
    assert.deepEqual(await look(target, 'items', k), item('k', 'new epoch'));
  });

  fact('versions beyond 2^53 are told apart', async ({ target }) => {
    const big = { epoch: 1, sequence: 9_007_199_254_740_993n };
    await send(target, 'items', k, big, item('k', 'big'));
    const less = { epoch: 1, sequence: 9_007_199_254_740_992n };
    assert.equal(await send(target, 'items', k, less, item('k', 'less')), 'stale');
    assert.deepEqual(await target.door.fences('items', [k]), [big]);
  });

  fact('fences come in the order of the keys, null where nothing changed', async ({ target }) => {
    await send(target, 'items', ['a'], version(3), item('a'));
    await send(target, 'orders', ['t', '1'], version(4), order(['t', '1'], []));
    assert.deepEqual(await target.door.fences('items', [['x'], ['a'], ['a']]), [
      null,
      version(3),
      version(3),
    ]);
    assert.deepEqual(
      await target.door.fences('orders', [
        ['t', '1'],
        ['t', '2'],
      ]),
      [version(4), null],
    );
  });

  fact('fences are pruned below a version', async ({ target }) => {
    for (const sequence of [1, 2, 3])
      await send(target, 'items', [`k${sequence}`], version(sequence), item(`k${sequence}`));
    assert.equal(await target.door.pruneFences(version(3)), 2);
    assert.deepEqual(await target.door.fences('items', [['k1'], ['k2'], ['k3']]), [
      null,
      null,
      version(3),
    ]);
    assert.deepEqual(await look(target, 'items', ['k1']), item('k1'));
  });

  fact('concurrent versions of one key end with the highest', async ({ target, targetAgain }) => {
    const sequences = Array.from({ length: 24 }, (_, index) => ((index * 7) % 24) + 1);
    await Promise.all(
      sequences.map((sequence, index) => {
        const store = index % 2 === 0 ? target : targetAgain;
        const value = sequence % 5 === 0 ? null : item('k', `v${sequence}`);
        return send(store, 'items', k, version(sequence), value);
      }),
    );
    assert.deepEqual(await look(target, 'items', k), item('k', 'v24'));
    assert.deepEqual(await target.door.fences('items', [k]), [version(24)]);
  });
}

function tombstoneFacts(fact: Fact): void {
  fact('a tombstone deletes, and nothing older brings the record back', async ({ target }) => {
    await send(target, 'items', k, version(1), item('k'));
    assert.equal(await send(target, 'items', k, version(3), null), 'applied');
    assert.equal(await look(target, 'items', k), null);
    for (const origin of ['live', 'outbox', 'log', 'retry', 'repair'] as const)
      assert.equal(await send(target, 'items', k, version(2), item('k'), origin), 'stale');
    assert.equal(await look(target, 'items', k), null);
    assert.equal(await send(target, 'items', k, version(4), item('k', 'reborn')), 'applied');
    assert.deepEqual(await look(target, 'items', k), item('k', 'reborn'));
  });

  fact('a tombstone for a record that was never there leaves its fence', async ({ target }) => {
    assert.equal(await send(target, 'items', k, version(3), null), 'applied');
    assert.equal(await send(target, 'items', k, version(2), item('k')), 'stale');
    assert.equal(await look(target, 'items', k), null);
  });

  fact('a tombstone takes the children along', async ({ target }) => {
    const key = ['t', '1'];
    await send(target, 'orders', key, version(1), order(key, ['1:pen'], ['x:gift']));
    await send(target, 'orders', key, version(2), null);
    assert.equal(await look(target, 'orders', key), null);
    await send(target, 'orders', key, version(3), order(key, []));
    assert.deepEqual(await look(target, 'orders', key), order(key, []));
  });
}

function aggregateFacts(fact: Fact): void {
  fact('surplus children are removed, the others written', async ({ target }) => {
    const [key, other] = [
      ['t', '1'],
      ['t', '2'],
    ];
    await send(target, 'orders', other, version(1), order(other, ['1:mine'], ['m:mine']));
    await send(
      target,
      'orders',
      key,
      version(2),
      order(key, ['1:pen', '2:ink'], ['x:gift', 'y:late']),
    );
    const after = order(key, ['2:red ink', '3:cap'], ['y:late', 'z:new']);
    await send(target, 'orders', key, version(3), after);
    assert.deepEqual(await look(target, 'orders', key), ordered(after));
    assert.deepEqual(await look(target, 'orders', other), order(other, ['1:mine'], ['m:mine']));
    await send(target, 'orders', key, version(4), order(key, []));
    assert.deepEqual(await look(target, 'orders', key), order(key, []));
  });

  fact(
    'a child that moves to another record is there once, in either order',
    async ({ target }) => {
      const [a, b] = [
        ['t', 'a'],
        ['t', 'b'],
      ];
      await send(target, 'orders', a, version(1), order(a, [], ['x:gift']));
      await send(target, 'orders', b, version(2), order(b, []));
      await send(target, 'orders', b, version(3), order(b, [], ['x:gift']));
      await send(target, 'orders', a, version(4), order(a, []));
      assert.deepEqual(await look(target, 'orders', a), order(a, []));
      assert.deepEqual(await look(target, 'orders', b), order(b, [], ['x:gift']));
      await send(target, 'orders', b, version(5), order(b, []));
      await send(target, 'orders', a, version(6), order(a, [], ['x:back']));
      assert.deepEqual(await look(target, 'orders', a), order(a, [], ['x:back']));
      const both: readonly Change[] = [
        { collection: 'orders', key: a, version: version(7), value: order(a, []), origin: 'live' },
        {
          collection: 'orders',
          key: b,
          version: version(8),
          value: order(b, [], ['x:again']),
          origin: 'live',
        },
      ];
      await target.door.apply(both, firstEpoch);
      assert.deepEqual(await look(target, 'orders', a), order(a, []));
      assert.deepEqual(await look(target, 'orders', b), order(b, [], ['x:again']));
    },
  );

  fact('a child that has moved is not taken back by an older change', async ({ target }) => {
    const [a, b] = [
      ['t', 'a'],
      ['t', 'b'],
    ];
    await send(target, 'orders', a, version(1), order(a, [], ['x:gift']));
    await send(target, 'orders', b, version(12), order(b, [], ['x:gift']));
    await send(target, 'orders', a, version(10), order(a, [], ['x:gift']));
    await send(target, 'orders', a, version(11), order(a, []));
    assert.deepEqual(await look(target, 'orders', a), order(a, []));
    assert.deepEqual(await look(target, 'orders', b), order(b, [], ['x:gift']));
  });

  fact('columns and children that a change does not carry stay', async ({ target }) => {
    const key = ['t', '1'];
    await send(target, 'items', k, version(1), { id: 'k', name: 'one', note: 'kept' });
    await send(target, 'items', k, version(2), { id: 'k', name: 'two' });
    assert.deepEqual(await look(target, 'items', k), { id: 'k', name: 'two', note: 'kept' });
    await send(target, 'orders', key, version(1), order(key, ['1:pen'], ['x:gift']));
    const { tags: _tags, ...withoutTags } = order(key, ['1:cap']);
    await send(target, 'orders', key, version(2), withoutTags);
    assert.deepEqual(await look(target, 'orders', key), order(key, ['1:cap'], ['x:gift']));
  });
}

function directionFacts(fact: Fact): void {
  const shut = (epoch: number): DoorContext => ({ epoch, timeoutMs });

  fact('the door is shut for another epoch', async ({ target }) => {
    for (const epoch of [0, 2]) {
      await failsWith('DOOR_SHUT', target.door.apply([change(1, item('k'))], shut(epoch)));
      await failsWith('DOOR_SHUT', target.door.open(change(1, item('k')), shut(epoch)));
    }
    assert.equal(await look(target, 'items', k), null);
    assert.deepEqual(await target.door.fences('items', [k]), [null]);
  });

  fact('the door is shut in every role but follower', async ({ source, target }) => {
    await failsWith('DOOR_SHUT', source.door.apply([change(1, item('k'))], firstEpoch));
    for (const role of ['sealed', 'idle'] as const) {
      const from = await target.guard.read();
      assert.ok(await target.guard.change(from, { ...from, role }, timeoutMs));
      await failsWith('DOOR_SHUT', target.door.apply([change(1, item('k'))], firstEpoch));
    }
    assert.equal(await look(target, 'items', k), null);
  });
}

function batchFacts(fact: Fact, subject: ConformanceSubject): void {
  fact('verdicts come in the order of the changes', async ({ target }) => {
    await send(target, 'items', ['b'], version(9), item('b'));
    const batch = [
      change(5, item('c'), ['c']),
      change(4, item('b', 'old'), ['b']),
      change(3, null, ['a']),
      { ...change(2, order(['t', '1'], ['1:pen']), ['t', '1']), collection: 'orders' },
    ];
    const verdicts = await target.door.apply(batch, firstEpoch);
    assert.deepEqual(verdicts, ['applied', 'stale', 'applied', 'applied']);
    assert.deepEqual(await look(target, 'orders', ['t', '1']), order(['t', '1'], ['1:pen']));
    assert.deepEqual(await target.door.apply([], firstEpoch), []);
  });

  fact('of several versions of a key in a batch the highest wins', async ({ target }) => {
    const up = [change(1, item('k', '1')), change(3, item('k', '3')), change(2, null)];
    assert.deepEqual(await target.door.apply(up, firstEpoch), ['stale', 'applied', 'stale']);
    assert.deepEqual(await look(target, 'items', k), item('k', '3'));
    const down = [change(4, item('k', '4')), change(6, null), change(5, item('k', '5'))];
    assert.deepEqual(await target.door.apply(down, firstEpoch), ['stale', 'applied', 'stale']);
    assert.equal(await look(target, 'items', k), null);
    assert.deepEqual(await target.door.fences('items', [k]), [version(6)]);
  });

  fact('batches in opposite orders do not block each other', async ({ target, targetAgain }) => {
    const ids = Array.from({ length: 20 }, (_, index) => `k${index}`);
    const batch = (order: readonly string[], round: number): readonly Change[] =>
      order.map((id) => change(round, round % 3 === 0 ? null : item(id, `r${round}`), [id]));
    for (let round = 1; round <= 12; round += 2) {
      await Promise.all([
        target.door.apply(batch(ids, round), firstEpoch),
        targetAgain.door.apply(batch([...ids].reverse(), round + 1), firstEpoch),
      ]);
    }
    const found = await target.records.read(
      'items',
      ids.map((id) => [id]),
    );
    assert.ok(
      found.every(({ record }) => record === null),
      'round 12 is a tombstone',
    );
  });

  fact('a batch of the declared size is taken', async ({ target }) => {
    const size = Math.min(target.capabilities.batchMax, 2_000);
    const batch = Array.from({ length: size }, (_, index) =>
      change(1, item(`k${index}`), [`k${index}`]),
    );
    const verdicts = await target.door.apply(batch, firstEpoch);
    assert.ok(verdicts.length === size && verdicts.every((verdict) => verdict === 'applied'));
    assert.equal(await target.setup.countUpTo('items', size + 1), size);
  });

  const refusal = async (body: () => Promise<unknown>): Promise<void> =>
    failsWith('STORE_REJECTED', body());
  fact(
    'a refused record rolls the whole batch back, fences included',
    async ({ target }) => {
      await send(target, 'items', ['c'], version(1), item('c'));
      const batch = [
        change(2, item('a'), ['a']),
        change(2, item('b', 'forbidden'), ['b']),
        change(2, null, ['c']),
      ];
      await refusal(() => target.door.apply(batch, firstEpoch));
      assert.deepEqual(await target.door.fences('items', [['a'], ['b'], ['c']]), [
        null,
        null,
        version(1),
      ]);
      assert.equal(await look(target, 'items', ['a']), null);
      assert.deepEqual(await look(target, 'items', ['c']), item('c'));
      await refusal(() => target.door.open(change(2, item('b', 'forbidden'), ['b']), firstEpoch));
      assert.equal(await send(target, 'items', ['b'], version(2), item('b')), 'applied');
    },
    subject.refusesForbidden,
  );

  fact('a discarded batch leaves nothing', async ({ target }) => {
    await send(target, 'items', k, version(1), item('k'));
    const context = { ...firstEpoch, discard: true };
    const batch = [change(2, null), change(2, item('new'), ['new'])];
    assert.deepEqual(await target.door.apply(batch, context), ['applied', 'applied']);
    assert.deepEqual(await look(target, 'items', k), item('k'));
    assert.equal(await look(target, 'items', ['new']), null);
    assert.deepEqual(await target.door.fences('items', [k, ['new']]), [version(1), null]);
    const opened = await target.door.open(change(3, null), context);
    await opened.commit(version(3));
    assert.deepEqual(await look(target, 'items', k), item('k'));
  });
}
