import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { seededRandom, systemRuntime } from '../../src/runtime/index.ts';
import { verifyCollection } from '../../src/verify/index.ts';
import { withDatabases } from '../support/databases.ts';
import type { EngineFixture } from '../support/engine-fixture.ts';
import {
  customers,
  customersDdl,
  customersSeed,
  postgresFixture,
} from '../support/postgres-fixture.ts';

const program = fileURLToPath(new URL('../support/backfill-and-die.ts', import.meta.url));
const moments = ['begun', 'read', 'writing', 'written', 'buried', 'checkpointed'] as const;
const rows = 2_000;
const never = new AbortController().signal;

describe('kill -9 of a backfilling process, again and again, under live writes', () => {
  const databases = withDatabases(2, { scope: 'test' });
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'changeover-kill-backfill-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  for (const moment of moments) {
    test(`killed when ${moment}: the next process ends it, nothing is lost, nothing comes back`, async () => {
      const file = join(folder, `${moment}.db`);
      await prepare();
      const control = await sqlite({ file }).connect(systemRuntime);
      const urls = { source: databases.url(0), target: databases.url(1) };
      const fixture = await postgresFixture(urls, customers, { control });
      try {
        const stop = await liveWrites(fixture);
        const random = seededRandom(moments.indexOf(moment) + 7);
        const args = (nth: number) => [urls.source, urls.target, file, moment, String(nth)];
        // One row in all can be buried, so it is killed only at the first burial.
        const nth = (): number => (moment === 'buried' ? 1 : 1 + Math.floor(random.next() * 4));
        const deaths = [await run(args(nth())), await run(args(nth()))];
        expect(deaths[0]).toBe('SIGKILL');
        expect(await run(args(1_000_000))).toBe(0);
        await stop();
        await judge(fixture);
      } finally {
        await fixture.close();
      }
    });
  }

  async function prepare(): Promise<void> {
    await databases.query(0, customersDdl.source);
    await databases.query(1, customersDdl.target);
    await databases.query(0, customersSeed(rows));
    await databases.query(0, "UPDATE customers SET name = 'unsplittable' WHERE id = 77");
  }

  /** Inserts, updates and deletes on ids from 1000 on, until the returned function is called. */
  async function liveWrites(fixture: EngineFixture): Promise<() => Promise<void>> {
    const router = await createRouter(fixture.context, { graceMs: 200 });
    const handle = router.collection('customers');
    let done = false;
    const write = async (): Promise<void> => {
      for (let turn = 0; !done; turn++) {
        const id = String(1_000 + ((turn * 131) % 1_100));
        if (turn % 2 === 0) await handle.delete([id]);
        else
          await handle.put({
            id,
            name: `Live ${turn}`,
            email: `live${turn}@example.org`,
            phone: null,
            balance: '7.25',
            changed: '2024-05-05 05:05:05.5',
          });
        await systemRuntime.clock.sleep(2);
      }
    };
    const writing = write();
    return async () => {
      done = true;
      await writing;
      await router.settle(5_000);
      await router.close();
    };
  }

  /** By the databases themselves first, then by verification. */
  async function judge(fixture: EngineFixture): Promise<void> {
    const depth = await drainUntilEmpty(
      fixture.context,
      fixture.state(),
      applierDefaults,
      20_000,
      never,
    );
    expect(depth).toMatchObject({ waiting: 0, dead: 1 });
    const ids = (side: number, but: string) =>
      databases.query(side, `SELECT id::text FROM customers ${but} ORDER BY customers.id`);
    expect(await ids(1, '')).toEqual(await ids(0, 'WHERE id <> 77'));
    const checkpoint = await fixture.context.control.checkpoint('fixture', 'customers');
    expect(checkpoint).toMatchObject({ rowsDead: 1 });
    expect(checkpoint?.finishedAtMs).not.toBeNull();
    const options = { currentState: fixture.state, recheck: { delaysMs: [10, 50] } };
    const report = await verifyCollection(fixture.context, 'customers', options, never);
    expect(report).toMatchObject({
      dead: 1,
      suspects: 1,
      persistent: { missing: 1, extra: 0, different: 0 },
    });
  }
});

/** How the process ended: its signal, or its exit code. Rejects when it failed by itself. */
function run(args: readonly string[]): Promise<'SIGKILL' | 0> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve('SIGKILL');
      else if (code === 0) resolve(0);
      else reject(new Error(`the backfill ended with ${code ?? signal}: ${errors}`));
    });
  });
}
