import { afterEach, describe, expect, test } from 'vitest';
import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import type { Collection, Side } from '../../src/migration/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { createComparator } from '../../src/verify/comparator.ts';
import { diffKey, type VerifyOptions, verifyCollection } from '../../src/verify/index.ts';
import { lookUnderLock } from '../../src/verify/locked-look.ts';
import { verifyScope } from '../../src/verify/verify-scope.ts';
import { withDatabases } from '../support/databases.ts';
import { type EngineFixture, engineFixture, itemsCollection } from '../support/engine-fixture.ts';
import { withMariadb } from '../support/private-mariadb.ts';

/*
 * A change waits in the queue for longer than a recheck looks, and says its key otherwise than the table, or whoever asks for it does.
 */

const connectors = { postgres, mariadb };
const recheck = { delaysMs: [10, 50, 100], lagMaxMs: 600 };
const order = { table: 'orders', key: ['id'] };
const whole = {
  ...order,
  children: { lines: { table: 'order_lines', key: ['line'], parent: ['order_id'] } },
};
const orders = (shape: typeof order, more: Partial<Collection>): Collection =>
  itemsCollection({ name: 'orders', source: shape, target: shape, ...more });

interface Databases {
  url(index: number): string;
  query(index: number, sql: string): Promise<unknown>;
}

interface Case {
  readonly engine: 'postgres' | 'mariadb';
  readonly type: string;
  readonly stored: string;
  readonly given: string;
}
interface ChildCase extends Case {
  readonly childType: string;
}

const folding = 'varchar(20) COLLATE utf8mb4_general_ci';
/** It tells case and accents apart, and not blanks at the end. */
const binary = 'varchar(20) COLLATE utf8mb4_bin';
const uuid = 'aaaaaaaa-0000-4000-8000-000000000001';
const childCases: readonly ChildCase[] = [
  { engine: 'postgres', type: 'numeric', childType: 'numeric', stored: '1.0', given: '1.00' },
  { engine: 'mariadb', type: folding, childType: folding, stored: 'abc', given: 'ABC' },
  { engine: 'mariadb', type: 'int', childType: 'decimal(8,2)', stored: '5', given: '5.00' },
];
const cases: readonly Case[] = [
  { engine: 'postgres', type: 'int', stored: '5', given: '05' },
  { engine: 'postgres', type: 'uuid', stored: uuid, given: uuid.toUpperCase() },
  { engine: 'postgres', type: 'numeric', stored: '1.0', given: '1' },
  { engine: 'mariadb', type: 'int', stored: '5', given: '05' },
  { engine: 'mariadb', type: 'uuid', stored: uuid, given: uuid.toUpperCase() },
  { engine: 'mariadb', type: folding, stored: 'abc', given: 'ABC' },
  { engine: 'mariadb', type: binary, stored: 'abc ', given: 'abc' },
  { engine: 'mariadb', type: binary, stored: 'abc', given: 'abc ' },
];

describe.each(['postgres', 'mariadb'] as const)('on %s', (engine) => {
  const databases: Databases =
    engine === 'postgres' ? withDatabases(2, { scope: 'test' }) : withMariadb(2, { scope: 'test' });
  let fixture: EngineFixture;
  afterEach(async () => {
    for (const side of ['source', 'target'] as const)
      await fixture.context.stores[side].setup.uninstall();
    await fixture.close();
  });

  /** Both sides hold the order `stored`. */
  async function open(
    { type, childType = type, stored }: Case & Partial<ChildCase>,
    collection: Collection,
  ): Promise<void> {
    for (const index of [0, 1])
      for (const statement of [
        `CREATE TABLE orders (id ${type} NOT NULL PRIMARY KEY, note text)`,
        `CREATE TABLE order_lines (line int PRIMARY KEY, order_id ${childType}, sku text)`,
        `INSERT INTO orders VALUES ('${stored}', 'old')`,
      ])
        await databases.query(index, statement);
    const connect = (side: Side) =>
      connectors[engine]({ url: databases.url(side === 'source' ? 0 : 1) }).connect({
        migration: 'fixture',
        side,
        shapes: new Map([['orders', collection[side]]]),
        runtime: systemRuntime,
      });
    const stores = { source: await connect('source'), target: await connect('target') };
    fixture = await engineFixture(stores, collection);
  }

  /** One change waits; then the worker comes. */
  async function isNoDifference(options: Omit<VerifyOptions, 'currentState'>): Promise<void> {
    const { context, state } = fixture;
    const { signal } = new AbortController();
    const verify = () =>
      verifyCollection(context, 'orders', { currentState: state, recheck, ...options }, signal);
    expect(await verify()).toMatchObject({
      persistent: { missing: 0, extra: 0, different: 0 },
      unresolved: 1,
      waiting: 1,
      proof: { overruled: 0, exclusions: { queuedKeys: options.aligned === false ? 0 : 1 } },
    });
    await drainOnce(context, state(), applierDefaults);
    expect(await verify()).toMatchObject({ outcome: 'passed', suspects: 0 });
  }

  describe.each(childCases.filter((one) => one.engine === engine))(
    'a child that says $given of $type $stored',
    (one) => {
      test.each([
        ['recheck', false],
        ['queue', { lagMs: 50 }],
      ] as const)('is on its way, by the %s', async (_, aligned) => {
        // The door writes the parent's key as the root spells it.
        const ignore = { 'lines.order_id': { reason: 'spelled otherwise', until: '2999-01-01' } };
        await open(one, orders(whole, { capture: 'outbox', ignore }));
        await fixture.context.stores.source.setup.installCapture('orders');
        await databases.query(0, `INSERT INTO order_lines VALUES (1, '${one.given}', 'pen')`);
        await isNoDifference({ aligned });
      });
    },
  );

  const here = cases.filter((one) => one.engine === engine);

  test.each(here)(
    'a fail-closed write of $given that ended half-way is on its way to $type $stored',
    async (one) => {
      await open(one, orders(order, { failureMode: 'fail-closed' }));
      const { context } = fixture;
      const { target } = context.stores;
      const door: typeof target.door = {
        ...target.door,
        async apply(...given) {
          await target.door.apply(...given);
          throw new ChangeoverError('STORE_UNAVAILABLE', 'The answer was lost.');
        },
      };
      const stores = { ...context.stores, target: { ...target, door } };
      const router = await createRouter({ ...context, stores });
      const write = router.collection('orders').put({ id: one.given, note: 'new' });
      await expect(write).rejects.toMatchObject({ code: 'FOLLOWER_FAILED' });
      await router.close();
      await isNoDifference({ aligned: false });
    },
  );

  test.each(here)(
    'a change of $type $stored is on its way to whoever asks for $given',
    async (one) => {
      await open(one, orders(order, { capture: 'outbox' }));
      const { context, state } = fixture;
      await context.stores.source.setup.installCapture('orders');
      await databases.query(0, `UPDATE orders SET note = 'new'`);
      const options = { currentState: state };
      expect(await diffKey(context, 'orders', [one.given], options)).toMatchObject({
        kind: 'different',
        standing: 'waiting',
      });
      await isNoDifference({ keys: [[one.given]], aligned: { lagMs: 50 } });
    },
  );

  test.each(here)(
    'entries of an earlier version under $stored and $given are one record of $type',
    async (one) => {
      await open(one, orders(order, { capture: 'outbox' }));
      const { context, state } = fixture;
      await databases.query(0, `UPDATE orders SET note = 'new'`);
      const column = engine === 'postgres' ? 'key' : 'key_text';
      for (const key of [one.given, one.stored, one.given])
        await databases.query(
          0,
          `INSERT INTO changeover_fixture_source.queue (collection, ${column}) VALUES ('orders', '["${key}"]')`,
        );
      const round = await drainOnce(context, state(), applierDefaults);
      expect(round).toMatchObject({ claimed: 3, failed: 0 });
      expect(await context.stores.source.queue.depth()).toMatchObject({ waiting: 0, dead: 0 });
      const [found] = [...(await fixture.all('target')).values()];
      expect(found).toEqual({ id: one.stored, note: 'new' });
    },
  );

  test.each(here)(
    'a change of $type $stored is seen under the lock of $given, and so is its end',
    async (one) => {
      await open(one, orders(order, { capture: 'outbox' }));
      const { context, state } = fixture;
      await context.stores.source.setup.installCapture('orders');
      const { signal } = new AbortController();
      const scope = verifyScope(context, 'orders', { currentState: state }, signal);
      const look = () => lookUnderLock(scope, createComparator(scope), [one.given]);
      await databases.query(0, `UPDATE orders SET note = 'new'`);
      expect(await look()).toMatchObject({ difference: {}, standing: 'waiting' });
      await drainOnce(context, state(), applierDefaults);
      await databases.query(0, 'DELETE FROM orders');
      // Without the row only the column tells how a key is spelled.
      const standing = ['int', 'uuid'].includes(one.type) ? 'waiting' : 'none';
      expect(await look()).toMatchObject({ difference: {}, standing });
    },
  );
});
