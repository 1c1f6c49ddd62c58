import { afterEach, expect, test } from 'vitest';
import { proofNote, verifyText } from '../../src/cli/verify-text.ts';
import type { Collection } from '../../src/migration/index.ts';
import type { VerifyOptions } from '../../src/verify/index.ts';
import { type AlignedRig, alignedRig } from '../support/aligned-rig.ts';

const open: AlignedRig[] = [];
afterEach(async () => {
  for (const rig of open.splice(0)) await rig.close();
});

const byJavaScript: Partial<Collection> = { identity: false, forward: (record) => ({ ...record }) };

test.each<readonly [string, string, Partial<Collection>, Partial<VerifyOptions>]>([
  [
    'by digests, because there is one text',
    'compared by digests made in the stores: each column has one text in both stores (sha256)',
    {},
    { aligned: { digests: true } },
  ],
  [
    'record by record, because of the transform',
    'compared record by record: its transform is JavaScript, which no store can run',
    byJavaScript,
    { aligned: { digests: true } },
  ],
  [
    'record by record, because digests were not wanted',
    'compared record by record: digests were not wanted',
    {},
    { aligned: { digests: false } },
  ],
  [
    'record by record, because it is a sample',
    'compared record by record: a sample is read page by page',
    {},
    { sample: 0.9, aligned: { digests: true } },
  ],
  [
    'record by record, because it is a proof by recheck',
    'compared record by record: digests of two moments would differ by what was written in between',
    {},
    { aligned: false },
  ],
])('answer and audit say that it was compared %s', async (_title, line, collection, options) => {
  const rig = await alignedRig(120, collection);
  open.push(rig);
  const report = await rig.verify(options);
  expect(report.outcome).toBe('passed');
  expect(verifyText(report).map((one) => one.trim())).toContain(line);
  expect(proofNote(report.proof)).toMatchObject({ ways: [line] });
});

test('a comparison of single keys chooses no way, and names none', async () => {
  const rig = await alignedRig(10);
  open.push(rig);
  const report = await rig.verify({ keys: [['00003']] });
  expect(verifyText(report).join()).not.toContain('record by record');
  expect(report.proof).toMatchObject({ kind: 'aligned', ways: [] });
});
