import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import { applyEvent, type MigrationContext } from '../../src/control/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';

const program = fileURLToPath(new URL('../support/write-and-die.ts', import.meta.url));
/** The write that dies; odd: it updates nothing yet known (insert); even: it updates; 10: it deletes. */
const fatalWrites = [7, 8, 10] as const;

const moments: Readonly<Record<string, readonly string[]>> = {
  serial: ['before-authority', 'after-authority', 'before-follower', 'after-follower'],
  parallel: ['follower-open', 'after-authority'],
  deferred: ['before-authority', 'after-authority'],
  'fail-closed': [
    'before-authority',
    'before-follower',
    'follower-committed-authority-open',
    'after-authority',
  ],
};

describe('kill -9 of a writing process loses nothing', () => {
  const databases = withDatabases(2);
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'changeover-kill-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  for (const [mode, names] of Object.entries(moments)) {
    for (const moment of names) {
      test(`${mode}, killed ${moment}: the authority has every acknowledged write and the follower equals it`, async () => {
        for (const fatal of fatalWrites) await killOnce(mode, moment, fatal);
      });
    }
  }

  async function killOnce(mode: string, moment: string, fatal: number): Promise<void> {
    for (const side of [0, 1])
      await databases.query(side, `DROP TABLE IF EXISTS things; ${thingsDdl}`);
    const controlFile = join(folder, `${mode}-${moment}-${fatal}.db`);
    const control = await sqlite({ file: controlFile }).connect(systemRuntime);
    const context = await openKillContext({
      sourceUrl: databases.url(0),
      targetUrl: databases.url(1),
      control,
      mode,
      instance: 'healer',
    });
    const { source, target } = context.stores;
    try {
      await source.setup.install('authority', 1);
      await target.setup.install('follower', 1);
      await applyEvent(
        context,
        { type: 'start', shadow: false },
        { actor: 'test', reason: 'test' },
      );
      const acknowledged = await runUntilKilled([
        databases.url(0),
        databases.url(1),
        controlFile,
        mode,
        moment,
        String(fatal),
      ]);
      expect(acknowledged).toBe(fatal - 1);
      await heal(context);
      await judge(acknowledged, fatal);
    } finally {
      await Promise.all([source.setup.uninstall(), target.setup.uninstall()]);
      await Promise.all([source.close(), target.close(), control.close()]);
    }
  }

  async function judge(acknowledged: number, fatal: number): Promise<void> {
    const read = (side: number): Promise<{ id: number; value: string }[]> =>
      databases.query(side, 'SELECT id, value FROM things ORDER BY id');
    const [source, target] = [await read(0), await read(1)];
    expect(target).toEqual(source);
    const expected = new Map<number, string>();
    const put = (index: number): void => {
      const id = Math.ceil(index / 2);
      if (index % 10 === 0) expected.delete(id);
      else expected.set(id, `write ${index}`);
    };
    for (let index = 1; index <= acknowledged; index++) put(index);
    const before = JSON.stringify([...expected]);
    put(fatal);
    const after = JSON.stringify([...expected]);
    // The write in flight may or may not have happened; nothing else is allowed.
    expect([before, after]).toContain(JSON.stringify(source.map(({ id, value }) => [id, value])));
  }
});

async function heal(context: MigrationContext): Promise<void> {
  const state = await context.control.load('kill');
  const depth = await drainUntilEmpty(
    context,
    state,
    applierDefaults,
    20_000,
    new AbortController().signal,
  );
  expect(depth).toMatchObject({ waiting: 0, dead: 0 });
}

/** Number of acknowledged writes; rejects when the process was not killed by its own SIGKILL. */
function runUntilKilled(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL')
        resolve(output.split('\n').filter((line) => line.startsWith('ack ')).length);
      else reject(new Error(`the writer ended with ${code ?? signal}: ${errors}`));
    });
  });
}
