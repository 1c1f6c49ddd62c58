import { expect, test } from 'vitest';
import { interleave, median, percentile } from '../../../bench/measure.ts';

test('the median of an even count is the mean of the two middle values', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([3, 1, 2])).toBe(2);
  expect(median([])).toBeNaN();
});

test('a percentile lies between its closest ranks', () => {
  expect(percentile([10, 20, 30, 40, 50], 0.9)).toBeCloseTo(46);
  expect(percentile([10, 20, 30, 40, 50], 1)).toBe(50);
  expect(percentile([10], 0.99)).toBe(10);
});

test('the two sides take turns at being first', async () => {
  const order: string[] = [];
  const side = (name: string, figure: number) => async () => {
    order.push(name);
    return figure;
  };
  const found = await interleave('a case', 'ms', 3, side('ours', 2), side('other', 4));
  expect(order).toEqual(['ours', 'other', 'other', 'ours', 'ours', 'other']);
  expect(found).toEqual({ case: 'a case', ours: 2, alternative: 4, unit: 'ms', ratio: 0.5 });
});
