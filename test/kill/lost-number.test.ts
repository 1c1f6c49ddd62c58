import { expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { query } from '../support/databases.ts';
import { engineFixture, itemsCollection } from '../support/engine-fixture.ts';
import { aWrite } from '../support/postgres-store.ts';
import { useServer } from '../support/private-postgres.ts';

const starting = { source: useServer(), target: useServer() };

test('a fail-closed write whose number died with the authority is taken back', async () => {
  const servers = { source: await starting.source, target: await starting.target };
  const collection = itemsCollection({ failureMode: 'fail-closed' });
  const connect = (side: Side) =>
    postgres({ url: servers[side].url() }).connect({
      migration: 'fixture',
      side,
      shapes: new Map([['items', collection[side]]]),
      runtime: systemRuntime,
    });
  for (const server of Object.values(servers))
    await query(server.url(), 'CREATE TABLE items (id int PRIMARY KEY, name text)');
  const stores = { source: await connect('source'), target: await connect('target') };
  const fixture = await engineFixture(stores, collection);
  const sequence = 'changeover_fixture_source.version';
  const source = servers.source.url();
  // The next number but one is the first of a new log record, which nothing flushes before the crash.
  for (;;) {
    const [row] = await query<{ ahead: number }>(
      source,
      `SELECT log_cnt::int AS ahead FROM ${sequence}`,
    );
    if (row?.ahead === 1) break;
    await query(source, `SELECT nextval('${sequence}')`);
  }
  const [intent = 0n] = await stores.source.queue.enqueue([
    { collection: 'items', key: ['1'], kind: 'intent', graceMs: 0 },
  ]);
  const write = stores.source.records.write(
    aWrite(
      'items',
      ['1'],
      { id: '1', name: 'never' },
      {
        journal: { intent },
        async beforeCommit({ key, version, record }) {
          if (version === null) throw new Error('no version');
          const change = {
            collection: 'items',
            key,
            version,
            value: record,
            origin: 'live' as const,
          };
          await stores.target.door.apply([change], { epoch: 1, timeoutMs: 5_000 });
          await servers.source.kill();
        },
      },
    ),
  );
  await expect(write).rejects.toThrow();
  await servers.source.start();
  const { signal } = new AbortController();
  const state = fixture.state();
  const depth = await drainUntilEmpty(fixture.context, state, applierDefaults, 20_000, signal);
  expect(depth).toMatchObject({ waiting: 0, dead: 0 });
  expect(await fixture.all('source')).toEqual(new Map());
  expect(await fixture.all('target')).toEqual(new Map());
  await fixture.close();
});
