import assert from 'node:assert/strict';
import type { GapRecord, GapStatus } from '../../control/index.ts';
import { type ControlFact, migration } from './control-store-subject.ts';

const rescue = 'r1';

const record = (key: string, change: Partial<GapRecord> = {}): GapRecord => ({
  collection: 'orders',
  key: `["${key}"]`,
  subject: `s${key}`,
  target: { id: key, name: `Łódź ' ${key}`, lines: [{ line: '1', note: null }] },
  source: null,
  foundBy: 'queue',
  touched: false,
  status: 'open',
  note: '',
  decidedAtMs: null,
  ...change,
});

const decide = (key: string, status: GapStatus, note = '') => ({
  collection: 'orders',
  key: `["${key}"]`,
  status,
  note,
});

/** What a rescue leaves behind, in whichever control store. */
export function gapFacts(fact: ControlFact): void {
  fact(
    'a record of a gap comes back as it was, and stays as it was recorded first',
    async (stores) => {
      const { gaps } = stores.first;
      const deleted = record('2', { target: null, source: { id: '2', name: null }, touched: true });
      await gaps.record(migration, rescue, [record('1'), deleted]);
      await stores.second.gaps.record(migration, rescue, [record('1', { target: null })]);
      await gaps.record(migration, rescue, []);
      assert.deepEqual(
        await stores.second.gaps.find(migration, rescue, 'orders', '["1"]'),
        record('1'),
      );
      assert.deepEqual(await gaps.find(migration, rescue, 'orders', '["2"]'), deleted);
      assert.equal(await gaps.find(migration, 'r2', 'orders', '["1"]'), null);
    },
  );

  fact('a gap is listed page by page, by collection and by status', async ({ first: { gaps } }) => {
    const keys = Array.from({ length: 1_203 }, (_, at) => String(at).padStart(4, '0'));
    await gaps.record(
      migration,
      rescue,
      keys.map((key) => record(key)),
    );
    await gaps.record(migration, rescue, [record('x', { collection: 'carts', status: 'equal' })]);
    const seen: string[] = [];
    let after: GapRecord | undefined;
    for (;;) {
      const page: readonly GapRecord[] = await gaps.list(migration, rescue, {
        collection: 'orders',
        limit: 500,
        ...(after ? { after } : {}),
      });
      after = page.at(-1);
      if (after === undefined) break;
      seen.push(...page.map(({ key }) => JSON.parse(key)[0] as string));
    }
    assert.deepEqual(seen, keys);
    const equal = await gaps.list(migration, rescue, { statuses: ['equal'], limit: 10 });
    assert.deepEqual(
      equal.map(({ collection }) => collection),
      ['carts'],
    );
    assert.equal((await gaps.list(migration, 'r2', { limit: 10 })).length, 0);
    const counts = await gaps.counts(migration, rescue);
    assert.equal(counts.open, 1_203);
    assert.equal(counts.equal, 1);
    assert.equal(counts.conflict, 0);
  });

  fact('a decision is made once, and only from the status that it was made for', async (stores) => {
    const { gaps } = stores.first;
    await gaps.record(migration, rescue, [record('1'), record('2')]);
    const looked = { ...decide('2', 'conflict', 'both'), source: { id: '2' } };
    assert.equal(
      await gaps.decide(migration, rescue, ['open'], [decide('1', 'applied'), looked]),
      2,
    );
    assert.equal(
      await stores.second.gaps.decide(migration, rescue, ['open'], [decide('1', 'closed')]),
      0,
    );
    assert.equal(await gaps.decide(migration, rescue, ['open'], [decide('9', 'closed')]), 0);
    const one = await gaps.find(migration, rescue, 'orders', '["1"]');
    assert.equal(one?.status, 'applied');
    assert.ok((one?.decidedAtMs ?? 0) > 0);
    assert.deepEqual(await gaps.find(migration, rescue, 'orders', '["2"]'), {
      ...record('2'),
      status: 'conflict',
      note: 'both',
      source: { id: '2' },
    });
  });

  fact(
    'tokens are asked for by their subjects, and only undecided records count',
    async (stores) => {
      const { gaps } = stores.first;
      await gaps.record(migration, rescue, [record('1'), record('2'), record('3')]);
      await gaps.decide(
        migration,
        rescue,
        ['open'],
        [decide('1', 'taken-source'), decide('2', 'conflict')],
      );
      const asked = ['s1', 's2', 's3', 's4'];
      assert.deepEqual([...(await stores.second.gaps.undecided(migration, rescue, asked))].sort(), [
        's2',
        's3',
      ]);
      assert.equal((await gaps.undecided(migration, rescue, [])).size, 0);
      assert.equal((await gaps.undecided(migration, 'r2', asked)).size, 0);
      await gaps.clear(migration);
      assert.equal((await gaps.counts(migration, rescue)).open, 0);
    },
  );
}
