import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryControl, memoryControl } from '../../src/adapters/memory/index.ts';
import { mysql } from '../../src/adapters/mysql/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { type Collection, createEventHub, type Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { startWorker } from '../../src/worker/index.ts';
import { bring, by, pass } from '../support/memory-migration.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import {
  apply,
  collect,
  gapOf,
  held,
  never,
  rescue,
  statuses,
  switchToTarget,
  write,
} from '../support/rescue-rig.ts';

describe.skipIf(missingMariadb()).each(['app', 'log'] as const)(
  'a rescue on MariaDB, capture %s',
  (capture) => {
    const databases = withMariadb(2, { scope: 'test' });
    let context: MigrationContext;

    beforeEach(async () => {
      for (const side of [0, 1])
        await databases.query(side, 'CREATE TABLE items (id int PRIMARY KEY, name varchar(40))');
      const shape = { table: 'items', key: ['id'] };
      const collection: Collection = {
        name: 'items',
        source: shape,
        target: shape,
        forward: (record) => record,
        backward: (record) => record,
        identity: true,
        capture,
        write: 'deferred',
        failureMode: 'fail-open',
        latencyBudgetMs: 100,
        shadowReadSample: 1,
        ignore: {},
        transformVersion: 1,
      };
      const connect = (side: Side) =>
        mysql({ url: databases.url(side === 'source' ? 0 : 1) }).connect({
          migration: 'shop',
          side,
          shapes: new Map([['items', shape]]),
          ...(capture === 'log' ? { logged: new Set(['items']) } : {}),
          runtime: systemRuntime,
        });
      context = {
        migration: { name: 'shop', collections: new Map([['items', collection]]) },
        stores: { source: await connect('source'), target: await connect('target') },
        control: await memoryControl({ control: new MemoryControl() }).connect(systemRuntime),
        runtime: systemRuntime,
        events: createEventHub(),
        instance: 'operator',
      };
    });
    afterEach(async () => {
      for (const side of ['source', 'target'] as const) {
        await context.stores[side].setup.uninstall();
        await context.stores[side].close();
      }
    });

    test('brings back what nobody has touched, and leaves the rest to a person', async () => {
      const worker = await startWorker(context, { measureMs: 100 });
      try {
        if (capture === 'log') {
          await createController(context).start(by);
          await pass(
            context,
            { type: 'advance', to: 'backfill' },
            { type: 'advance', to: 'shadow-read' },
            { type: 'advance', to: 'read-switch' },
          );
        } else await bring(context, 'read-switch');
        for (const id of ['1', '2', '3']) await write(context, 'source', id, `old ${id}`);
        await switchToTarget(context);
      } finally {
        await worker.close();
      }
      await write(context, 'target', '1', 'lost 1');
      await write(context, 'target', '2', 'lost 2');
      await write(context, 'target', '3', null);
      await write(context, 'target', '4', 'lost 4');
      await rescue(context);
      await write(context, 'source', '2', 'new 2');
      expect((await collect(context)).outcome).toBe('collected');
      expect((await apply(context)).counts).toMatchObject({
        put: 2,
        delete: 1,
        conflict: 1,
        left: 0,
        refused: 0,
      });
      expect(await statuses(context)).toEqual({
        1: 'applied',
        2: 'conflict',
        3: 'applied',
        4: 'applied',
      });
      const sources = await Promise.all(
        ['1', '2', '3', '4'].map((id) => held(context, 'source', id)),
      );
      expect(sources).toEqual(['lost 1', 'new 2', null, 'lost 4']);
      await gapOf(context).resolve({
        ...by,
        take: 'target',
        which: { collection: 'items', key: ['2'] },
        signal: never,
      });
      expect(await held(context, 'source', '2')).toBe('lost 2');
      const again = await startWorker(context, { measureMs: 100 });
      try {
        const end = systemRuntime.clock.monotonic() + 15_000;
        while (
          (await held(context, 'target', '2')) !== 'lost 2' &&
          systemRuntime.clock.monotonic() < end
        )
          await systemRuntime.clock.sleep(50);
      } finally {
        await again.close();
      }
      expect(await held(context, 'target', '2')).toBe('lost 2');
      expect((await context.control.load('shop')).gap).toBeUndefined();
    }, 60_000);
  },
);
