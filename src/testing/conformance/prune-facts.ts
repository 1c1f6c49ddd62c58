import assert from 'node:assert/strict';
import { isChangeoverError } from '../../errors/index.ts';
import { systemRandom, systemRuntime } from '../../runtime/index.ts';
import { item } from './conformance-shapes.ts';
import {
  everything,
  failsWith,
  firstEpoch,
  look,
  send,
  settlesWithin,
  stored,
  version,
} from './conformance-steps.ts';
import type { Fact } from './conformance-subject.ts';

const k = ['k'];
const items = (...ids: readonly string[]) => ids.map((id) => stored([id], item(id, 'copied')));

/** Fences that go, and chunks that have read before they went. */
export function pruneFacts(fact: Fact): void {
  fact(
    'pruning gives up chunks in flight, so that none brings back what was deleted',
    async (stores) => {
      const { target, targetAgain } = stores;
      const read = await target.door.beginChunk('items', 1, everything, 'one');
      const other = await targetAgain.door.beginChunk('orders', 1, everything, 'two');
      await send(target, 'items', k, version(2), null);
      assert.equal(await target.door.pruneFences(version(9)), 1);
      assert.deepEqual(await target.door.fences('items', [k]), [null]);
      await failsWith('CHUNK_LOST', target.door.writeChunk(read, items('k'), firstEpoch));
      await failsWith('CHUNK_LOST', targetAgain.door.writeChunk(other, [], firstEpoch));
      assert.equal(await look(target, 'items', k), null);
      const again = await target.door.beginChunk('items', 1, everything, 'one');
      assert.deepEqual(await target.door.writeChunk(again, items('a'), firstEpoch), {
        inserted: 1,
      });
    },
  );

  fact('pruning leaves a fence that is being raised, and does not wait for it', async (stores) => {
    const { target, targetAgain } = stores;
    await send(target, 'items', k, version(1), item('k'));
    await send(target, 'items', ['other'], version(2), item('other'));
    const change = {
      collection: 'items',
      key: k,
      value: item('k', 'new'),
      origin: 'live',
    } as const;
    const opened = await target.door.open(change, firstEpoch);
    const pruning = targetAgain.door.pruneFences(version(9));
    assert.equal(await settlesWithin(5_000, pruning), true);
    assert.equal(await pruning, 1);
    assert.equal(await opened.commit(version(3)), 'applied');
    assert.deepEqual(await target.door.fences('items', [k, ['other']]), [version(3), null]);
  });

  fact('chunks, deletes and pruning at the same time bring nothing back', async (stores) => {
    const { target, targetAgain } = stores;
    for (let round = 1; round <= 25; round += 1) {
      const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
      const pause = (): Promise<void> => systemRuntime.clock.sleep(systemRandom.next() * 6);
      const copying = async (): Promise<void> => {
        await pause();
        const writing = target.door.writeChunk(ticket, items('a', 'k', 'z'), firstEpoch);
        await writing.catch((error: unknown) => {
          if (!isChangeoverError(error, 'CHUNK_LOST')) throw error;
        });
      };
      const deleting = async (): Promise<void> => {
        await pause();
        await send(targetAgain, 'items', k, version(round), null);
        await targetAgain.door.pruneFences(version(round + 1));
      };
      await Promise.all([copying(), deleting()]);
      assert.equal(await look(target, 'items', k), null, `round ${round}`);
      await target.setup.truncate('items');
    }
  });
}
