import { describe, expect, test } from 'vitest';
import { coalesce } from '../../src/capture/log-coalesce.ts';
import { LogRoutes } from '../../src/capture/log-routes.ts';
import { type LogChange, type LogTable, type LogValue, unchanged } from '../../src/log/index.ts';
import type { Collection, Shape } from '../../src/migration/index.ts';

const keep = (record: object): never => record as never;
const collection = (name: string, source: Shape): Collection => ({
  name,
  source,
  target: source,
  forward: keep,
  backward: keep,
  identity: true,
  capture: 'log',
  write: 'serial',
  failureMode: 'fail-open',
  latencyBudgetMs: 50,
  shadowReadSample: 1,
  ignore: {},
  transformVersion: 1,
});
const table = (name: string, columns: readonly string[], key: readonly string[]): LogTable => ({
  schema: 'public',
  name,
  columns: columns.map((column) => ({ name: column, type: 'text', key: key.includes(column) })),
});

const things = collection('things', { table: 'thing', key: ['id'] });
const thing = table('thing', ['id', 'name', 'big'], ['id']);
const orders = collection('orders', {
  table: 'shop.orders',
  key: ['id'],
  children: { lines: { table: 'line', key: ['line_id'], parent: ['order_id'] } },
});
const order = { ...table('orders', ['id', 'at'], ['id']), schema: 'shop' };
const line = table('line', ['line_id', 'order_id', 'sku'], ['line_id', 'order_id', 'sku']);

const all = [things, orders];
const run = (...changes: readonly LogChange[]) =>
  coalesce(changes, new LogRoutes(all, 'source'), all).map(
    ({ collection: { name }, keys, truncated }) => ({
      name,
      keys: [...keys.values()].map(({ key, value }) => [key.join('/'), value]),
      ...(truncated ? { truncated: truncated.kind } : {}),
    }),
  );
type Row = readonly LogValue[];
const insert = (of: LogTable, after: Row): LogChange => ({
  table: of,
  kind: 'insert',
  before: null,
  after,
  sequence: 7n,
});
const update = (of: LogTable, before: Row | null, after: Row): LogChange => ({
  ...insert(of, after),
  kind: 'update',
  before,
});
const remove = (of: LogTable, before: Row): LogChange => ({
  ...insert(of, before),
  kind: 'delete',
  before,
  after: null,
});
const truncate = (of: LogTable): LogChange => ({
  ...insert(of, []),
  kind: 'truncate',
  after: null,
});

describe('records that are only named', () => {
  const naming: LogTable = {
    ...table('touched', ['id', 'collection', 'key_text'], ['id']),
    schema: 'ours',
    touches: { collection: 1, key: 2 },
  };
  const name = (collection: string, key: string): LogChange =>
    insert(naming, ['1', collection, key]);

  test('are read again, whatever the batch knew of them before', () => {
    expect(
      run(
        insert(thing, ['1', 'a', 'x']),
        name('things', '["1"]'),
        name('orders', '["4"]'),
        name('things', '["2"]'),
      ),
    ).toEqual([
      {
        name: 'things',
        keys: [
          ['1', 'reread'],
          ['2', 'reread'],
        ],
      },
      { name: 'orders', keys: [['4', 'reread']] },
    ]);
  });

  test('what comes behind it stands: the log has whole rows', () => {
    expect(
      run(name('things', '["1"]'), remove(thing, ['1', 'a', 'x']), name('things', '["2"]')),
    ).toEqual([
      {
        name: 'things',
        keys: [
          ['1', null],
          ['2', 'reread'],
        ],
      },
    ]);
  });

  test('names that are taken away again, and those of collections that are not followed, are nothing', () => {
    expect(run(remove(naming, ['1', 'things', '["1"]']), name('gone', '["1"]'))).toEqual([]);
  });
});

describe('rows of a record of its own', () => {
  test('the last change of a key stands', () => {
    expect(
      run(
        insert(thing, ['1', 'a', 'x']),
        update(thing, null, ['1', 'b', 'x']),
        insert(thing, ['2', 'c', null]),
        remove(thing, ['2', unchanged, unchanged]),
      ),
    ).toEqual([
      {
        name: 'things',
        keys: [
          ['1', { id: '1', name: 'b', big: 'x' }],
          ['2', null],
        ],
      },
    ]);
  });

  test('a deleted key that comes again is there', () => {
    const [found] = run(
      remove(thing, ['1', unchanged, unchanged]),
      insert(thing, ['1', 'again', null]),
    );
    expect(found?.keys).toEqual([['1', { id: '1', name: 'again', big: null }]]);
  });

  test('a row that leaves its key is a delete and an insert, with what it did not touch', () => {
    const [found] = run(
      insert(thing, ['1', 'a', 'large']),
      update(thing, ['1', unchanged, unchanged], ['9', 'a', unchanged]),
    );
    expect(found?.keys).toEqual([
      ['1', null],
      ['9', { id: '9', name: 'a', big: 'large' }],
    ]);
  });

  test('a key in another spelling goes before it comes, whatever was said of it earlier', () => {
    const [found] = run(
      remove(thing, ['bob', unchanged, unchanged]),
      update(thing, ['Bob', unchanged, unchanged], ['bob', 'a', null]),
    );
    expect(found?.keys).toEqual([
      ['Bob', null],
      ['bob', { id: 'bob', name: 'a', big: null }],
    ]);
  });

  test('where the log would not tell that a row left its key, nothing is guessed', () => {
    const other = table('thing', ['id', 'name', 'big'], ['name']);
    expect(() => run(update(other, null, ['9', 'a', 'b']))).toThrow(/REPLICA IDENTITY FULL/);
    const moved = update(other, [unchanged, 'a', unchanged], ['9', 'b', 'c']);
    expect(() => run(moved)).toThrow(/columns by which/);
  });

  test('two rows that swap their keys by way of a third one end up swapped', () => {
    const key = (from: string, to: string, name: string): LogChange =>
      update(thing, [from, unchanged, unchanged], [to, name, null]);
    const [found] = run(key('1', '0', 'one'), key('2', '1', 'two'), key('0', '2', 'one'));
    expect(new Map(found?.keys as [string, unknown][])).toEqual(
      new Map<string, unknown>([
        ['0', null],
        ['1', { id: '1', name: 'two', big: null }],
        ['2', { id: '2', name: 'one', big: null }],
      ]),
    );
  });

  test('a value that the log leaves out comes from the old row, from before, or is read again', () => {
    expect(run(update(thing, ['1', 'a', 'old'], ['1', 'b', unchanged]))[0]?.keys).toEqual([
      ['1', { id: '1', name: 'b', big: 'old' }],
    ]);
    expect(run(update(thing, null, ['1', 'b', unchanged]))[0]?.keys).toEqual([['1', 'reread']]);
    expect(
      run(update(thing, null, ['1', 'b', unchanged]), update(thing, null, ['1', 'c', unchanged]))[0]
        ?.keys,
    ).toEqual([['1', 'reread']]);
    expect(
      run(remove(thing, ['1', 'a', 'x']), update(thing, null, ['1', 'c', unchanged]))[0]?.keys,
    ).toEqual([['1', 'reread']]);
  });

  test('emptying the table forgets what came before, and not what comes after', () => {
    expect(
      run(insert(thing, ['1', 'a', null]), truncate(thing), insert(thing, ['2', 'b', null])),
    ).toEqual([
      { name: 'things', keys: [['2', { id: '2', name: 'b', big: null }]], truncated: 'root' },
    ]);
  });

  test('an old row without its key cannot be taken', () => {
    expect(() => run(remove(thing, [unchanged, 'a', 'b']))).toThrow(/REPLICA IDENTITY FULL/);
  });
});

describe('rows of a record of several', () => {
  test('each row means its record, read again; one that moves means both', () => {
    expect(
      run(
        insert(order, ['1', 'now']),
        insert(line, ['10', '2', 'x']),
        update(line, ['11', '3', 'x'], ['11', '4', 'x']),
        remove(line, ['12', '5', 'x']),
      ),
    ).toEqual([
      {
        name: 'orders',
        keys: ['1', '2', '3', '4', '5'].map((key) => [key, 'reread']),
      },
    ]);
  });

  test('a child of nobody concerns nobody', () => {
    expect(
      run(insert(line, ['10', null, 'x']), update(line, ['10', null, 'x'], ['10', '2', 'x'])),
    ).toEqual([{ name: 'orders', keys: [['2', 'reread']] }]);
  });

  test('where the log would not tell that a child moved, nothing is guessed', () => {
    const narrow = table('line', ['line_id', 'order_id', 'sku'], ['line_id']);
    expect(() => run(update(narrow, null, ['10', '2', 'y']))).toThrow(/REPLICA IDENTITY FULL/);
    expect(() => run(remove(narrow, ['10', unchanged, unchanged]))).toThrow(/columns by which/);
  });

  test('emptied children have every record read again', () => {
    expect(run(truncate(line))).toEqual([{ name: 'orders', keys: [], truncated: 'part' }]);
  });
});

describe('tables', () => {
  test('a schema that a collection names is not taken for another one', () => {
    const elsewhere = { ...order, schema: 'archive' };
    expect(run(insert(elsewhere, ['1', 'now']))).toEqual([]);
  });

  test('a key column that is gone is said by name', () => {
    const renamed = table('thing', ['number', 'name', 'big'], ['number']);
    expect(() => run(insert(renamed, ['1', 'a', null]))).toThrow(
      /"id".*collection "things".*dropped or renamed/,
    );
  });

  test('of a table only the declared columns are taken', () => {
    const narrow = collection('narrow', { table: 'thing', key: ['id'], columns: ['id', 'name'] });
    const [found] = coalesce(
      [update(thing, null, ['1', 'b', unchanged])],
      new LogRoutes([narrow], 'source'),
      [narrow],
    );
    expect([...(found?.keys.values() ?? [])][0]?.value).toEqual({ id: '1', name: 'b' });
  });
});
