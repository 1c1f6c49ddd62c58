import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { seededRandom, systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { query, withDatabases } from '../support/databases.ts';
import {
  chunkRecords,
  chunkRows,
  doorDdl,
  doorShapes,
  doorStream,
  expectedAfter,
} from '../support/door-work.ts';

const program = fileURLToPath(new URL('../support/door-worker.ts', import.meta.url));
const databases = withDatabases(1);
const url = (): string => databases.url(0);
const sleep = (ms: number): Promise<void> => systemRuntime.clock.sleep(ms);
const seed = Number(process.env['SEED'] ?? systemRuntime.clock.now() % 1_000_000);
const random = seededRandom(seed);
const context = { epoch: 1, timeoutMs: 30_000 };

let judge: MigrationStore;

beforeEach(async () => {
  await query(url(), doorDdl);
  judge = await postgres({ url: url() }).connect({
    migration: 'kill',
    side: 'target',
    shapes: doorShapes,
    runtime: systemRuntime,
  });
  await judge.setup.install('follower', 1);
});

afterEach(async () => {
  await judge.close();
  await query(url(), 'DROP TABLE parts, wares; DROP SCHEMA changeover_kill_target CASCADE');
});

interface Worker {
  readonly child: ChildProcess;
  readonly lines: string[];
  /** Resolves when a line begins with this, or the process has ended. */
  said(beginning: string): Promise<void>;
  ended: Promise<unknown>;
}

function start(mode: string, from: number, until: number): Worker {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', program, url(), mode, String(from), String(until)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const lines: string[] = [];
  const ended = once(child, 'exit');
  let heard = (): void => {};
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    heard();
  });
  const said = async (beginning: string): Promise<void> => {
    while (!lines.some((line) => line.startsWith(beginning)) && child.exitCode === null) {
      await Promise.race([
        ended,
        new Promise<void>((resolve) => {
          heard = resolve;
        }),
      ]);
    }
  };
  return { child, lines, said, ended };
}

/** Number of the last line of this kind; -1 without one. */
const last = (lines: readonly string[], kind: string): number =>
  Math.max(
    -1,
    ...lines.filter((line) => line.startsWith(kind)).map((line) => Number(line.split(' ')[1])),
  );

test(`door batches survive kill -9 at any moment: nothing lost, nothing old comes back (seed ${seed})`, async () => {
  const batches = 400;
  let next = 0;
  for (let life = 1; next < batches; life += 1) {
    // At least once: what was acknowledged last is sent again, too.
    const worker = start('apply', Math.max(0, next - 4), life < 7 ? 10_000 : batches);
    if (life < 7) {
      await worker.said('done');
      await sleep(random.next() * 120);
      worker.child.kill('SIGKILL');
    }
    await worker.ended;
    const done = last(worker.lines, 'done') + 1;
    next = life < 7 ? Math.max(next, Math.min(done, batches)) : batches;
    const reached = Math.max(next, done);
    // Acknowledged batches are there as a whole; at most one more than is known.
    const found = await state();
    const candidates = [reached, reached + 1].map((until) => JSON.stringify(shown(until)));
    expect(candidates).toContain(JSON.stringify(found));
    if (reached > batches) break;
  }
});

test(`a log that is applied survives kill -9 at any moment: rows and checkpoint say the same (seed ${seed})`, async () => {
  const batches = 250;
  for (let life = 1; ; life += 1) {
    const worker = start('log', 0, batches);
    if (life < 6) {
      await worker.said('done');
      await sleep(random.next() * 80);
      worker.child.kill('SIGKILL');
    }
    await worker.ended;
    const found = await state();
    const checkpoint = await judge.door.log?.checkpoint(doorStream);
    const applied = Number(checkpoint?.position.sequence);
    // Nothing that was acknowledged is missing, and nothing behind the checkpoint is there.
    expect(applied).toBeGreaterThanOrEqual(last(worker.lines, 'done') + 1);
    expect(found).toEqual(shown(applied));
    if (life < 6) continue;
    expect(applied).toBe(batches);
    return;
  }
});

const shown = (until: number): readonly unknown[] =>
  [...expectedAfter(until)]
    .filter(([, record]) => record !== null)
    .map(([id, record]) => [Number(id), record?.['name'], `${id}/${record?.['name']}`])
    .sort(([a], [b]) => Number(a) - Number(b));

async function state(): Promise<readonly unknown[]> {
  // A killed client's backend may still be committing what it has received.
  await ended();
  const rows = await query(
    url(),
    'SELECT w.id, w.name, p.id AS part FROM wares w FULL JOIN parts p ON p.ware = w.id ORDER BY 1',
  );
  return rows.map(({ id, name, part }) => [id, name, part]);
}

async function ended(): Promise<void> {
  const others = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'changeover' AND state <> 'idle'`;
  while ((await query(url(), others)).length > 0) await sleep(10);
}

test(`a chunk that is killed in the middle is there wholly or not at all, and another worker finishes it (seed ${seed})`, async () => {
  const chunks = 14;
  let next = 0;
  for (let life = 1; next < chunks; life += 1) {
    const worker = start('chunk', next, chunks);
    if (life <= 5) {
      await worker.said(`begun ${Math.min(next + 1, chunks - 1)}`);
      await sleep(random.next() * 60);
      worker.child.kill('SIGKILL');
    }
    await worker.ended;
    await ended();
    const [count] = await query<{ wares: number; parts: number }>(
      url(),
      'SELECT (SELECT count(*)::int FROM wares) AS wares, (SELECT count(*)::int FROM parts) AS parts',
    );
    expect((count?.wares ?? 1) % chunkRows).toBe(0);
    expect(count?.parts).toBe(count?.wares);
    next = Math.max(next, last(worker.lines, 'done') + 1);
    expect((count?.wares ?? 0) / chunkRows).toBeGreaterThanOrEqual(next);
  }
  expect(await judge.setup.countUpTo('wares', 1_000_000)).toBe(chunks * chunkRows);
});

test('a worker that slept while another finished its chunk is refused, and brings nothing back', async () => {
  const worker = start('zombie', 0, 1);
  await worker.said('begun');
  worker.child.kill('SIGSTOP');
  const range = { after: null, until: [String(chunkRows)] };
  const ticket = await judge.door.beginChunk('wares', 0, range, 'heir');
  await judge.door.writeChunk(ticket, chunkRecords(0), context);
  const gone = chunkRecords(0)
    .slice(0, 100)
    .map(({ key }) => key);
  await judge.door.apply(
    gone.map((key) => ({
      collection: 'wares',
      key,
      version: { epoch: 1, sequence: 5n },
      value: null,
      origin: 'live',
    })),
    context,
  );
  // Not even without fences, which are pruned once a backfill has ended.
  await judge.door.pruneFences({ epoch: 1, sequence: 100n });
  worker.child.kill('SIGCONT');
  await worker.ended;
  expect(worker.lines[1]).toMatch(/^failed CHUNK_LOST/);
  expect(await judge.setup.countUpTo('wares', 1_000_000)).toBe(chunkRows - 100);
});
