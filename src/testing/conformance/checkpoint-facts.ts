import assert from 'node:assert/strict';
import type { BackfillCheckpoint } from '../../control/index.ts';
import { type ControlFact, migration } from './control-store-subject.ts';

const checkpoint = (change: Partial<BackfillCheckpoint> = {}): BackfillCheckpoint => ({
  collection: 'customers',
  generation: 1,
  frozenLast: '["9"]',
  doneUntil: null,
  nextChunk: 0,
  rowsRead: 0,
  rowsInserted: 0,
  rowsDead: 0,
  estimatedRows: 9_007_199_254_740_991,
  startedAtMs: 1_763_700_000_000,
  finishedAtMs: null,
  ...change,
});

/** How far the copy of a collection has come. */
export function checkpointFacts(fact: ControlFact): void {
  fact('a checkpoint comes back exactly, for its collection only', async ({ first, second }) => {
    assert.equal(await first.checkpoint(migration, 'customers'), null);
    await first.saveCheckpoint(migration, checkpoint());
    const later = checkpoint({
      doneUntil: '["ä🎬"]',
      nextChunk: 4,
      rowsRead: 20_000,
      finishedAtMs: 5,
    });
    await second.saveCheckpoint(migration, later);
    await second.saveCheckpoint(migration, checkpoint({ collection: 'orders' }));
    assert.deepEqual(await first.checkpoint(migration, 'customers'), later);
    assert.equal(await first.checkpoint('another', 'customers'), null);
  });

  fact(
    'a latecomer takes back neither a finished checkpoint nor one of a later generation',
    async ({ first, second }) => {
      const finished = checkpoint({ generation: 2, nextChunk: 4, finishedAtMs: 5 });
      await first.saveCheckpoint(migration, checkpoint({ generation: 2, nextChunk: 3 }));
      await first.saveCheckpoint(migration, finished);
      await second.saveCheckpoint(migration, checkpoint({ generation: 2, nextChunk: 3 }));
      await second.saveCheckpoint(migration, checkpoint({ generation: 1, finishedAtMs: 9 }));
      assert.deepEqual(await second.checkpoint(migration, 'customers'), finished);
      const next = checkpoint({ generation: 3 });
      await second.saveCheckpoint(migration, next);
      assert.deepEqual(await first.checkpoint(migration, 'customers'), next);
    },
  );
}
