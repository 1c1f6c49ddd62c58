import { expect, test } from 'vitest';
import { RecheckQueue } from '../../src/verify/index.ts';

test('keys come out by the time of their next try, each only once', () => {
  const queue = new RecheckQueue<null>();
  const times = [5, 3, 9, 1, 7, 2, 8];
  for (const at of times) queue.suspect([`k${at}`], null, at);
  expect(queue.suspect(['k9'], null, 0)).toBe(false);
  const order = queue.take(7, 100).map(({ key }) => key[0]);
  expect(order).toEqual(['k1', 'k2', 'k3', 'k5', 'k7']);
  expect(queue.nextAt()).toBe(8);
  expect(queue.size).toBe(7);
});

test('a key that is suspected again while it is looked at is looked at once more', () => {
  const queue = new RecheckQueue<null>();
  queue.suspect(['k'], null, 0);
  const [entry] = queue.take(0, 1);
  queue.suspect(['k'], null, 0);
  expect(queue.settle(entry!, 10)).toBe(false);
  const [second] = queue.take(10, 1);
  expect(second).toMatchObject({ tries: 0, count: 1 });
  expect(queue.settle(second!, 10)).toBe(true);
  expect(queue.size).toBe(0);
});

test('suspicions that were counted before a look are settled by it', () => {
  const queue = new RecheckQueue<null>();
  queue.suspect(['k'], null, 0);
  queue.suspect(['k'], null, 0);
  const [entry] = queue.take(0, 1);
  queue.again(entry!, null, 5);
  const [later] = queue.take(5, 1);
  expect(later).toMatchObject({ tries: 1, count: 2 });
  expect(queue.settle(later!, 5)).toBe(true);
});
