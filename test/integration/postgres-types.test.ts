import { beforeAll, expect, test } from 'vitest';
import { describePostgresTables } from '../../src/adapters/postgres/postgres-describe.ts';
import type { ColumnType } from '../../src/mapping/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';

const databases = withDatabases(1);

const types: readonly (readonly [sql: string, expected: Partial<ColumnType>])[] = [
  ['int2', { kind: 'integer', bits: 16, declared: 'smallint' }],
  ['int4', { kind: 'integer', bits: 32 }],
  ['bigserial', { kind: 'integer', bits: 64, nullable: false }],
  ['oid', { kind: 'integer', bits: 32, unsigned: true }],
  ['bool', { kind: 'boolean' }],
  ['numeric(12,2)', { kind: 'decimal', precision: 12, scale: 2 }],
  ['numeric(6)', { kind: 'decimal', precision: 6, scale: 0 }],
  ['real', { kind: 'float', bits: 32 }],
  ['double precision', { kind: 'float', bits: 64 }],
  ['text', { kind: 'text', charset: 'utf8', folds: false }],
  ['varchar(20)', { kind: 'text', length: 20 }],
  ['char(3)', { kind: 'text', length: 3, padded: true }],
  ['name', { kind: 'text', length: 63 }],
  ['text COLLATE folding', { kind: 'text', folds: true }],
  ['bytea', { kind: 'bytes' }],
  ['bit(12)', { kind: 'bits', bits: 12 }],
  ['varbit(5)', { kind: 'bits', length: 5 }],
  ['date', { kind: 'date' }],
  ['time', { kind: 'time', fraction: 6 }],
  ['time(2)', { kind: 'time', fraction: 2 }],
  ['timestamp', { kind: 'date-time', fraction: 6 }],
  ['timestamp(0)', { kind: 'date-time', fraction: 0 }],
  ['timestamptz(3)', { kind: 'instant', fraction: 3, declared: 'timestamp(3) with time zone' }],
  ['interval', { kind: 'interval', fraction: 6 }],
  ['interval(2)', { kind: 'interval', fraction: 2 }],
  ['interval day to second(3)', { kind: 'interval', fraction: 3 }],
  ['uuid', { kind: 'uuid' }],
  ['json', { kind: 'json', declared: 'json' }],
  ['jsonb', { kind: 'json', declared: 'jsonb' }],
  ['mood', { kind: 'label', labels: ['so-so', 'gut'] }],
  ['mood[]', { kind: 'label-set', labels: ['so-so', 'gut'] }],
  ['text[]', { kind: 'label-set' }],
  ['int4[]', { kind: 'other' }],
  ['timetz', { kind: 'other' }],
  ['money', { kind: 'other' }],
  ['inet', { kind: 'other' }],
  ['price', { kind: 'decimal', precision: 8, scale: 3, declared: 'price' }],
  ['sure_price', { kind: 'decimal', precision: 8, scale: 3, nullable: false }],
  ['int4 NOT NULL', { kind: 'integer', nullable: false }],
  ['numeric', { kind: 'decimal', nullable: true }],
];

let described: Readonly<Record<string, ColumnType>>;

beforeAll(async () => {
  const columns = types.map(([sql], index) => `c${index} ${sql}`).join(', ');
  await databases.query(
    0,
    `CREATE TYPE mood AS ENUM ('so-so', 'gut');
     CREATE DOMAIN price AS numeric(8,3);
     CREATE DOMAIN sure_price AS price NOT NULL;
     CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
     CREATE TABLE every (${columns}, made int GENERATED ALWAYS AS (1) STORED);`,
  );
  const tables = await describePostgresTables({ url: databases.url(0) }, systemRuntime, {
    types: true,
  });
  described = tables.find(({ name }) => name === 'every')?.types ?? {};
});

test('each type of PostgreSQL is described in the words that engines share', () => {
  const found = types.map(([sql], index) => [sql, described[`c${index}`]]);
  expect(found).toEqual(types.map(([sql, expected]) => [sql, expect.objectContaining(expected)]));
});

test('a number without bounds has no precision, and generated columns are left out', () => {
  expect(described[`c${types.length - 1}`]).toEqual({
    kind: 'decimal',
    declared: 'numeric',
    nullable: true,
  });
  expect(Object.keys(described)).toHaveLength(types.length);
});
