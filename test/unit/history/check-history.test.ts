import { describe, expect, test } from 'vitest';
import { checkHistory, type Operation } from '../../../src/testing/history/index.ts';
import { dialled, erase, failed, history, read, unknown, write } from './handmade.ts';

const faultsOf = (operations: readonly Operation[]) =>
  checkHistory(history(...operations)).faults.map(({ kind, operations: core }) => [
    kind,
    core.map(({ id }) => id).join(' '),
  ]);

describe('a broken history is found, with the fewest operations that show it:', () => {
  const late = { epoch: 2 };
  test.each<[string, string, string, readonly Operation[]]>([
    [
      'a lost write',
      'no order',
      'a b r6',
      [write('a', 0, 1), read('a', 2, 3), write('b', 4, 5), read('a', 6, 7), read('a', 8, 9)],
    ],
    ['a lost first write', 'no order', 'a r2', [write('a', 0, 1), read('v0', 2, 3)]],
    [
      'a read that is older than its token',
      'older than the token',
      'a b r4',
      [write('a', 0, 1), write('b', 2, 3), dialled('a', 4, 5, 'b'), dialled('a', 6, 7)],
    ],
    [
      'the record from before the token, which initially was there',
      'older than the token',
      'a r2',
      [write('a', 0, 1), dialled('v0', 2, 3, 'a')],
    ],
    [
      'an absence that is older than the token',
      'older than the token',
      'd a r4',
      [erase('d', 0, 1), write('a', 2, 3), dialled(null, 4, 5, 'a')],
    ],
    [
      'a deleted record that comes back',
      'no order',
      'a d r6',
      [write('a', 0, 1), erase('d', 2, 3), read(null, 4, 5), read('a', 6, 7)],
    ],
    [
      'a deleted record that comes back to the bearer of the token',
      'older than the token',
      'a d r4',
      [write('a', 0, 1), erase('d', 2, 3), dialled('a', 4, 5, 'd')],
    ],
    [
      'two authorities that both acknowledge: one of them is read by turns with the other',
      'no order',
      'a b r5 r6',
      [
        write('a', 0, 4),
        write('b', 1, 4, { process: 'p2' }),
        read('a', 5, 5.5, late),
        read('b', 6, 6.5, late),
        read('a', 7, 7.5, late),
      ],
    ],
    [
      'a write that the old authority acknowledged after the switch',
      'no order',
      'b a r6',
      [
        write('b', 0, 1, { ...late, process: 'p2' }),
        write('a', 2, 3),
        read('b', 6, 7, late),
        read('b', 8, 9, late),
      ],
    ],
    [
      'a value from nowhere',
      'value from nowhere',
      'r2',
      [write('a', 0, 1), dialled('x', 2, 3), dialled('a', 4, 5)],
    ],
    [
      'what its writer was told has failed',
      'value from nowhere',
      'f r4',
      [write('a', 0, 1), failed('f', 2, 3), dialled('f', 4, 5)],
    ],
    [
      'a read of what is written later',
      'value from nowhere',
      'r0 a',
      [dialled('a', 0, 1), write('a', 2, 3)],
    ],
    [
      'an unknown write that takes effect twice',
      'no order',
      'u r0.5 a r6',
      [unknown('u', 0), read('u', 0.5, 0.8), write('a', 1, 2), read('a', 4, 5), read('u', 6, 7)],
    ],
    [
      'a failed write that hides another one',
      'no order',
      'a r4',
      [write('a', 0, 1), failed('f', 2, 3), read('v0', 4, 5)],
    ],
    [
      'an unknown write that is seen and then was never made',
      'no order',
      'a u r2 r4',
      [write('a', 0, 1), unknown('u', 1.5), dialled('u', 2, 3), read('a', 4, 5)],
    ],
  ])('%s', (_name, kind, core, operations) => {
    expect(faultsOf(operations)).toEqual([[kind, core]]);
  });

  test('in words, by time', () => {
    const [fault] = checkHistory(
      history(write('a', 0, 1), write('b', 2, 3), dialled('a', 4, 5, 'b')),
    ).faults;
    expect(fault?.text.split('\n')).toEqual([
      'k: older than the token, seen at read r4',
      '  at first = v0',
      '  [0.0, 1.0] p1 write a = a: ok, epoch 1',
      '  [2.0, 3.0] p1 write b = b: ok, epoch 1',
      '  [4.0, 5.0] p2 read r4 = a: token, token of b, epoch 1',
    ]);
  });
});

describe('nothing is wrong with', () => {
  test.each<[string, readonly Operation[]]>([
    ['nothing at all', []],
    ['reads and writes in turn', [read('v0', 0, 1), write('a', 2, 3), read('a', 4, 5)]],
    [
      'writes at once, in either order',
      [write('a', 0, 10), write('b', 0, 10), read('b', 11, 12), read('b', 13, 14)],
    ],
    ['a read in the midst of a write', [write('a', 0, 10), read('v0', 1, 2), read('a', 3, 4)]],
    [
      'a deleted record that is written again',
      [erase('d', 0, 1), write('a', 2, 3), read('a', 4, 5)],
    ],
    ['a delete of what is not there', [erase('d', 0, 1), erase('e', 2, 3), read(null, 4, 5)]],
    ['an unknown write that never happens', [unknown('u', 0), read('v0', 1, 2), read('v0', 8, 9)]],
    [
      'an unknown write that happens late',
      [unknown('u', 0), write('a', 1, 2), read('a', 3, 4), read('u', 5, 6), read('u', 7, 8)],
    ],
    [
      'many unknown deletes, of which some happen',
      [
        ...Array.from(
          { length: 60 },
          (_, at) => ({ ...unknown(`u${at}`, at), value: null }) satisfies Operation,
        ),
        ...Array.from({ length: 20 }, (_, at) => write(`a${at}`, 100 + 10 * at, 101 + 10 * at)),
        ...Array.from({ length: 20 }, (_, at) => read(null, 103 + 10 * at, 104 + 10 * at)),
      ],
    ],
    [
      'a stale read without a token under the dial',
      [write('a', 0, 1), write('b', 2, 3), dialled('a', 4, 5), dialled('v0', 6, 7)],
    ],
    [
      'a read with a token that finds something newer',
      [write('a', 0, 1), write('b', 2, 3), dialled('b', 4, 5, 'a'), dialled('a', 6, 7, 'a')],
    ],
    [
      'a token of a write that another one overtook',
      [write('a', 0, 10), write('b', 1, 5), dialled('b', 11, 12, 'a'), read('b', 13, 14)],
    ],
    [
      'the old authority’s reader who cannot have heard of the switch',
      [write('a', 0, 1, { epoch: 2 }), read('v0', 2, 3, { epoch: 1 })],
    ],
    [
      'a failed write that nobody sees',
      [failed('f', 0, 1), read('v0', 2, 3), write('a', 4, 5), read('a', 6, 7)],
    ],
  ])('%s', (_name, operations) => {
    expect(faultsOf(operations)).toEqual([]);
  });
});

test('a reader of the old authority who could have heard of the switch is held to it', () => {
  const operations = [write('a', 0, 1, { epoch: 2 }), read('v0', 2, 3, { epoch: 2 })];
  expect(faultsOf(operations)).toEqual([['no order', 'a r2']]);
});

test('the follower of a fail-closed collection may be ahead; its authority may not', () => {
  const ahead = [write('a', 0, 1), failed('f', 2, 3), dialled('f', 4, 5), dialled(null, 6, 7)];
  const options = { followerApart: () => true };
  expect(checkHistory(history(...ahead), options).faults).toEqual([]);
  const served = [write('a', 0, 1), failed('f', 2, 3), read('f', 4, 5)];
  expect(checkHistory(history(...served), options).faults).toHaveLength(1);
  const stale = [write('a', 0, 1), write('b', 2, 3), dialled('a', 4, 5, 'b')];
  expect(checkHistory(history(...stale), options).faults).toHaveLength(1);
});

test('keys are judged apart, and what was asked of their reads is counted', () => {
  const { faults, keys, writes, reads } = checkHistory(
    history(
      write('a', 0, 1),
      read('a', 2, 3),
      dialled('a', 2, 3, 'a'),
      dialled('v0', 4, 5),
      write('b', 6, 7, { key: 'other' }),
      read(null, 8, 9, { key: 'other' }),
    ),
  );
  expect({ keys, writes, reads }).toEqual({
    keys: 2,
    writes: 2,
    reads: { linearizable: 2, token: 1, written: 1 },
  });
  expect(faults.map(({ key }) => key)).toEqual(['other']);
});

test('what cannot be decided is told, not passed', () => {
  const writes = Array.from({ length: 14 }, (_, at) => write(`w${at}`, 0, 100));
  const reads = writes.map(({ id }, at) => read(id, 90 - at, 110));
  const { faults } = checkHistory(history(...writes, ...reads), { configurationsMax: 1_000 });
  expect(faults.map(({ kind }) => kind)).toEqual(['undecided']);
});

test('a token of nobody ends the check', () => {
  expect(() => checkHistory(history(dialled('v0', 0, 1, 'nobody')))).toThrow(
    /token of write nobody/,
  );
});
