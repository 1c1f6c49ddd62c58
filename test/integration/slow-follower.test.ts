import { afterEach, expect, test } from 'vitest';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import { withDatabases } from '../support/databases.ts';
import { type EngineFixture, itemsCollection } from '../support/engine-fixture.ts';
import { postgresFixture } from '../support/postgres-fixture.ts';

const databases = withDatabases(2, { scope: 'test' });
const COUNT = 40;
let fixture: EngineFixture;
afterEach(() => fixture.close());

test('changes reach a follower that is too slow for a whole batch', async () => {
  await databases.query(
    0,
    `CREATE TABLE items (id int PRIMARY KEY, name text);
     INSERT INTO items SELECT i, 'n' FROM generate_series(1, ${COUNT}) i`,
  );
  // 2 s for all of them.
  await databases.query(
    1,
    `CREATE TABLE items (id int PRIMARY KEY, name text);
     CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END$$;
     CREATE TRIGGER slow BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION slow()`,
  );
  const urls = { source: databases.url(0), target: databases.url(1) };
  fixture = await postgresFixture(urls, itemsCollection());
  const { queue } = fixture.context.stores.source;
  const kind = 'change' as const;
  const key = (index: number) => [String(index + 1)];
  await queue.enqueue(
    Array.from({ length: COUNT }, (_, index) => ({
      collection: 'items',
      key: key(index),
      kind,
      graceMs: 0,
    })),
  );
  const options = { ...applierDefaults, followerTimeoutMs: 1_000 };
  const round = await drainOnce(fixture.context, fixture.state(), options);
  expect(round).toMatchObject({ claimed: COUNT, applied: COUNT, storeDown: false });
  expect((await queue.depth()).waiting).toBe(0);
});
