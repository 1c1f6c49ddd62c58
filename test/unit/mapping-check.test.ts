import { expect, test } from 'vitest';
import { shownFindings } from '../../src/cli/commands/check.ts';
import { mappingFindings } from '../../src/cli/mapping-check.ts';
import { mapCollection } from '../../src/config/column-mappings.ts';
import { defineMigration } from '../../src/config/index.ts';
import type { ColumnOverride, ColumnType } from '../../src/mapping/index.ts';
import type { Finding, StoreConnector, TableDescription } from '../../src/store/index.ts';

const type = (kind: ColumnType['kind'], declared: string, parts = {}): ColumnType => ({
  kind,
  declared,
  nullable: true,
  ...parts,
});
const big = type('integer', 'bigint', { bits: 64 });

const nowhere = (engine: string): StoreConnector => ({
  engine,
  display: engine,
  connect: () => Promise.reject(new Error('no')),
});

function findings(
  mysql: Readonly<Record<string, ColumnType>>,
  postgres: Readonly<Record<string, ColumnType>>,
  columns: Readonly<Record<string, ColumnOverride>> = {},
  transforms = {},
): readonly Finding[] {
  const table = (types: Readonly<Record<string, ColumnType>>): readonly TableDescription[] => [
    {
      schema: 's',
      name: 'things',
      visible: true,
      columns: Object.keys(types),
      types,
      primaryKey: ['id'],
      foreignKeys: [],
      estimatedRows: 0,
    },
  ];
  const shape = { table: 'things', key: ['id'] };
  const { collections } = defineMigration({
    name: 'm',
    source: nowhere('mysql'),
    target: nowhere('postgres'),
    collections: { things: { source: shape, target: shape, columns, ...transforms } },
  });
  const draft = collections.get('things');
  if (draft === undefined) throw new Error('no draft');
  const mapping = mapCollection(draft, {
    shapes: { source: shape, target: shape },
    tables: { source: table(mysql), target: table(postgres) },
    spellings: { source: 'mysql', target: 'postgres' },
  });
  if (mapping === null) throw new Error('no mapping');
  return mappingFindings(mapping);
}

const brief = (found: readonly Finding[]): readonly string[] =>
  found.map(({ id, verdict, message }) => `${verdict} ${id}: ${message}`);

test('columns that go over exactly are one line', () => {
  expect(brief(findings({ id: big, n: big }, { id: big, n: big }))).toEqual([
    'pass mapping/exact: "things": 2 columns go over exactly, both ways.',
  ]);
});

test('what is lost and what is refused is told by reason, with its columns and what to do', () => {
  const date = type('date', 'date');
  const found = findings(
    { id: big, a: date, b: date, c: type('date-time', 'datetime', { fraction: 0 }) },
    { id: big, a: date, b: date, c: type('instant', 'timestamp with time zone', { fraction: 6 }) },
  );
  expect(brief(found)).toContain(
    'warn mapping/refuses: "things", source → target: refused (dead letters) are zero dates (0000-00-00): a (date → date), b (date → date), c (datetime → timestamp with time zone).',
  );
  const zone = found.find(({ message }) => message.includes('the zone'));
  expect(zone).toMatchObject({ id: 'mapping/loses', verdict: 'warn' });
  expect(zone?.fix).toContain('"offset"');
  expect(brief(found).some((line) => line.startsWith('pass') && line.includes('infinity'))).toBe(
    true,
  );
  expect(found.find(({ message }) => message.includes('digits of the second'))?.fix).toContain(
    'round',
  );
});

test('an option that settles a column is heard', () => {
  const date = type('date', 'date');
  const [found] = findings({ id: big, a: date }, { id: big, a: date }, { a: { zeroDate: 'null' } });
  expect(found).toMatchObject({
    id: 'mapping/loses',
    message: expect.stringContaining('become NULL'),
  });
});

test('kinds without mapping, missing columns and keys with two texts fail', () => {
  const found = findings(
    {
      id: type('bytes', 'binary(16)', { length: 16, padded: true }),
      a: type('bytes', 'blob'),
      b: big,
    },
    { id: type('uuid', 'uuid'), a: type('boolean', 'boolean') },
  );
  const failed = found.filter(({ verdict }) => verdict === 'fail').map(({ id }) => id);
  expect(failed.sort()).toEqual([
    'mapping/column-missing',
    'mapping/key',
    'mapping/none',
    'mapping/none',
  ]);
});

test('with a transform nothing fails: what it makes of the values only it knows', () => {
  const transforms = { forward: (record: object) => record, backward: (record: object) => record };
  const found = findings(
    { id: big, a: type('bytes', 'blob'), b: big },
    { id: big, a: type('boolean', 'boolean') },
    {},
    transforms,
  );
  expect(found.filter(({ verdict }) => verdict === 'fail')).toEqual([]);
});

test('a key that ignores case on one side only is told', () => {
  const found = findings(
    { id: type('text', 'varchar(20)', { length: 20, folds: true }) },
    { id: type('text', 'character varying(20)', { length: 20, folds: false }) },
  );
  expect(found.map(({ id }) => id)).toContain('mapping/key-collation');
});

test('check shows what fails first, three warnings of a kind, and every one of what is changed without a word', () => {
  const times = (count: number, id: string, verdict: 'warn' | 'fail' | 'pass' | 'unknown') =>
    Array.from({ length: count }, () => ({ id, verdict }));
  const findings = [
    ...times(5, 'mapping/refuses', 'warn'),
    ...times(5, 'mapping/loses', 'warn'),
    ...times(2, 'mapping/exact', 'pass'),
    ...times(1, 'mysql/log', 'unknown'),
    ...times(5, 'mapping/none', 'fail'),
  ];
  const { shown, hidden } = shownFindings(findings, false);
  expect(shown.map(({ id }) => id)).toEqual(
    [
      ...times(5, 'mapping/none', 'fail'),
      ...times(1, 'mysql/log', 'unknown'),
      ...times(3, 'mapping/refuses', 'warn'),
      ...times(5, 'mapping/loses', 'warn'),
    ].map(({ id }) => id),
  );
  expect([...hidden]).toEqual([['mapping/refuses', 2]]);
  const everything = shownFindings(findings, true);
  expect([everything.shown.length, everything.hidden.size]).toEqual([16, 0]);
});
