import { expect, test } from 'vitest';
import type { ColumnType } from '../../src/mapping/index.ts';
import { digestEncoding } from '../../src/store/index.ts';

const decimal = (precision: number, scale: number): ColumnType => ({
  kind: 'decimal',
  nullable: false,
  declared: `decimal(${precision},${scale})`,
  precision,
  scale,
});

test('decimals have no digest in which the server would cut large numbers to one and the same', () => {
  const between = (one: ColumnType, other: ColumnType) =>
    digestEncoding({ type: one, spelling: 'mysql' }, { type: other, spelling: 'mysql' });
  expect(between(decimal(10, 2), decimal(12, 4))).toEqual({ form: 'decimal', scale: 4 });
  expect(between(decimal(65, 2), decimal(65, 30))).toBeNull();
  expect(between(decimal(35, 2), decimal(65, 30))).toEqual({ form: 'decimal', scale: 30 });
});
