import { expect, test } from 'vitest';
import type { LedgerLine } from '../../src/demo/ledger.ts';
import { judgeAuthority, versionedWrites } from '../chaos/authority-epochs.ts';

/** [op, key, begun, acknowledged, version] */
type Write = readonly [string, string, number, number, string];

function judged(...writes: readonly Write[]): readonly string[] {
  const lines = writes.flatMap(([op, id, from, to, version]): LedgerLine[] => [
    { t: 'intent', op, id, action: 'delete', after: null, at: from },
    { t: 'ack', op, token: `v1~0123456789abcdef:${version}`, at: to },
  ]);
  return judgeAuthority(versionedWrites([lines]));
}

test('writes that overlap a change of authority may be of either epoch', () => {
  expect(
    judged(['a', '1', 0, 10, '1.7'], ['b', '2', 5, 12, '2.1'], ['c', '3', 6, 20, '1.8']),
  ).toEqual([]);
});

test('a write of an older epoch that begins after one of a newer epoch had ended is a second authority', () => {
  expect(judged(['a', '1', 0, 4, '2.1'], ['b', '2', 5, 6, '1.9'])).toEqual([
    expect.stringMatching(/two authorities: write b .* epoch 1 .* write a of epoch 2/),
  ]);
});

test('versions of one key rise from write to write', () => {
  expect(judged(['a', '1', 0, 4, '1.8'], ['b', '1', 5, 6, '1.9'], ['c', '2', 7, 8, '1.2'])).toEqual(
    [],
  );
  expect(judged(['a', '1', 0, 4, '1.9'], ['b', '1', 5, 6, '1.8'])).toEqual([
    expect.stringMatching(/versions fall: customer 1 had 1\.9, and a later write got 1\.8/),
  ]);
});

test('a token that cannot be read ends the judgement', () => {
  expect(() => judged(['a', '1', 0, 4, 'nonsense'])).toThrow(/token of write a/);
});
