import { expect, test } from 'vitest';
import type { CatalogColumn } from '../../src/adapters/mysql/mysql-catalog.ts';
import { rangeHolds } from '../../src/adapters/mysql/mysql-chunk-range.ts';

const column = (type: object, noPad = false): CatalogColumn =>
  ({ name: 'id', quoted: '`id`', noPad, type }) as unknown as CatalogColumn;
const range = { after: ['abb'], until: ['abc'] };
const text = { kind: 'text', folds: false };

test.each([
  ['blanks behind the last key', column(text), 'abc ', true],
  ['the last key of a column that tells blanks apart', column(text, true), 'abc ', false],
  ['blanks behind the key before the first', column(text), 'abb  ', false],
  ['what folds lies everywhere', column({ ...text, folds: true }), 'XYZ', true],
  ['within', column(text), 'abbb', true],
  ['behind', column(text), 'abd', false],
] as const)('%s', (_, one, key, held) => {
  expect(rangeHolds([one], range, [key])).toBe(held);
});

test('numbers are compared as numbers', () => {
  const number = column({ kind: 'integer' }, true);
  expect(rangeHolds([number], { after: ['9'], until: ['11'] }, ['10'])).toBe(true);
  expect(rangeHolds([number], { after: ['9'], until: ['11'] }, ['100'])).toBe(false);
});
