import { afterEach, describe, expect, test } from 'vitest';
import { clockFindings } from '../../src/cli/clock-check.ts';
import { columnFit } from '../../src/cli/column-fit-check.ts';
import { limitFindings } from '../../src/cli/limits-check.ts';
import { mappingFindings } from '../../src/cli/mapping-check.ts';
import { sampledRecords } from '../../src/cli/record-sample.ts';
import { spaceFindings } from '../../src/cli/space-check.ts';
import { checkTransforms } from '../../src/cli/transform-check.ts';
import { defineMigration } from '../../src/config/index.ts';
import { type ColumnOverride, type ColumnType, mapColumn } from '../../src/mapping/index.ts';
import type { Collection } from '../../src/migration/index.ts';
import { type Clock, seededRandom, systemClock } from '../../src/runtime/index.ts';
import type { Finding, StoreConnector, TableLimits } from '../../src/store/index.ts';
import { itemsCollection, memoryFixture, seed } from '../support/engine-fixture.ts';

const told = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ verdict, id }) => `${verdict} ${id}`);
const table = (parts: Partial<TableLimits> = {}): TableLimits => ({
  field: null,
  table: 'items',
  notNull: [],
  unique: [],
  checks: [],
  bytes: null,
  ...parts,
});

describe('records that are tried', () => {
  const opened: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
  });
  const fixture = async (collection: Collection, rows: number) => {
    const made = await memoryFixture(collection);
    opened.push(made);
    await seed(made.foreign.source.put, rows);
    return made;
  };
  const names = async (
    { context }: Awaited<ReturnType<typeof fixture>>,
    chance: number,
    exact = false,
  ): Promise<readonly unknown[]> => {
    const found: unknown[] = [];
    const options = { random: seededRandom(chance), exact };
    for await (const page of sampledRecords(context.stores.source.records, 'items', options))
      found.push(...page.map(({ name }) => name));
    return found;
  };

  test('come from random places, all of them from a small collection, and all on demand', async () => {
    const large = await fixture(itemsCollection(), 2_500);
    const [once, again] = [await names(large, 1), await names(large, 2)];
    expect(once.length).toBeGreaterThan(50);
    expect(once.length).toBeLessThanOrEqual(100);
    const numbers = once.map((name) => Number(String(name).slice(5)));
    expect(Math.max(...numbers)).toBeGreaterThan(1_500);
    expect(Math.min(...numbers)).toBeLessThan(1_000);
    expect(again).not.toEqual(once);
    expect(new Set(await names(large, 1, true)).size).toBe(2_500);
    expect(await names(await fixture(itemsCollection(), 7), 1)).toHaveLength(7);
  });

  test('NULL where the target takes none is counted, after the transform and without one', async () => {
    const collection = itemsCollection({
      identity: false,
      forward: (record) => ({ ...record, name: String(record['name']).endsWith('3') ? null : 'x' }),
    });
    const { context } = await fixture(collection, 20);
    const limits = [table({ notNull: ['id', 'name'] })];
    const options = { random: seededRandom(1), exact: false, limits };
    const found = await checkTransforms(collection, context.stores, options);
    expect(told(found)).toEqual(['warn transform/items', 'fail fit/null']);
    expect(found[1]?.message).toContain('2 of the 20 records');
    const plain = await fixture(itemsCollection(), 3);
    await plain.foreign.source.put(['z'], { id: 'z', name: null });
    const exact = await checkTransforms(itemsCollection(), plain.context.stores, {
      ...options,
      exact: true,
    });
    expect(told(exact)).toEqual(['pass transform/items', 'fail fit/null']);
    expect(exact[1]?.message).toContain('1 of all 4 records');
    const fits = { ...options, limits: [table({ notNull: ['id'] })] };
    expect(told(await checkTransforms(itemsCollection(), plain.context.stores, fits))).toEqual([
      'pass transform/items',
    ]);
  });

  test('values that an unconverted column of the target cannot hold are counted', async () => {
    const { context } = await fixture(itemsCollection(), 12);
    const stored = { declared: 'x', nullable: true, kind: 'text', spelling: 'postgres' } as const;
    const narrow = { ...stored, length: 6 };
    const place = { field: 'name', child: null, column: 'name', key: false } as const;
    const maps = { forward: mapColumn(stored, narrow), backward: mapColumn(narrow, stored) };
    const unconverted = [{ ...place, from: stored, to: narrow, ...maps }];
    const options = { random: seededRandom(1), exact: false, limits: [], unconverted };
    const found = await checkTransforms(itemsCollection(), context.stores, options);
    expect(told(found)).toEqual(['pass transform/items', 'fail fit/value']);
    expect(found[1]?.message).toContain('3 of the 12 records that were tried hold a value in name');
  });

  test('a transform that throws is told with what it was tried on', async () => {
    const collection = itemsCollection({
      identity: false,
      forward: () => {
        throw new Error('no');
      },
    });
    const { context } = await fixture(collection, 3);
    const options = { random: seededRandom(1), exact: false, limits: [] };
    const [found] = await checkTransforms(collection, context.stores, options);
    expect(found).toMatchObject({ id: 'transform/items', verdict: 'fail' });
    expect(found?.message).toMatch(/forward transform of "items".*first records/);
  });
});

describe('tables of both sides', () => {
  const index = (...columns: readonly string[]) => ({ name: columns.join('_'), columns });

  test('what is unique or conditioned in the target alone is told with the query that looks', () => {
    const target = table({
      table: 'there',
      unique: [index('email'), index('id', 'name'), index('tax')],
      checks: [
        { name: 'a', condition: '((price > (0)::numeric))' },
        { name: 'b', condition: 'length(name) < 9' },
      ],
    });
    const source = table({
      unique: [index('tax')],
      checks: [{ name: 'c', condition: '`price` > 0' }],
    });
    const found = limitFindings(itemsCollection(), [source], [target]);
    expect(told(found)).toEqual(['warn fit/unique', 'warn fit/check']);
    expect(found[0]?.fix).toContain('SELECT email FROM items GROUP BY email');
    expect(found[1]?.fix).toContain('WHERE NOT (length(name) < 9)');
    const logged = limitFindings(itemsCollection({ capture: 'log' }), [target], [target]);
    expect(told(logged)).toEqual(['pass fit/swap']);
    const own = itemsCollection({ identity: false });
    expect(limitFindings(own, [source], [target])).toEqual([]);
  });

  const type = (kind: ColumnType['kind'], declared: string, more = {}): ColumnType => ({
    kind,
    declared,
    nullable: false,
    ...more,
  });
  const connector = (engine: string): StoreConnector => ({
    engine,
    display: engine,
    connect: () => Promise.reject(new Error('no')),
  });
  const fitOf = (
    source: Readonly<Record<string, ColumnType>>,
    target: Readonly<Record<string, ColumnType>>,
    more: {
      readonly engine?: string;
      readonly columns?: Readonly<Record<string, ColumnOverride>>;
    } = {},
  ): readonly Finding[] | null => {
    const described = (types: Readonly<Record<string, ColumnType>>) => [
      {
        schema: 'public',
        name: 'items',
        visible: true,
        columns: Object.keys(types),
        types,
        primaryKey: ['id'],
        foreignKeys: [],
        estimatedRows: 1,
      },
    ];
    const definition = defineMigration({
      name: 'fit',
      source: connector('postgres'),
      target: connector(more.engine ?? 'postgres'),
      collections: { items: { ...(more.columns ? { columns: more.columns } : {}) } },
    });
    const tables = { source: described(source), target: described(target) };
    const mapping = columnFit(definition, itemsCollection(), tables);
    return mapping === null ? null : mappingFindings(mapping);
  };
  const id = type('integer', 'bigint', { bits: 64 });

  test('between stores of one engine, columns that differ are told, and equal ones are not', () => {
    const same = { id, name: type('text', 'text', { nullable: true }) };
    expect(fitOf(same, same)).toMatchObject([{ verdict: 'pass', id: 'mapping/exact' }]);
    const found = fitOf(same, { id, name: type('text', 'varchar(9)', { length: 9 }) }) ?? [];
    expect(told(found)).toEqual(['warn mapping/refuses', 'warn mapping/refuses']);
    expect(found.map(({ message }) => message).join()).toMatch(
      /NULL.*name \(text → varchar\(9\)\)/,
    );
    expect(told(fitOf(same, { id }) ?? [])).toEqual(['fail mapping/column-missing']);
  });

  test('what a mapping tells already is not told again', () => {
    expect(fitOf({ id }, { id }, { engine: 'mysql' })).toBeNull();
    expect(fitOf({ id }, { id }, { columns: { id: { convert: false } } })).toBeNull();
  });
});

describe('clocks', () => {
  /** A clock by which each reading takes `tripMs`. */
  const taking = (tripMs: number) => {
    let ms = 0;
    const clock: Clock = { ...systemClock, now: () => 1_000_000 + ms, monotonic: () => ms };
    const reading = (aheadMs: number) => async (): Promise<number> => {
      ms += tripMs / 2;
      const there = clock.now() + aheadMs;
      ms += tripMs / 2;
      return there;
    };
    return { clock, reading };
  };

  test('that differ by more than the doubt and a second are told, each pair of them', async () => {
    const { clock, reading } = taking(100);
    const found = await clockFindings(clock, { source: reading(3_000), target: reading(-10) });
    expect(found.map(({ message }) => message.slice(0, 60))).toEqual([
      expect.stringMatching(/^The clock of the source differs from this host's by \+3 s/),
      expect.stringMatching(/^The clock of the source differs from that of the target/),
    ]);
  });

  test('that a slow answer makes doubtful are not accused', async () => {
    const { clock, reading } = taking(5_000);
    const found = await clockFindings(clock, { source: reading(3_000) });
    expect(told(found)).toEqual(['pass clock/skew']);
  });

  test('that cannot be read are a warning, and the others are compared all the same', async () => {
    const { clock, reading } = taking(1);
    const away = () => Promise.reject(new Error('gone'));
    const found = await clockFindings(clock, { source: away, target: reading(9_000) });
    expect(told(found)).toEqual(['warn clock/unread', 'warn clock/skew']);
  });
});

describe('room', () => {
  const facts = { sourceBytes: 1_000_000, targetBytes: 0, source: null, logged: false };
  const target = (freeBytes: number | null) => ({
    freeBytes,
    unread: freeBytes === null ? 'it is shy' : '',
    logBytesPerHour: null,
  });

  test.each([
    [null, 'pass', /not known: it is shy/],
    [5_000_000, 'pass', /5\.0 MB are free/],
    [1_500_000, 'warn', /1\.0 MB are still to come/],
    [500_000, 'fail', /500\.0 kB are free/],
  ] as const)('of %s bytes for 1 MB is a %s', (free, verdict, message) => {
    const found = spaceFindings({ ...facts, target: target(free) });
    expect(found).toMatchObject([{ id: 'space/target', verdict }]);
    expect(found[0]?.message).toMatch(message);
  });

  test('what is copied already needs none, and nothing is guessed', () => {
    const copied = spaceFindings({ ...facts, targetBytes: 1_000_000, target: target(9) });
    expect(told(copied)).toEqual(['pass space/target']);
    expect(spaceFindings({ ...facts, sourceBytes: null, target: target(9) })).toEqual([]);
  });

  test('the log of a weekend counts where something is captured from it', () => {
    const source = { freeBytes: 1_000_000, unread: '', logBytesPerHour: 100_000 };
    const of = (logged: boolean) =>
      told(spaceFindings({ ...facts, sourceBytes: null, source, target: null, logged }));
    expect(of(true)).toEqual(['warn space/log']);
    expect(of(false)).toEqual([]);
  });
});
