import assert from 'node:assert/strict';
import type { Change } from '../../record/index.ts';
import { item, order } from './conformance-shapes.ts';
import { firstEpoch, look, ordered, send, settlesWithin, version } from './conformance-steps.ts';
import type { Fact } from './conformance-subject.ts';

const k = ['k'];
const change = (value: Change['value']): Omit<Change, 'version'> => ({
  collection: 'items',
  key: k,
  value,
  origin: 'live',
});

/** Follower transactions that stay open while the authority commits. */
export function openFacts(fact: Fact): void {
  fact('an open change is seen by nobody before its commit', async ({ target, targetAgain }) => {
    const opened = await target.door.open(change(item('k')), firstEpoch);
    assert.equal(await look(targetAgain, 'items', k), null);
    assert.deepEqual(await targetAgain.door.fences('items', [k]), [null]);
    assert.equal(await opened.commit(version(5)), 'applied');
    await opened.abort();
    assert.deepEqual(await look(targetAgain, 'items', k), item('k'));
    assert.deepEqual(await targetAgain.door.fences('items', [k]), [version(5)]);
  });

  fact('an aborted open change leaves nothing, aborting twice is once', async ({ target }) => {
    await send(target, 'items', k, version(1), item('k'));
    const opened = await target.door.open(change(null), firstEpoch);
    await opened.abort();
    await opened.abort();
    assert.deepEqual(await look(target, 'items', k), item('k'));
    assert.deepEqual(await target.door.fences('items', [k]), [version(1)]);
    assert.equal(await send(target, 'items', k, version(2), item('k', 'two')), 'applied');
  });

  fact('an open change whose version turns out old changes nothing', async ({ target }) => {
    await send(target, 'items', k, version(5), item('k', 'five'));
    for (const value of [item('k', 'four'), null]) {
      const opened = await target.door.open(change(value), firstEpoch);
      assert.equal(await opened.commit(version(4)), 'stale');
      await opened.abort();
    }
    assert.deepEqual(await look(target, 'items', k), item('k', 'five'));
    assert.deepEqual(await target.door.fences('items', [k]), [version(5)]);
  });

  fact('of two open changes of a key the higher version stays', async ({ target, targetAgain }) => {
    const first = await target.door.open(change(item('k', 'two')), firstEpoch);
    const second = targetAgain.door.open(change(item('k', 'one')), firstEpoch);
    assert.equal(await settlesWithin(100, second), false);
    assert.equal(await first.commit(version(2)), 'applied');
    assert.equal(await (await second).commit(version(1)), 'stale');
    assert.deepEqual(await look(target, 'items', k), item('k', 'two'));
  });

  fact('open changes of aggregates hold the children as well', async ({ target }) => {
    const key = ['t', '1'];
    await send(target, 'orders', key, version(1), order(key, ['1:pen', '2:ink'], ['x:gift']));
    const next = order(key, ['2:red'], ['y:new']);
    const opened = await target.door.open(
      { collection: 'orders', key, value: next, origin: 'live' },
      firstEpoch,
    );
    assert.equal(await opened.commit(version(2)), 'applied');
    assert.deepEqual(await look(target, 'orders', key), ordered(next));
    const gone = await target.door.open(
      { collection: 'orders', key, value: null, origin: 'live' },
      firstEpoch,
    );
    assert.equal(await gone.commit(version(3)), 'applied');
    assert.equal(await look(target, 'orders', key), null);
  });
}
