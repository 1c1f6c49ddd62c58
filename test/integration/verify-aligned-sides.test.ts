import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import {
  applierDefaults,
  drainOnce,
  followLog,
  logApplierDefaults,
  prepareStream,
  presentStream,
} from '../../src/capture/index.ts';
import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import { type MigrationState, otherSide } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { verifyCollection } from '../../src/verify/index.ts';
import { type AlignedServers, openAligned, ordersDdl } from '../support/aligned-servers.ts';
import { withDatabases } from '../support/databases.ts';

const { clock, random } = systemRuntime;
const rows = 600;
const cases = [
  { capture: 'outbox', authority: 'source', phase: 'shadow-read', by: 'queue' },
  { capture: 'outbox', authority: 'target', phase: 'write-switch', by: 'queue' },
  { capture: 'log', authority: 'target', phase: 'write-switch', by: 'log' },
] as const;

const seed = `INSERT INTO orders SELECT n, 'c' || n, n FROM generate_series(1, ${rows}) n;
  INSERT INTO order_lines SELECT n, line, 'pen' FROM generate_series(1, ${rows}) n, generate_series(1, 2) line`;

async function change(client: pg.Client): Promise<void> {
  const id = 1 + Math.floor(random.next() * 200);
  const ways = [
    `UPDATE orders SET total = total + 1 WHERE id = ${id}`,
    `UPDATE order_lines SET product = 'p${random.next()}' WHERE order_id = ${id} AND line = 1`,
    `BEGIN; DELETE FROM order_lines WHERE order_id = ${id}; DELETE FROM orders WHERE id = ${id}; COMMIT`,
    `INSERT INTO orders VALUES (${id}, 'again', 1) ON CONFLICT DO NOTHING`,
  ];
  await client.query(ways[Math.floor(random.next() * ways.length)] as string);
}

describe.each(cases)(
  'a comparison at one position, capture $capture, the $authority as authority',
  ({ capture, authority, phase, by }) => {
    const databases = withDatabases(2);
    const follower = otherSide[authority];
    const stopped: (() => Promise<unknown>)[] = [];
    let folder: string;
    let control: ControlStore;
    let context: MigrationContext;
    let worker: MigrationContext;
    let state: MigrationState;

    const connect = async (side: 'source' | 'target'): Promise<pg.Client> => {
      const connectionString = databases.url(side === 'source' ? 0 : 1);
      const client = new pg.Client({ connectionString, application_name: 'changeover-test' });
      await client.connect();
      return client;
    };

    beforeEach(async () => {
      const migration = `vs${process.pid}${Math.floor(random.next() * 1e6)}`;
      const place = (index: number) => ({ engine: 'postgres' as const, url: databases.url(index) });
      const servers: AlignedServers = {
        migration,
        capture,
        flat: false,
        source: place(0),
        target: place(1),
      };
      for (const side of ['source', 'target'] as const) {
        const client = await connect(side);
        await client.query(`${ordersDdl}; ${seed}`);
        await client.end();
      }
      folder = await mkdtemp(join(tmpdir(), 'changeover-verify-sides-'));
      control = await sqlite({ file: join(folder, 'control.db') }).connect(systemRuntime);
      context = await openAligned(servers, control, 'verifier');
      worker = await openAligned(servers, control, 'worker');
      state = { ...(await control.load(migration)), phase };
      await context.stores[follower].setup.install('follower', state.epoch);
      await context.stores[authority].setup.install('authority', state.epoch);
      if (capture === 'outbox') await context.stores[authority].setup.installCapture('orders');
      const ends = capture === 'log' ? presentStream(context, state) : null;
      if (ends) await prepareStream(ends, 10_000);
    });

    afterEach(async () => {
      for (const stop of stopped.splice(0).reverse()) await stop();
      const { log } = context.stores[authority];
      for (const stream of (await log?.installed()) ?? []) await log?.remove(stream);
      for (const side of ['source', 'target'] as const) {
        await context.stores[side].setup.uninstall();
        for (const one of [context, worker]) await one.stores[side].close();
      }
      await control.close();
      await rm(folder, { recursive: true, force: true });
    });

    /** Until the test is over. */
    const looping = (work: () => Promise<unknown>): void => {
      let going = true;
      const done = (async () => {
        while (going) await work();
      })();
      stopped.push(() => {
        going = false;
        return done;
      });
    };

    /** What a worker does; by the queue so late that a second look does not find it done. */
    function follow(): void {
      if (capture === 'outbox') {
        looping(async () => {
          await clock.sleep(800);
          await drainOnce(worker, state, applierDefaults);
        });
        return;
      }
      const ending = new AbortController();
      const passes = { enter: () => ({ state, leave: () => {} }) };
      const following = followLog(worker, passes, logApplierDefaults, ending.signal);
      stopped.push(() => {
        ending.abort();
        return following;
      });
    }

    test('finds what was done behind the door, and nothing that is on its way', async () => {
      follow();
      const application = await connect(authority);
      stopped.push(() => application.end());
      looping(async () => {
        await change(application);
        await clock.sleep(2);
      });
      const rogue = await connect(follower);
      await rogue.query(
        `DELETE FROM order_lines WHERE order_id = 300; DELETE FROM orders WHERE id = 300;
         UPDATE order_lines SET product = 'wrong' WHERE order_id = 400 AND line = 2;
         INSERT INTO orders VALUES (-5, 'extra', 1)`,
      );
      await rogue.end();
      await clock.sleep(200);
      const report = await verifyCollection(
        context,
        'orders',
        {
          currentState: () => state,
          batchRows: 100,
          recheck: { delaysMs: [50, 200] },
          aligned: { segmentRows: 250 },
        },
        new AbortController().signal,
      );
      expect(report.persistent).toEqual({ missing: 1, extra: 1, different: 1 });
      expect(report).toMatchObject({ outcome: 'failed', authority, unresolved: 0 });
      const { proof } = report;
      expect(proof).toMatchObject({ kind: 'aligned', by, overruled: 0 });
      expect(proof.ways[0]).toMatchObject({ way: 'stream' });
      expect(proof.exclusions).toMatchObject({ rangesTotal: 0, queuedKeys: 0 });
      expect(report.suspects).toBe(3 + proof.exclusions.hotKeys);
      expect(proof.records).toBeGreaterThan(400);
    });
  },
);
