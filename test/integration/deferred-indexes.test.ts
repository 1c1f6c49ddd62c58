import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BackfillOptions, queueAgeCheck, runBackfill } from '../../src/backfill/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import type { Collection } from '../../src/migration/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { withDatabases } from '../support/databases.ts';
import {
  indexFacts,
  parcels,
  parcelsDdl,
  parcelsSeed,
  parcelsUnique,
} from '../support/deferred-fixture.ts';
import type { EngineFixture } from '../support/engine-fixture.ts';
import { postgresFixture } from '../support/postgres-fixture.ts';

const never = new AbortController().signal;
const small = { chunkRowsInitial: 200, chunkRowsMax: 400, concurrency: 2 } as const;
const context = { epoch: 1, timeoutMs: 10_000 } as const;

describe('indexes of an empty target that are down for the copy', () => {
  const databases = withDatabases(2, { scope: 'test' });
  let fixture: EngineFixture;
  let before: readonly object[];

  beforeEach(async () => {
    await databases.query(0, parcelsDdl.source);
    await databases.query(0, parcelsSeed(3_000));
    await databases.query(1, parcelsDdl.target);
    before = await facts();
  });
  afterEach(() => fixture?.close());

  const urls = () => ({ source: databases.url(0), target: databases.url(1) });
  const open = async (collection: Collection): Promise<void> => {
    fixture = await postgresFixture(urls(), collection);
  };
  const facts = (): Promise<object[]> => databases.query(1, indexFacts);
  const names = async (): Promise<string[]> =>
    (await databases.query<{ relname: string }>(1, indexFacts)).map(({ relname }) => relname);
  const same = async (): Promise<void> => {
    const rows = (side: number) =>
      databases.query(side, 'SELECT p::text AS row FROM parcels p ORDER BY id');
    expect(await rows(1)).toEqual(await rows(0));
  };
  const drain = () =>
    drainUntilEmpty(fixture.context, fixture.state(), applierDefaults, 20_000, never);
  /** The names of the indexes that are there in the middle of the copy. */
  const backfill = async (options: Partial<BackfillOptions>) => {
    let middle: Promise<string[]> | undefined;
    const result = await runBackfill(
      fixture.context,
      'parcels',
      {
        currentState: fixture.state,
        ...small,
        ...options,
        onProgress: () => {
          middle ??= names();
        },
      },
      never,
    );
    return { ...result, middle: await middle };
  };
  const deferred = () =>
    databases.query(1, 'SELECT name FROM changeover_fixture_target.deferred ORDER BY name');

  describe.each(['bytes', 'transformed'] as const)('%s', (path) => {
    test('secondary ones are gone during the copy and as they were behind it, unique ones stay', async () => {
      await databases.query(1, parcelsUnique);
      before = await facts();
      await open(parcels(path));
      const { middle, ...result } = await backfill({ deferIndexes: 'secondary' });
      expect(result).toMatchObject({ outcome: 'finished', rowsInserted: 3_000 });
      expect(middle).toEqual(['one_code', "parcels' key", 'place_code']);
      expect(await facts()).toEqual(before);
      expect(await deferred()).toEqual([]);
      await same();
    });

    test('with the key down changes wait, and all is equal once it is back', async () => {
      await open(parcels(path));
      // Before the first write: a target that holds something keeps its key.
      await fixture.context.stores.target.setup.deferIndexes?.('parcels', 'all');
      const router = await createRouter(fixture.context, { graceMs: 100 });
      const handle = router.collection('parcels');
      const failures: unknown[] = [];
      let done = false;
      let writes = 0;
      const writer = async (): Promise<void> => {
        for (let turn = 0; !done; turn++) {
          const id = String(1 + ((turn * 131) % 3_300));
          try {
            if (turn % 3 === 0) await handle.delete([id]);
            else await handle.put({ id, code: `L${id}`, place: `live ${turn}`, weight: '7' });
            writes += 1;
          } catch (error) {
            failures.push(error);
          }
        }
      };
      const writing = writer();
      const { middle, ...result } = await backfill({ deferIndexes: 'all', chunkRowsMax: 50 });
      done = true;
      await writing;
      expect(result.outcome).toBe('finished');
      expect(await facts()).toEqual(before);
      await router.settle(5_000);
      await router.close();
      expect(await drain()).toMatchObject({ waiting: 0, dead: 0 });
      expect(failures).toEqual([]);
      expect(writes).toBeGreaterThan(10);
      expect(middle).toEqual([]);
      await same();
    });
  });

  test('a put is refused as "try again" while the key is down, and enters when it is back', async () => {
    await open(parcels('bytes'));
    const { door, setup } = fixture.context.stores.target;
    expect(await setup.deferIndexes?.('parcels', 'all')).toEqual({ indexes: 5, key: true });
    expect(await names()).toEqual([]);
    const change = {
      collection: 'parcels',
      key: ['1'],
      value: { id: '1', code: 'x', place: null, weight: '1' },
      version: { epoch: 1, sequence: 5n },
      origin: 'live',
    } as const;
    await expect(door.apply([change], context)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      disposition: 'retry',
    });
    // Another process that begins now finds its way, too.
    const other = await postgresFixture(urls(), parcels('bytes'), { joins: true });
    const late = other.context.stores.target;
    await expect(late.door.apply([change], context)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    expect(await late.records.scan('parcels', { after: null, until: null }, 5)).toEqual([]);
    await Promise.all([setup.restoreIndexes?.('parcels'), late.setup.restoreIndexes?.('parcels')]);
    await other.close();
    expect(await facts()).toEqual(before);
    expect(await door.apply([change], context)).toEqual(['applied']);
  });

  test('rows of a chunk that was written twice are thinned out before the key comes back', async () => {
    await open(parcels('transformed'));
    const { door, setup } = fixture.context.stores.target;
    await setup.deferIndexes?.('parcels', 'all');
    const range = { after: null, until: ['2'] };
    for (const chunk of [1, 2]) {
      const ticket = await door.beginChunk('parcels', chunk, range, 'test');
      const records = ['1', '2'].map((id) => ({
        key: [id],
        record: { id, code: `c${chunk}`, place: null, weight: '1' },
      }));
      expect(await door.writeChunk(ticket, records, context)).toEqual({ inserted: 2 });
    }
    expect(await databases.query(1, 'SELECT id FROM parcels')).toHaveLength(4);
    await setup.restoreIndexes?.('parcels');
    expect(await databases.query(1, 'SELECT id, code FROM parcels ORDER BY id')).toEqual([
      { id: '1', code: 'c2' },
      { id: '2', code: 'c2' },
    ]);
    expect(await facts()).toEqual(before);
  });

  test('a delete that enters while the key is down is not undone by a chunk that read before it', async () => {
    await open(parcels('transformed'));
    const { door, setup } = fixture.context.stores.target;
    await setup.deferIndexes?.('parcels', 'all');
    const ticket = await door.beginChunk('parcels', 1, { after: null, until: ['2'] }, 'test');
    const gone = {
      collection: 'parcels',
      key: ['1'],
      value: null,
      version: { epoch: 1, sequence: 5n },
      origin: 'live',
    } as const;
    expect(await door.apply([gone], context)).toEqual(['applied']);
    const records = ['1', '2'].map((id) => ({
      key: [id],
      record: { id, code: `c${id}`, place: null, weight: '1' },
    }));
    expect(await door.writeChunk(ticket, records, context)).toEqual({ inserted: 1 });
    await setup.restoreIndexes?.('parcels');
    expect(await databases.query(1, 'SELECT id FROM parcels')).toEqual([{ id: '2' }]);
  });

  test('a row that another unique index refuses is found and goes to the queue', async () => {
    await databases.query(1, parcelsUnique);
    before = await facts();
    await databases.query(0, "UPDATE parcels SET code = 'P1' WHERE id IN (1500, 2500)");
    await open(parcels('bytes'));
    const { middle: _, ...result } = await backfill({ deferIndexes: 'all' });
    expect(result).toMatchObject({ outcome: 'finished', rowsInserted: 2_998 });
    expect(await facts()).toEqual(before);
    expect(await fixture.context.stores.source.queue.depth()).toMatchObject({ waiting: 2 });
  });

  test('the age of waiting changes does not hold a copy that makes them wait', async () => {
    await open(parcels('bytes'));
    const { queue } = fixture.context.stores.source;
    await queue.enqueue([{ collection: 'parcels', key: ['5'], kind: 'change', graceMs: 0 }]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const checks = [queueAgeCheck('queue age', queue, 1)];
    const { middle, ...result } = await backfill({ deferIndexes: 'all', checks });
    expect(result).toMatchObject({ outcome: 'finished', rowsInserted: 3_000 });
    expect(middle).toEqual([]);
  });

  test('a target that holds a row, or a fence of a deleted one, keeps its indexes', async () => {
    await databases.query(1, "INSERT INTO parcels VALUES (9999, 'own', NULL, 1)");
    await open(parcels('bytes'));
    const { setup, door } = fixture.context.stores.target;
    expect(await setup.deferIndexes?.('parcels', 'all')).toEqual({ indexes: 0, key: false });
    await databases.query(1, 'DELETE FROM parcels');
    const version = { epoch: 1, sequence: 5n };
    await door.apply(
      [
        {
          collection: 'parcels',
          key: ['1'],
          value: null,
          version,
          origin: 'live',
        },
      ],
      context,
    );
    expect(await setup.deferIndexes?.('parcels', 'all')).toEqual({ indexes: 0, key: false });
    expect(await facts()).toEqual(before);
  });

  test('a key that a foreign key or a view needs stays, and the others go', async () => {
    await databases.query(1, 'CREATE TABLE notes (parcel bigint REFERENCES parcels)');
    await open(parcels('bytes'));
    const { setup } = fixture.context.stores.target;
    expect(await setup.deferIndexes?.('parcels', 'all')).toEqual({ indexes: 4, key: false });
    await setup.restoreIndexes?.('parcels');
    await databases.query(1, 'DROP TABLE notes');
    await databases.query(1, 'CREATE VIEW whole AS SELECT id, code FROM parcels GROUP BY id');
    expect(await setup.deferIndexes?.('parcels', 'all')).toEqual({ indexes: 4, key: false });
    await setup.restoreIndexes?.('parcels');
    expect(await facts()).toEqual(before);
  });

  test('a key beside which something else is unique stays', async () => {
    await databases.query(1, parcelsUnique);
    before = await facts();
    await open(parcels('bytes'));
    const { setup } = fixture.context.stores.target;
    expect(await setup.deferIndexes?.('parcels', 'all')).toEqual({ indexes: 4, key: false });
    await setup.restoreIndexes?.('parcels');
    expect(await facts()).toEqual(before);
  });

  test('a fail-closed collection keeps its indexes', async () => {
    await open(parcels('bytes', { failureMode: 'fail-closed' }));
    const { middle } = await backfill({ deferIndexes: 'all' });
    expect(middle).toEqual(before.map(nameOf));
  });

  test('the removal of everything of ours brings the indexes back first', async () => {
    await open(parcels('bytes'));
    const { setup } = fixture.context.stores.target;
    await setup.deferIndexes?.('parcels', 'all');
    await setup.uninstall();
    expect(await setup.objects()).toEqual([]);
    expect(await facts()).toEqual(before);
    await setup.restoreIndexes?.('parcels');
  });
});

const nameOf = (fact: object): string => (fact as { readonly relname: string }).relname;
