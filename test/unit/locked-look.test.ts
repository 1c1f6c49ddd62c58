import { describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { createRouter } from '../../src/router/index.ts';
import type { RecordStore, Reread } from '../../src/store/index.ts';
import {
  type Opened,
  openOf,
  quick,
  type VerifyFixture,
  verify,
  verifyFixtures,
} from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();
const hot = { ...quick, hotTriesMax: 3 };

/** The fixture with an authority whose keys are written at each re-read; `holds`: it can lock one of them. */
function restless(fixture: VerifyFixture, holds = true): Opened & { readonly held: string[] } {
  const { source } = fixture.context.stores;
  const held: string[] = [];
  const { holdKey, ...rest } = source.records;
  const records: RecordStore = {
    ...rest,
    reread: async (...given) =>
      (await source.records.reread(...given)).map(
        (answer): Reread => ({ ...answer, state: 'busy', record: null }),
      ),
    ...(holds && holdKey
      ? {
          holdKey: (collection, key, ...more) => {
            held.push(key[0] as string);
            return holdKey(collection, key, ...more);
          },
        }
      : {}),
  };
  const stores = { ...fixture.context.stores, source: { ...source, records } };
  const context: MigrationContext = { ...fixture.context, stores };
  return { context, state: fixture.state, held };
}

describe('a key that never stands still', () => {
  test('is decided under its lock: different for good, or equal', async () => {
    const fixture = await fixtureWith(20);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    const seen = restless(fixture);
    const report = await verify(seen, { recheck: hot });
    expect(report).toMatchObject({ unresolved: 0, hot: 1, persistent: { different: 1 } });
    expect(seen.held).toEqual(['000003']);
    expect(await openOf(fixture)).toMatchObject([{ key: '["000003"]' }]);
  });

  test('stays in doubt where the store cannot hold a key', async () => {
    const fixture = await fixtureWith(20);
    await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
    const report = await verify(restless(fixture, false), { recheck: hot });
    expect(report).toMatchObject({ unresolved: 1, persistent: { different: 0 } });
  });

  test('is not called different for a change that is on its way: it waits for that under the lock', async () => {
    const fixture = await fixtureWith(20);
    // Behind by a change that another process brings while the key is held.
    const { journalId } = await fixture.context.stores.source.records.write({
      collection: 'items',
      key: ['000003'],
      action: 'put',
      record: { id: '000003', name: 'newer' },
      epoch: 1,
      journal: 'change',
      graceMs: 60_000,
      timeoutMs: 1_000,
    });
    const seen = restless(fixture);
    setTimeout(async () => {
      await fixture.foreign.target.put(['000003'], { id: '000003', name: 'newer' });
      await fixture.context.stores.source.queue.complete([journalId as bigint]);
    }, 60);
    const report = await verify(seen, { recheck: hot });
    expect(report).toMatchObject({ unresolved: 0, transient: 1, persistent: { different: 0 } });
  });

  test('lets its writers wait, and no others', async () => {
    const fixture = await fixtureWith(5);
    const router = await createRouter(fixture.context);
    const { records } = fixture.context.stores.source;
    const order: string[] = [];
    const limits = { waitMs: 500, holdMs: 500 };
    await records.holdKey?.('items', ['000001'], 1, limits, async () => {
      const waiting = router
        .collection('items')
        .put({ id: '000001', name: 'later' })
        .then(() => order.push('same key'));
      await router.collection('items').put({ id: '000002', name: 'other' });
      order.push('other key');
      await new Promise((resolve) => setTimeout(resolve, 30));
      order.push('held');
      void waiting;
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(order).toEqual(['other key', 'held', 'same key']);
    await router.close();
  });
});
