import { expect, test } from 'vitest';
import { judge } from '../../../bench/corruption/judge.ts';
import type { Damage } from '../../../bench/corruption/spoil-follower.ts';
import { firstLine } from '../../../src/control/index.ts';
import type { MismatchClass } from '../../../src/record/index.ts';

const damage = (key: string, of: MismatchClass): Damage => ({
  collection: 'items',
  key,
  how: of,
  class: of,
  field: null,
  image: null,
  hot: false,
});
const line = (key: string, of: MismatchClass) =>
  firstLine({
    collection: 'items',
    key,
    kind: 'different',
    class: of,
    status: 'open',
    detector: 'verify',
    differences: [],
    firstSeenMs: 0,
    lastSeenMs: 0,
    rechecks: 0,
    note: '',
  });

test('what was overlooked, invented and misnamed is told apart', () => {
  const done = [damage('1', 'collation'), damage('2', 'padding'), damage('3', 'extra')];
  const judged = judge(done, [line('1', 'collation'), line('2', 'unknown'), line('9', 'stale')]);
  expect(judged).toMatchObject({ done: 3, found: 2, rightlyNamed: 0.5 });
  expect(judged.overlooked.map(({ key }) => key)).toEqual(['3']);
  expect(judged.invented.map(({ key }) => key)).toEqual(['9']);
  expect(judged.misnamed).toMatchObject([{ called: 'unknown', damage: { key: '2' } }]);
});

test('a damage that traffic wrote over is neither overlooked nor misnamed, where traffic writes', () => {
  const hot = { hot: true };
  const gone = [
    { ...damage('1', 'padding'), ...hot },
    { ...damage('2', 'padding'), ...hot },
    damage('3', 'padding'),
  ];
  const seen = { ...damage('4', 'collation'), ...hot };
  const judged = judge(
    [...gone, seen],
    [line('2', 'unknown'), line('4', 'collation')],
    [...gone, seen],
  );
  expect(judged).toMatchObject({ done: 4, found: 1, overwritten: 2, invented: [], misnamed: [] });
  expect(judged.overlooked.map(({ key }) => key)).toEqual(['3']);
});
