import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import {
  followLog,
  logApplierDefaults,
  prepareStream,
  presentStream,
} from '../../src/capture/index.ts';
import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import type { MigrationState } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { type VerifyOptions, verifyCollection } from '../../src/verify/index.ts';
import {
  type AlignedServers,
  type Engine,
  openAligned,
  ordersDdl,
} from '../support/aligned-servers.ts';
import { withDatabases } from '../support/databases.ts';
import { bring } from '../support/memory-migration.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const { clock, random } = systemRuntime;
const rows = 600;
const never = new AbortController().signal;
const program = fileURLToPath(new URL('../support/verify-and-die.ts', import.meta.url));

interface Sql {
  run(text: string): Promise<unknown>;
  end(): Promise<unknown>;
}

async function connect(engine: Engine, url: string): Promise<Sql> {
  if (engine === 'mariadb') {
    const client = await createConnection({ uri: url, multipleStatements: true });
    return { run: (text) => client.query(text), end: () => client.end() };
  }
  const client = new pg.Client({ connectionString: url, application_name: 'changeover-test' });
  await client.connect();
  return { run: (text) => client.query(text), end: () => client.end() };
}

const seed = (): string => {
  const ids = Array.from({ length: rows }, (_, index) => index + 1);
  return `INSERT INTO orders VALUES ${ids.map((id) => `(${id}, 'c${id}', ${id}.50)`).join(', ')};
    INSERT INTO order_lines VALUES ${ids.map((id) => `(${id}, 1, 'pen'), (${id}, 2, 'ink')`).join(', ')}`;
};

/** One transaction of an application, on one of the first `upTo` orders. */
function change(upTo: number): string {
  const id = 1 + Math.floor(random.next() * upTo);
  const total = (random.next() * 100).toFixed(2);
  const ways = [
    `UPDATE orders SET total = ${total} WHERE id = ${id}`,
    `UPDATE order_lines SET product = 'p${total}' WHERE order_id = ${id} AND line = 1`,
    `BEGIN; DELETE FROM order_lines WHERE order_id = ${id}; DELETE FROM orders WHERE id = ${id}; COMMIT`,
    `BEGIN; DELETE FROM order_lines WHERE order_id = ${id}; DELETE FROM orders WHERE id = ${id}; INSERT INTO orders VALUES (${id}, 'again', 1); INSERT INTO order_lines VALUES (${id}, 7, 'new'); COMMIT`,
  ];
  return ways[Math.floor(random.next() * ways.length)] as string;
}

const pairs = [
  { source: 'postgres', target: 'postgres', flat: false },
  { source: 'mariadb', target: 'postgres', flat: true },
] as const;

describe.each(pairs)(
  'a comparison at one position, $source to $target',
  ({ source, target, flat }) => {
    const needsMariadb = source === 'mariadb' && missingMariadb();
    describe.skipIf(needsMariadb)('with traffic', () => {
      const postgresDatabases = withDatabases(2, { scope: 'test' });
      const mariadbDatabases =
        source === 'mariadb' ? withMariadb(2, { scope: 'test' }) : postgresDatabases;
      let folder: string;
      let servers: AlignedServers;
      let control: ControlStore;
      let context: MigrationContext;
      let applier: MigrationContext;
      let state: MigrationState;
      let lagMs = 0;
      const stopped: (() => Promise<unknown>)[] = [];

      beforeEach(async () => {
        const place = (engine: Engine, index: number) => ({
          engine,
          url: (engine === 'mariadb' ? mariadbDatabases : postgresDatabases).url(index),
        });
        const migration = `va${process.pid}${Math.floor(random.next() * 1e6)}`;
        servers = { migration, flat, source: place(source, 0), target: place(target, 1) };
        for (const side of ['source', 'target'] as const) {
          const client = await connect(servers[side].engine, servers[side].url);
          await client.run(ordersDdl);
          await client.run(seed());
          await client.end();
        }
        folder = await mkdtemp(join(tmpdir(), 'changeover-verify-aligned-'));
        control = await sqlite({ file: join(folder, 'control.db') }).connect(systemRuntime);
        context = await openAligned(servers, control, 'verifier');
        applier = await openAligned(servers, control, 'applier');
        state = await bring(context, 'shadow-read');
        const ends = presentStream(context, state);
        if (ends === null) throw new Error('The collection is captured from the log.');
        await prepareStream(ends, 10_000);
        lagMs = 0;
        follow();
      });

      afterEach(async () => {
        for (const stop of stopped.splice(0)) await stop();
        for (const stream of (await context.stores.source.log?.installed()) ?? [])
          await context.stores.source.log?.remove(stream);
        for (const side of ['source', 'target'] as const) {
          await context.stores[side].setup.uninstall();
          for (const one of [context, applier]) await one.stores[side].close();
        }
        await control.close();
        await rm(folder, { recursive: true, force: true });
      });

      /** Follows the log, `lagMs` behind. */
      function follow(): void {
        const { log } = applier.stores.target.door;
        if (!log) throw new Error('The target takes in a log.');
        const apply: typeof log.apply = async (batch, door) => {
          await clock.sleep(lagMs);
          return log.apply(batch, door);
        };
        const door = { ...applier.stores.target.door, log: { ...log, apply } };
        const stores = { ...applier.stores, target: { ...applier.stores.target, door } };
        const ending = new AbortController();
        const passes = { enter: () => ({ state, leave: () => {} }) };
        const following = followLog(
          { ...applier, stores },
          passes,
          logApplierDefaults,
          ending.signal,
        );
        stopped.push(async () => {
          ending.abort();
          await following;
        });
      }

      async function traffic(upTo: number, everyMs = 3): Promise<() => Promise<unknown>> {
        const client = await connect(servers.source.engine, servers.source.url);
        let going = true;
        const writing = (async () => {
          while (going) {
            await client.run(change(upTo));
            await clock.sleep(everyMs);
          }
        })();
        const stop = async (): Promise<void> => {
          going = false;
          await writing;
          await client.end();
        };
        return stop;
      }

      const verify = (options: Partial<VerifyOptions> = {}) =>
        verifyCollection(
          context,
          'orders',
          {
            currentState: () => state,
            batchRows: 100,
            recheck: { delaysMs: [50, 200] },
            ...options,
            aligned: { segmentRows: 300, ...options.aligned },
          },
          never,
        );

      test('lag is no mismatch, and what was done behind the door is found', async () => {
        lagMs = 250;
        const stop = await traffic(150);
        await clock.sleep(300);
        const rogue = await connect(servers.target.engine, servers.target.url);
        await rogue.run(
          `DELETE FROM order_lines WHERE order_id = 350; DELETE FROM orders WHERE id = 350;
         UPDATE orders SET total = 0 WHERE id = 450;
         UPDATE order_lines SET product = 'wrong' WHERE order_id = 451 AND line = 2;
         INSERT INTO orders VALUES (-5, 'extra', 1), (999999, 'extra', 1)`,
        );
        await rogue.end();
        const report = await verify();
        await stop();
        expect(report.persistent).toEqual({ missing: 1, extra: 2, different: flat ? 1 : 2 });
        expect(report).toMatchObject({ outcome: 'failed', unresolved: 0 });
        const { proof } = report;
        expect(proof).toMatchObject({ kind: 'aligned', overruled: 0, because: null });
        expect(proof.exclusions).toMatchObject({ rangesTotal: 0, queuedKeys: 0 });
        expect(report.suspects).toBe((flat ? 4 : 5) + proof.exclusions.hotKeys);
        expect(proof.records).toBeGreaterThan(rows - 200);
        // What consists of several rows is read; the rest is digested inside both servers.
        expect(proof.digested > 0).toBe(flat);
      });

      test.skipIf(source === 'mariadb')(
        'a process that is killed leaves its progress, and what it had found',
        async () => {
          const rogue = await connect(servers.target.engine, servers.target.url);
          await rogue.run('UPDATE orders SET total = 0 WHERE id IN (60, 550)');
          await rogue.end();
          const stop = await traffic(50, 20);
          const file = join(folder, 'control.db');
          const child = spawn(
            process.execPath,
            ['--import', 'tsx', program, JSON.stringify(servers), file, '5'],
            { stdio: ['ignore', 'inherit', 'inherit'] },
          );
          const [, signal] = await once(child, 'exit');
          expect(signal).toBe('SIGKILL');
          await stop();
          let compared = 0;
          const report = await verify({
            pace: async (records) => {
              compared += records;
              return true;
            },
          });
          expect(compared).toBeLessThan(rows - 100);
          expect(report.proof).toMatchObject({ kind: 'aligned', resumed: 1, overruled: 0 });
          expect(report.persistent).toEqual({ missing: 0, extra: 0, different: 2 });
        },
      );
    });
  },
);
