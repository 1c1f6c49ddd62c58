import assert from 'node:assert/strict';
import { item, order } from './conformance-shapes.ts';
import { everything, firstEpoch, look, send, stored, version, write } from './conformance-steps.ts';
import type { ConformanceSubject, Fact } from './conformance-subject.ts';

/** Installation and its end. `bare` facts begin with nothing installed. */
export function setupFacts(bare: Fact, fact: Fact, subject: ConformanceSubject): void {
  bare('before the installation there is nothing of ours', async ({ source, target }) => {
    assert.deepEqual(await source.setup.objects(), []);
    for (const store of [source, target])
      for (const role of ['authority', 'follower'] as const) {
        const findings = await store.setup.inspect(role);
        assert.ok(findings.every(({ id, message }) => id !== '' && message !== ''));
      }
    assert.deepEqual(await source.setup.objects(), []);
  });

  bare('stores declare what the subject says', async ({ source, target }) => {
    assert.deepEqual(source.capabilities, subject.capabilities);
    assert.deepEqual([source.side, target.side], ['source', 'target']);
  });

  bare('many may install at the same time', async ({ source, sourceAgain }) => {
    await Promise.all([
      source.setup.install('authority', 1),
      sourceAgain.setup.install('authority', 1),
      source.setup.install('authority', 1),
    ]);
    assert.deepEqual(await source.guard.read(), { role: 'authority', epoch: 1, attempt: null });
  });

  fact('installing again changes neither guard nor data', async ({ source }) => {
    await write(source, 'items', ['k'], item('k'));
    const from = await source.guard.read();
    const sealed = { role: 'sealed', epoch: 4, attempt: 'attempt-1' } as const;
    await source.guard.change(from, sealed, 5_000);
    const objects = await source.setup.objects();
    await source.setup.install('follower', 9);
    assert.deepEqual(await source.guard.read(), sealed);
    assert.deepEqual(await source.setup.objects(), objects);
    assert.equal((await source.queue.depth()).waiting, 1);
  });

  fact('uninstalling leaves the data and nothing of ours', async ({ source, target }) => {
    await write(source, 'items', ['k'], item('k'));
    await send(target, 'items', ['k'], version(1), item('k'));
    for (const store of [source, target]) {
      await store.setup.uninstall();
      assert.deepEqual(await store.setup.objects(), []);
      await store.setup.uninstall();
      assert.equal(await store.setup.countUpTo('items', 10), 1);
    }
    await source.setup.install('authority', 5);
    assert.deepEqual(await source.guard.read(), { role: 'authority', epoch: 5, attempt: null });
    assert.deepEqual(await look(source, 'items', ['k']), item('k'));
  });

  fact('rows are counted up to a number', async ({ target }) => {
    for (const id of ['a', 'b', 'c']) await send(target, 'items', [id], version(1), item(id));
    assert.equal(await target.setup.countUpTo('items', 2), 2);
    assert.equal(await target.setup.countUpTo('items', 100), 3);
    assert.equal(await target.setup.countUpTo('orders', 100), 0);
  });

  fact('truncating empties one collection with its fences and chunks', async ({ target }) => {
    const key = ['t', '1'];
    await send(target, 'orders', key, version(1), order(key, ['1:pen'], ['x:gift']));
    await send(target, 'items', ['k'], version(2), item('k'));
    const ticket = await target.door.beginChunk('orders', 1, everything, 'worker');
    await target.setup.truncate('orders');
    assert.equal(await look(target, 'orders', key), null);
    assert.deepEqual(await target.door.fences('orders', [key]), [null]);
    assert.deepEqual(await look(target, 'items', ['k']), item('k'));
    const late = [stored(key, order(key, ['1:pen']))];
    await assert.rejects(target.door.writeChunk(ticket, late, firstEpoch), /CHUNK_LOST/);
    await send(target, 'orders', key, version(1), order(key, []));
    assert.deepEqual(await look(target, 'orders', key), order(key, []));
  });

  fact('a closed store may be closed again', async ({ source }) => {
    await source.close();
    await source.close();
    await assert.rejects(source.records.read('items', [['k']]));
  });
}
