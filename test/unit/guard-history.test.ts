import { expect, test } from 'vitest';
import type { VersionedWrite } from '../chaos/authority-epochs.ts';
import { type GuardSpell, judgeGuards, judgeVersions } from '../chaos/guard-history.ts';

const spell = (given: Partial<GuardSpell>): GuardSpell => ({
  ...{ side: 'source', role: 'authority', epoch: 1n, attempt: null, from: 0, to: 100 },
  ...{ firstSequence: 10n, lastSequence: 20n },
  ...given,
});
const source = spell({ attempt: 'x' });
const target = spell({ side: 'target', epoch: 2n, attempt: 'x', from: 100, to: 200 });
const write = (epoch: bigint, sequence: bigint): VersionedWrite => ({
  ...{ op: '1', id: '1', from: 0, to: 1 },
  ...{ epoch, sequence },
});

test('authority that is handed over at one moment is one authority', () => {
  expect(judgeGuards([source, target], new Set())).toEqual([]);
});

test('two guards that say authority at one moment are found, unless the undo of their attempt has said so', () => {
  const early = { ...target, from: 99 };
  expect(judgeGuards([source, early], new Set())).toHaveLength(1);
  expect(judgeGuards([source, early], new Set(['x']))).toEqual([]);
  expect(
    judgeGuards(
      [
        { ...source, attempt: null },
        { ...early, attempt: 'y' },
      ],
      new Set(['x']),
    ),
  ).toHaveLength(1);
});

test('a version is good only while its store is the authority of its epoch', () => {
  const sealed = spell({ role: 'sealed', from: 100, firstSequence: 20n, lastSequence: 25n });
  const good = [write(1n, 10n), write(1n, 20n), write(2n, 15n)];
  expect(judgeVersions([source, sealed, target], good)).toEqual([]);
  const late = judgeVersions([source, sealed, target], [write(1n, 21n)]);
  expect(late).toEqual(['write 1 was acknowledged with version 1.21, which no authority gave out']);
  expect(judgeVersions([source, sealed, target], [write(3n, 15n)])).toHaveLength(1);
  expect(judgeVersions([{ ...source, lastSequence: null }], [write(1n, 99n)])).toEqual([]);
});
