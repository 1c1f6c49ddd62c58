import assert from 'node:assert/strict';
import type { LogChange } from '../../log/index.ts';
import { item, order } from './conformance-shapes.ts';
import {
  everything,
  firstEpoch,
  gate,
  look,
  send,
  settlesWithin,
  stored,
  timeoutMs,
  version,
  write,
} from './conformance-steps.ts';
import type { LogFact } from './conformance-subject.ts';
import {
  at,
  changesBehind,
  deleteItem,
  enter,
  gist,
  insertItem,
  install,
  logDoorOf,
  logOf,
  madeUp,
  reading,
  readToEnd,
  rowOf,
  startOf,
  targetStream,
  updateItem,
} from './log-steps.ts';

const line = (number: string, at: string, product: string) =>
  ({ tenant: 't', number, line: at, product }) as const;
const onlyLines = (changes: readonly LogChange[]): readonly LogChange[] =>
  changes.filter(({ table }) => table.name === 'order_lines');

/** What comes out of a log, and in which order. */
export function changeSourceFacts(fact: LogFact): void {
  orderFacts(fact);
  rowFacts(fact);
  childFacts(fact);
  markFacts(fact);
  challengeFacts(fact);
}

function orderFacts(fact: LogFact): void {
  fact('transactions come in the order of their commits, whole', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    const wait = gate();
    const first = stores.foreignTransaction(
      'source',
      [insertItem('a1'), insertItem('a2')],
      () => wait.passed,
    );
    await settlesWithin(100, first);
    await stores.foreignTransaction('source', [insertItem('b1'), insertItem('b2')]);
    wait.open();
    await first;
    const changes = await changesBehind(source, from);
    assert.deepEqual(changes.map(gist), [
      'insert items b1',
      'insert items b2',
      'insert items a1',
      'insert items a2',
    ]);
    const [b1, b2, a1, a2] = changes.map(({ sequence }) => sequence);
    assert.ok(b1 === b2 && a1 === a2 && a1! > b1!, 'one position for each transaction');
    assert.ok(b1! > from.position.sequence);
  });

  fact('what is rolled back does not come', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    const failing = stores.foreignTransaction('source', [insertItem('a')], () =>
      Promise.reject(new Error('taken back')),
    );
    await assert.rejects(failing, /taken back/);
    await stores.foreignTransaction('source', [insertItem('b')]);
    assert.deepEqual((await changesBehind(source, from)).map(gist), ['insert items b']);
  });

  fact('changes of one row in one transaction come one by one', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    await stores.foreignTransaction('source', [
      insertItem('k', 'one'),
      updateItem('k', { name: 'two' }),
      deleteItem('k'),
      insertItem('k', 'three'),
    ]);
    const changes = await changesBehind(source, from);
    assert.deepEqual(changes.map(gist), [
      'insert items k',
      'update items k',
      'delete items k',
      'insert items k',
    ]);
    const names = changes.map((change) => rowOf(change, change.after)?.['name']);
    assert.deepEqual(names, ['one', 'two', undefined, 'three']);
  });

  fact(
    'what committed before the stream does not come, everything after it does',
    async (stores) => {
      const { source } = stores;
      await stores.foreignTransaction('source', [insertItem('before')]);
      const wait = gate();
      const rows = [insertItem('open1'), insertItem('open2')];
      const open = stores.foreignTransaction('source', rows, () => wait.passed);
      await settlesWithin(100, open);
      const installing = install(source);
      await settlesWithin(200, installing);
      wait.open();
      await open;
      const from = startOf(await installing);
      await stores.foreignTransaction('source', [insertItem('after')]);
      const ids = (await changesBehind(source, from)).map(gist);
      assert.equal(ids.at(-1), 'insert items after');
      assert.ok(!ids.includes('insert items before'));
      // One that was open meanwhile is waited for, or comes, but never in half.
      const rest = ids.filter((text) => text.includes('open'));
      assert.ok(rest.length === 0 || rest.length === 2, String(rest));
    },
  );

  fact('own writes come like any others, without version and entry', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    const written = await write(source, 'items', ['k'], item('k'), { journal: 'log' });
    assert.deepEqual([written.version, written.journalId], [null, null]);
    assert.deepEqual(written.record, item('k'));
    await write(source, 'items', ['k'], {}, { journal: 'log', action: 'delete' });
    assert.equal((await source.queue.depth()).waiting, 0);
    const changes = await changesBehind(source, from);
    assert.deepEqual(changes.map(gist), ['insert items k', 'delete items k']);
  });
}

function rowFacts(fact: LogFact): void {
  fact('values are the text that a read gives', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    const texts = ['', ' ', 'it\'s "so"', 'a\\b\\n', 'tab\tline\nend\r', 'NULL', '漢字 😀 é', null];
    for (const [index, text] of texts.entries())
      await stores.foreignTransaction('source', [insertItem(`k${index}`, text)]);
    const changes = await changesBehind(source, from);
    assert.equal(changes.length, texts.length);
    for (const [index, change] of changes.entries())
      assert.deepEqual(rowOf(change, change.after), await look(source, 'items', [`k${index}`]));
  });

  fact('an update brings the whole row', async (stores) => {
    const { source } = stores;
    await stores.foreignTransaction('source', [insertItem('k', 'old')]);
    const from = startOf(await install(source));
    await stores.foreignTransaction('source', [updateItem('k', { note: 'new' })]);
    const [change] = await changesBehind(source, from);
    assert.ok(change);
    assert.equal(change.kind, 'update');
    assert.deepEqual(rowOf(change, change.after), { id: 'k', name: 'old', note: 'new' });
    // What the log has of the old row is true, and may be nothing.
    const before = rowOf(change, change.before) ?? {};
    assert.deepEqual(before, { ...before, ...pick(before, { id: 'k', name: 'old', note: null }) });
  });

  fact('a row that changes its key tells the old one, a deleted row its last', async (stores) => {
    const { source } = stores;
    await stores.foreignTransaction('source', [insertItem('k')]);
    const from = startOf(await install(source));
    await stores.foreignTransaction('source', [updateItem('k', { id: 'l' })]);
    await stores.foreignTransaction('source', [deleteItem('l')]);
    const [moved, gone] = await changesBehind(source, from);
    assert.ok(moved && gone);
    assert.equal(rowOf(moved, moved.before)?.['id'], 'k');
    assert.equal(rowOf(moved, moved.after)?.['id'], 'l');
    assert.equal(gone.kind, 'delete');
    assert.equal(rowOf(gone, gone.before)?.['id'], 'l');
    assert.equal(gone.after, null);
  });

  fact('the table is told by name, key and columns, and is the same object', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    await stores.foreignTransaction('source', [insertItem('a'), insertItem('b')]);
    const [a, b] = await changesBehind(source, from);
    assert.ok(a && b);
    assert.equal(a.table, b.table);
    assert.deepEqual(
      a.table.columns.map(({ name }) => name),
      ['id', 'name', 'note'],
    );
    assert.equal(a.table.columns.find(({ name }) => name === 'id')?.key, true);
  });

  fact('an emptied table is told as such', async (stores) => {
    const { source } = stores;
    await stores.foreignTransaction('source', [insertItem('a'), insertItem('b')]);
    const from = startOf(await install(source));
    await stores.foreignTransaction('source', [{ kind: 'truncate', table: 'items' }]);
    await stores.foreignTransaction('source', [insertItem('c')]);
    const changes = await changesBehind(source, from);
    assert.deepEqual(changes.map(gist), ['truncate items', 'insert items c']);
    assert.deepEqual([changes[0]?.before, changes[0]?.after], [null, null]);
  });
}

/** The present values of `row`, for those columns that `of` has. */
function pick<T>(of: Readonly<Record<string, unknown>>, row: Readonly<Record<string, T>>) {
  return Object.fromEntries(Object.entries(row).filter(([name]) => name in of));
}

function childFacts(fact: LogFact): void {
  const key = ['t', '1'];

  fact('rows of children tell their parent, old and new', async (stores) => {
    const { source } = stores;
    await write(source, 'orders', key, order(key, ['1:pen'], ['x:gift']), { journal: 'log' });
    const from = startOf(await install(source));
    const { product: _product, ...where } = line('1', '1', '');
    await stores.foreignTransaction('source', [
      { kind: 'insert', table: 'order_lines', row: line('1', '2', 'ink') },
      { kind: 'update', table: 'order_lines', where, set: { product: 'red pen' } },
      { kind: 'delete', table: 'order_lines', where },
      { kind: 'delete', table: 'order_tags', where: { tag: 'x', tenant: 't', number: '1' } },
    ]);
    const changes = await changesBehind(source, from);
    assert.deepEqual(
      changes.map((change) => `${change.kind} ${change.table.name}`),
      ['insert order_lines', 'update order_lines', 'delete order_lines', 'delete order_tags'],
    );
    for (const change of changes) {
      const row = rowOf(change, change.after ?? change.before);
      assert.deepEqual([row?.['tenant'], row?.['number']], key, gist(change));
    }
  });

  fact('a row that moves between records tells both', async (stores) => {
    const { source } = stores;
    for (const number of ['1', '2'])
      await write(source, 'orders', ['t', number], order(['t', number], []), { journal: 'log' });
    await stores.foreignTransaction('source', [
      { kind: 'insert', table: 'order_lines', row: line('1', '1', 'pen') },
      {
        kind: 'insert',
        table: 'order_tags',
        row: { tag: 'x', tenant: 't', number: '1', label: 'gift' },
      },
    ]);
    const from = startOf(await install(source));
    const { product: _product, ...where } = line('1', '1', '');
    await stores.foreignTransaction('source', [
      { kind: 'update', table: 'order_lines', where, set: { number: '2' } },
      {
        kind: 'update',
        table: 'order_tags',
        where: { tag: 'x', tenant: 't', number: '1' },
        set: { number: '2' },
      },
    ]);
    const changes = await changesBehind(source, from);
    assert.equal(changes.length, 2);
    for (const change of changes) {
      assert.equal(rowOf(change, change.before)?.['number'], '1', gist(change));
      assert.equal(rowOf(change, change.after)?.['number'], '2', gist(change));
    }
    assert.equal(onlyLines(changes).length, 1);
  });
}

function markFacts(fact: LogFact): void {
  fact('what the door writes is left out, what others write is not', async (stores) => {
    const { target } = stores;
    const from = startOf(await install(target, targetStream));
    const key = ['t', '1'];
    await send(target, 'items', ['live'], version(1), item('live'));
    await send(target, 'items', ['live'], version(2), null);
    await send(target, 'orders', key, version(3), order(key, ['1:pen'], ['x:gift']), 'repair');
    const opened = await target.door.open(
      { collection: 'items', key: ['open'], value: item('open'), origin: 'live' },
      firstEpoch,
    );
    await opened.commit(version(4));
    const ticket = await target.door.beginChunk('items', 1, everything, 'worker');
    await target.door.writeChunk(ticket, [stored(['chunk'], item('chunk'))], firstEpoch);
    await logDoorOf(target).begin(madeUp, { ...at(0), position: at(0).position });
    await enter(target, at(0), at(9), [
      { collection: 'items', key: ['log'], version: version(9), value: item('log'), origin: 'log' },
    ]);
    await stores.foreignTransaction('target', [insertItem('foreign')]);
    const changes = await changesBehind(target, from, { stream: targetStream });
    assert.deepEqual(changes.map(gist), ['insert items foreign']);
  });

  fact('a stale change and an entry in the queue are no mark for others', async (stores) => {
    const { source, target } = stores;
    const from = startOf(await install(source));
    const late = startOf(await install(target, targetStream));
    await source.queue.enqueue([{ collection: 'items', key: ['k'], kind: 'change', graceMs: 0 }]);
    await stores.foreignTransaction('source', [insertItem('k')]);
    await send(target, 'items', ['k'], version(5), item('k'));
    await send(target, 'items', ['k'], version(4), item('k', 'stale'));
    await stores.foreignTransaction('target', [updateItem('k', { name: 'foreign' })]);
    assert.deepEqual((await changesBehind(source, from)).map(gist), ['insert items k']);
    const there = await changesBehind(target, late, { stream: targetStream });
    assert.deepEqual(there.map(gist), ['update items k']);
  });
}

function challengeFacts(fact: LogFact): void {
  fact('a challenge comes back behind all that committed before it', async (stores) => {
    const { source, sourceAgain } = stores;
    const from = startOf(await install(source));
    await reading(source, from, async (stream) => {
      await stores.foreignTransaction('source', [insertItem('a')]);
      await logOf(sourceAgain).challenge('token one');
      await stores.foreignTransaction('source', [insertItem('b')]);
      const batches = await readToEnd(source, stream);
      const seen: string[] = [];
      for (const { changes, challenges } of batches)
        seen.push(...changes.map(gist), ...challenges.filter((token) => token === 'token one'));
      assert.ok(seen.indexOf('token one') > seen.indexOf('insert items a') || batches.length === 1);
      assert.ok(seen.includes('token one') && seen.includes('insert items b'));
    });
  });

  fact('a challenge comes back from a sealed store, too', async ({ source }) => {
    const start = startOf(await install(source));
    const from = await source.guard.read();
    await source.guard.change(from, { ...from, role: 'sealed' }, timeoutMs);
    await reading(source, start, (stream) => readToEnd(source, stream));
  });

  fact(
    'the end is not before what has committed, and the log goes on behind it',
    async (stores) => {
      const { source } = stores;
      const from = startOf(await install(source));
      await stores.foreignTransaction('source', [insertItem('a')]);
      const end = await logOf(source).end();
      await stores.foreignTransaction('source', [insertItem('b')]);
      const [a, b] = await changesBehind(source, from);
      assert.ok(a && b);
      assert.ok(end.sequence >= a.sequence && end.sequence < b.sequence);
      assert.ok((await logOf(source).end()).sequence >= b.sequence);
    },
  );

  fact('with nothing to read a batch is empty, in time', async ({ source }) => {
    const from = startOf(await install(source));
    await reading(source, from, async (stream) => {
      await readToEnd(source, stream);
      for (let turn = 0; turn < 3; turn++) {
        const next = stream.next(50);
        assert.ok(await settlesWithin(timeoutMs, next));
        assert.deepEqual((await next).changes, []);
      }
    });
  });
}
