import { expect, test } from 'vitest';
import { defineMigration, type MigrationConfig } from '../../../src/config/index.ts';

const store = { engine: 'memory', display: 'memory', connect: async () => ({}) as never };
const withItems = (items: MigrationConfig['collections'][string]): MigrationConfig => ({
  name: 'shop',
  source: store,
  target: store,
  collections: { items },
});

test('everything for billing data and one per cent for preferences are one line each', () => {
  const { collections } = defineMigration({
    ...withItems({}),
    collections: { bills: { parity: { mode: 'sweep' } }, prefs: { parity: { mode: 'sample' } } },
  });
  expect(collections.get('bills')?.parity).toMatchObject({ mode: 'sweep', periodMinutes: 1_440 });
  expect(collections.get('prefs')?.parity).toMatchObject({ mode: 'sample', share: 0.01 });
});

test('without a word nothing is compared in the background and nothing is repaired by itself', () => {
  const items = defineMigration(withItems({})).collections.get('items');
  expect(items?.parity.mode).toBe('off');
  expect(items?.modified).toMatchObject({ source: null, target: null });
  expect(items?.repair).toMatchObject({ mode: 'propose', extras: 'keep' });
});

test.each([
  [{ parity: { mode: 'all' } }, /parity\.mode" has to be one of off, sample, sweep/],
  [{ parity: { share: 2 } }, /parity\.share" may be at most 1/],
  [{ parity: { shares: 1 } }, /shares" is not known\. Did you mean "share"/],
  [{ repair: { mode: 'auto' } }, /repair\.mode" has to be one of/],
  [{ modified: { source: '' } }, /modified\.source" may not be empty/],
])('%j is refused', (items, message) => {
  expect(() => defineMigration(withItems(items as never))).toThrow(message);
});
