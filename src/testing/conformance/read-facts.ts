import assert from 'node:assert/strict';
import type { Key } from '../../record/index.ts';
import type { MigrationStore } from '../../store/index.ts';
import { item, order } from './conformance-shapes.ts';
import { everything, look, ordered, send, version, write } from './conformance-steps.ts';
import type { Fact } from './conformance-subject.ts';

/** In bytewise order of UTF-8, which is neither the order of UTF-16 units nor that of any language. */
const names: readonly string[] = ['A', 'B', 'a', 'b', 'é', 'ﬀ', '😀'];

async function fill(store: MigrationStore, ids: readonly string[]): Promise<void> {
  for (const id of [...ids].reverse()) await write(store, 'items', [id], item(id));
}

const idsOf = (found: readonly { readonly key: Key }[]): readonly (string | undefined)[] =>
  found.map(({ key }) => key[0]);

/** Keyed reads, scans, boundaries, extent, canonical form. */
export function readFacts(fact: Fact): void {
  fact('a read answers in the order of the keys, absent ones with null', async ({ source }) => {
    await fill(source, ['k1', 'k2']);
    const answers = await source.records.read('items', [['k2'], ['nobody'], ['k1'], ['k2']]);
    assert.deepEqual(
      answers.map(({ record }) => record),
      [item('k2'), null, item('k1'), item('k2')],
    );
    assert.deepEqual(await source.records.read('items', []), []);
  });

  fact('a read brings the children, and none is an empty list', async ({ source }) => {
    const full = order(['t', '1'], ['1:pen', '2:ink'], ['x:gift']);
    await write(source, 'orders', ['t', '1'], full);
    await write(source, 'orders', ['t', '2'], order(['t', '2'], []));
    assert.deepEqual(await look(source, 'orders', ['t', '1']), ordered(full));
    assert.deepEqual(await look(source, 'orders', ['t', '2']), order(['t', '2'], []));
  });

  fact(
    'text comes back as it was, empty, quoted, with every kind of character',
    async ({ source }) => {
      const texts = [
        '',
        ' ',
        'it\'s "so"',
        'a\\b\\n',
        'tab\tline\nend\r',
        '{a,b}',
        'NULL',
        '\\N',
        '漢字 😀 é',
        '%s $1 ?',
      ];
      for (const [index, text] of texts.entries()) {
        await write(source, 'items', [`k${index}`], item(`k${index}`, text));
        assert.deepEqual(await look(source, 'items', [`k${index}`]), item(`k${index}`, text));
        await write(source, 'items', [`key ${text}`], item(`key ${text}`));
        assert.deepEqual(await look(source, 'items', [`key ${text}`]), item(`key ${text}`));
      }
    },
  );

  fact(
    'a scan goes in bytewise key order, after exclusive, until inclusive',
    async ({ source }) => {
      await fill(source, names);
      const all = await source.records.scan('items', everything, 100);
      assert.deepEqual(idsOf(all), names);
      assert.deepEqual(all[0]?.record, item('A'));
      const range = { after: ['B'], until: ['é'] };
      assert.deepEqual(idsOf(await source.records.scan('items', range, 100)), ['a', 'b', 'é']);
      assert.deepEqual(idsOf(await source.records.scan('items', range, 2)), ['a', 'b']);
      const none = { after: ['😀'], until: null };
      assert.deepEqual(await source.records.scan('items', none, 100), []);
    },
  );

  fact('bounds of a range need not exist', async ({ source }) => {
    await fill(source, names);
    const range = { after: ['AA'], until: ['c'] };
    assert.deepEqual(idsOf(await source.records.scan('items', range, 100)), ['B', 'a', 'b']);
  });

  fact('composite keys are ordered part by part', async ({ source }) => {
    const keys: readonly Key[] = [
      ['a', '1'],
      ['a', '2'],
      ['ab', '0'],
      ['b', '1'],
    ];
    for (const key of [...keys].reverse()) await write(source, 'orders', key, order(key, ['1:x']));
    const all = await source.records.scan('orders', everything, 100);
    assert.deepEqual(
      all.map(({ key }) => key),
      keys,
    );
    assert.deepEqual(all[1]?.record, order(['a', '2'], ['1:x']));
    const range = { after: ['a', '1'], until: ['ab', '9'] };
    const some = await source.records.scan('orders', range, 100);
    assert.deepEqual(
      some.map(({ key }) => key),
      [
        ['a', '2'],
        ['ab', '0'],
      ],
    );
  });

  fact('a boundary is so many records on, or the last key, or null', async ({ source }) => {
    await fill(source, names);
    const from = (after: Key | null, rows: number, until: Key | null = null) =>
      source.records.boundary('items', { after, until }, rows);
    assert.deepEqual(await from(null, 2), ['B']);
    assert.deepEqual(await from(['B'], 2), ['b']);
    assert.deepEqual(await from(['b'], 100), ['😀']);
    assert.deepEqual(await from(null, 100, ['b']), ['b']);
    assert.deepEqual(await from(null, 100, ['c']), ['b']);
    assert.deepEqual(await from(['😀'], 1), null);
  });

  fact('the extent names the last key and null for nothing', async ({ source }) => {
    assert.deepEqual((await source.records.extent('items')).last, null);
    await fill(source, names);
    const extent = await source.records.extent('items');
    assert.deepEqual(extent.last, ['😀']);
    assert.ok(extent.estimatedRows >= 0);
  });

  fact('a read with fences says which version the door let in', async ({ target }) => {
    await send(target, 'items', ['k1'], version(7), item('k1'));
    await send(target, 'items', ['gone'], version(8), null);
    const keys = [['k1'], ['gone'], ['never']];
    const answers = await target.records.read('items', keys, { withFence: true });
    assert.deepEqual(answers, [
      { record: item('k1'), fence: version(7) },
      { record: null, fence: version(8) },
      { record: null, fence: null },
    ]);
  });

  fact('an unknown collection is refused', async ({ source }) => {
    await assert.rejects(source.records.read('nowhere', [['k']]));
    await assert.rejects(source.records.scan('nowhere', everything, 1));
  });

  fact('the canonical form is what a stored record reads back as', async ({ source }) => {
    const records = [item('k1'), item('k2', null)];
    assert.deepEqual(await source.records.canonicalise('items', records), records);
    const aggregate = order(['t', '1'], ['1:pen'], ['x:gift']);
    assert.deepEqual(await source.records.canonicalise('orders', [aggregate]), [aggregate]);
    assert.deepEqual(await source.records.canonicalise('items', []), []);
    assert.equal(await look(source, 'items', ['k1']), null);
  });
}
