import { expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { authorityOf } from '../../src/migration/index.ts';
import { standingsOf } from '../../src/verify/queue-standing.ts';
import { verifyScope } from '../../src/verify/verify-scope.ts';
import { bring, memoryMigration } from '../support/memory-migration.ts';

test('a change that goes from the log to the queue while its standing is asked for is on its way', async () => {
  const context = await memoryMigration('log').open('verifier');
  const state = await bring(context, 'shadow-read');
  const { source, target } = context.stores;
  const stream = 'changeover_shop_s_1';
  const door = target.door.log;
  if (!source.log || !door) throw new Error('The memory stores have a log.');
  await door.begin(stream, await source.log.install(stream, 1_000));
  await source.records.write({
    collection: 'items',
    key: ['1'],
    action: 'put',
    record: { id: '1', name: 'refused by the follower' },
    epoch: state.epoch,
    journal: 'log',
    graceMs: 0,
    timeoutMs: 1_000,
  });
  const [reread] = await source.records.reread('items', [['1']], state.epoch);
  const from = await door.checkpoint(stream);
  const position = await source.log.end();
  if (!reread || !from) throw new Error('Read and begun above.');
  /** The follower's worker leaves the key to the queue, then its checkpoint passes the change. */
  const park = async (): Promise<void> => {
    const entry = { collection: 'items', key: ['1'], kind: 'change', graceMs: 0 } as const;
    await source.queue.enqueue([entry]);
    const to = { ...from, position };
    await door.apply({ stream, from, to, changes: [] }, { epoch: state.epoch, timeoutMs: 1_000 });
  };
  let parked: Promise<void> | null = null;
  const queue = {
    ...source.queue,
    async standing(collection: string, keys: readonly (readonly string[])[]) {
      const seen = (await source.queue.standing?.(collection, keys)) ?? [];
      await (parked ??= park());
      return seen;
    },
  };
  const looking: MigrationContext = {
    ...context,
    stores: { ...context.stores, source: { ...source, queue } },
  };
  expect(authorityOf(state.phase)).toBe('source');
  const options = { currentState: () => state };
  const scope = verifyScope(looking, 'items', options, new AbortController().signal);
  const { standings } = await standingsOf(scope, [['1']], [reread.version]);
  expect(standings).toEqual(['waiting']);
});
