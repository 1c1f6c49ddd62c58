import assert from 'node:assert/strict';
import { type ControlFact, migration } from './control-store-subject.ts';

/** Small documents by name, in whichever control store. */
export function memoFacts(fact: ControlFact): void {
  fact('a memo comes back as it was written, in every process', async ({ first, second }) => {
    assert.equal(await first.memos.read(migration, 'sweep items'), null);
    const body = { after: ['Łódź', "o'clock"], at: 12, done: null };
    assert.equal(await first.memos.write(migration, 'sweep items', body, 0), true);
    assert.deepEqual(await second.memos.read(migration, 'sweep items'), {
      name: 'sweep items',
      version: 1,
      body,
    });
    assert.equal(await second.memos.read('another', 'sweep items'), null);
  });

  fact('of two that write a memo of one version one succeeds', async ({ first, second }) => {
    await first.memos.write(migration, 'place', { at: 0 }, 0);
    assert.equal(await second.memos.write(migration, 'place', { at: 9 }, 0), false);
    const both = await Promise.all([
      first.memos.write(migration, 'place', { at: 1 }, 1),
      second.memos.write(migration, 'place', { at: 2 }, 1),
    ]);
    assert.equal(both.filter(Boolean).length, 1);
    const found = await first.memos.read(migration, 'place');
    assert.deepEqual(found?.body, { at: both[0] ? 1 : 2 });
    assert.equal(found?.version, 2);
  });

  fact('memos are listed by the beginning of their names', async ({ first, second }) => {
    for (const name of ['b 2', 'b 1', 'a', 'b%', 'B 3'])
      await first.memos.write(migration, name, {}, 0);
    const listed = await second.memos.list(migration, 'b ');
    assert.deepEqual(
      listed.map(({ name }) => name),
      ['b 1', 'b 2'],
    );
    assert.equal((await second.memos.list('another', 'b ')).length, 0);
  });
}
