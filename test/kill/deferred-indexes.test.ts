import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { query, withDatabases } from '../support/databases.ts';
import { indexFacts, parcels, parcelsDdl, parcelsSeed } from '../support/deferred-fixture.ts';
import type { EngineFixture } from '../support/engine-fixture.ts';
import { postgresFixture } from '../support/postgres-fixture.ts';
import { useServer } from '../support/private-postgres.ts';

const program = fileURLToPath(new URL('../support/deferred-and-die.ts', import.meta.url));
const never = new AbortController().signal;

/** Moment, and at the how manieth time (`…ing`: how many milliseconds into it). */
const deaths = [
  ['deferring', 3],
  ['deferring', 12],
  ['after deferring', 1],
  ['writing', 2],
  ['writing', 15],
  ['after writing', 1],
  ['after writing', 4],
  ['restoring', 2],
  ['restoring', 20],
  ['restoring', 60],
  ['after restoring', 1],
] as const;

describe('kill -9 of a copy whose indexes are down', () => {
  const databases = withDatabases(2, { scope: 'test' });
  let folder: string;
  let fixture: EngineFixture;
  let before: readonly object[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'changeover-kill-deferred-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    await databases.query(0, parcelsDdl.source);
    await databases.query(0, parcelsSeed(20_000));
    await databases.query(1, parcelsDdl.target);
    before = await databases.query(1, indexFacts);
  });
  afterEach(() => fixture?.close());

  const urls = () => ({ source: databases.url(0), target: databases.url(1) });
  const open = async (path: 'bytes' | 'transformed', file: string): Promise<void> => {
    const control = await sqlite({ file }).connect(systemRuntime);
    fixture = await postgresFixture(urls(), parcels(path), { control });
  };
  const facts = (): Promise<object[]> => databases.query(1, indexFacts);
  const rows = (side: number): Promise<object[]> =>
    databases.query(side, 'SELECT p::text AS row FROM parcels p ORDER BY id');

  for (const path of ['bytes', 'transformed'] as const) {
    // What comes before and after the rows is the same for both.
    const own = path === 'bytes' ? deaths : deaths.filter(([moment]) => moment.endsWith('writing'));
    for (const [moment, nth] of own) {
      test(`${path}, ${moment} ${nth}: the next process ends it with every index and every row once`, async () => {
        const file = join(folder, `${path}-${moment}-${nth}.db`);
        await open(path, file);
        const run = (when: string, at: number) =>
          runProgram([urls().source, urls().target, file, path, when, String(at)]);
        // A slow machine may be through with it before it dies.
        expect(['SIGKILL', 0]).toContain(await run(moment, nth));
        const router = await createRouter(fixture.context, { graceMs: 50 });
        for (let id = 1; id < 20_000; id += 1_999) {
          const record = { id: String(id), code: `L${id}`, place: 'live', weight: '1' };
          if (id % 2 === 0) await router.collection('parcels').delete([String(id)]);
          else await router.collection('parcels').put(record);
        }
        expect(await run('never', 1)).toBe(0);
        await router.settle(5_000);
        await router.close();
        const state = fixture.state();
        const depth = await drainUntilEmpty(fixture.context, state, applierDefaults, 20_000, never);
        expect(depth).toMatchObject({ waiting: 0, dead: 0 });
        expect(await facts()).toEqual(before);
        expect(await rows(1)).toEqual(await rows(0));
      });
    }
  }

  test('the removal of everything of ours, instead of a next process, brings every index back', async () => {
    const file = join(folder, 'removal.db');
    await open('bytes', file);
    const args = [urls().source, urls().target, file, 'bytes'];
    expect(await runProgram([...args, 'after writing', '3'])).toBe('SIGKILL');
    expect(await facts()).not.toEqual(before);
    await fixture.context.stores.target.setup.uninstall();
    expect(await facts()).toEqual(before);
    const twice = await databases.query(
      1,
      'SELECT id FROM parcels GROUP BY id HAVING count(*) > 1',
    );
    expect(twice).toEqual([]);
  });
});

describe('kill -9 of the server while indexes come back', () => {
  const starting = useServer();

  test('what was being built is still written down, and is built by the next call', async () => {
    const server = await starting;
    const url = await server.createDatabase('target');
    await query(url, parcelsDdl.target);
    const before = await query(url, indexFacts);
    const shape = { table: 'parcels', key: ['id'] };
    const store = await postgres({ url }).connect({
      migration: 'fixture',
      side: 'target',
      shapes: new Map([['parcels', shape]]),
      runtime: systemRuntime,
    });
    await store.setup.install('follower', 1);
    await store.setup.deferIndexes?.('parcels', 'all');
    await query(url, parcelsSeed(100_000));
    for (const afterMs of [5, 60, 150]) {
      const restoring = store.setup.restoreIndexes?.('parcels').catch(() => undefined);
      await systemRuntime.clock.sleep(afterMs);
      await server.kill();
      await restoring;
      await server.start();
      const there = await query(url, indexFacts);
      const down = await query(url, 'SELECT * FROM changeover_fixture_target.deferred');
      expect(there.length + down.length).toBe(before.length);
    }
    await store.setup.restoreIndexes?.('parcels');
    expect(await query(url, indexFacts)).toEqual(before);
    await store.close();
  });
});

/** How the process ended: its signal, or 0. Rejects when it failed by itself. */
function runProgram(args: readonly string[]): Promise<'SIGKILL' | 0> {
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
