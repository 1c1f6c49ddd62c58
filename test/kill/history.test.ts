import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainOnce, drainUntilEmpty } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { resumeCutover, switchAuthority } from '../../src/cutover/index.ts';
import { isChangeoverError } from '../../src/errors/index.ts';
import { authorityOf, type Side } from '../../src/migration/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { seededRandom, systemRuntime } from '../../src/runtime/index.ts';
import { checkHistory, routeOf } from '../../src/testing/history/index.ts';
import { withDatabases } from '../support/databases.ts';
import { Recorder } from '../support/history-recorder.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, pass } from '../support/memory-migration.ts';

const program = fileURLToPath(new URL('../support/switch-and-die.ts', import.meta.url));
const keys = 10;
const patient = { holdMs: 15_000, ackTimeoutMs: 10_000, inDoubt: 'ignore' } as const;
const databases = withDatabases(2);
let folder: string;
let controlFile: string;
const opened: MigrationContext[] = [];

async function open(instance: string): Promise<MigrationContext> {
  const context = await openKillContext({
    sourceUrl: databases.url(0),
    targetUrl: databases.url(1),
    control: await sqlite({ file: controlFile }).connect(systemRuntime),
    mode: 'serial',
    instance,
  });
  opened.push(context);
  return context;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'changeover-history-'));
  controlFile = join(folder, 'control.db');
  for (const side of [0, 1]) await databases.query(side, thingsDdl);
});

afterAll(async () => {
  await clients.stop();
  for (const { stores, control } of opened)
    await Promise.all([stores.source.close(), stores.target.close(), control.close()]);
  await rm(folder, { recursive: true, force: true });
});

/** Clients of two routers that write, delete and read the same few keys, with each other's tokens. */
class Clients {
  readonly recorder = new Recorder();
  readonly #tokens: { readonly key: number; readonly token: string; readonly write: string }[] = [];
  readonly #loops: Promise<void>[] = [];
  #stamps = 0;
  #stopped = false;

  start(router: Router, name: string, seed: number): void {
    this.#loops.push(this.#loop(router, name, seed));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #loop(router: Router, name: string, seed: number): Promise<void> {
    const random = seededRandom(seed);
    while (!this.#stopped) {
      const key = Math.floor(random.next() * keys);
      const dice = random.next();
      if (dice < 0.4) await this.#write(router, name, key, random.next() < 0.25);
      else await this.#read(router, name, key, dice < 0.7);
      await sleep(random.next() * 4);
    }
  }

  async #write(router: Router, name: string, key: number, deletes: boolean): Promise<void> {
    const { recorder } = this;
    const things = router.collection('things');
    this.#stamps += 1;
    const value = deletes ? null : `v${this.#stamps}`;
    const called = recorder.call(name, String(key), value, performance.now());
    try {
      const { token } = await (value === null
        ? things.delete(key)
        : things.put({ id: key, value }));
      recorder.settle(called, 'ok', performance.now(), router.state().epoch);
      if (token) this.#tokens.push({ key, token, write: called.id });
      if (this.#tokens.length > 20) this.#tokens.shift();
    } catch (error) {
      if (!isChangeoverError(error)) throw error;
      if (error.code !== 'OUTCOME_UNKNOWN')
        recorder.settle(called, 'failed', performance.now(), null);
    }
  }

  async #read(router: Router, name: string, key: number, bears: boolean): Promise<void> {
    const note = bears ? this.#tokens[key % Math.max(1, this.#tokens.length)] : undefined;
    const read = note?.key ?? key;
    const [before, from] = [router.state(), performance.now()];
    const options = note ? { token: note.token } : {};
    const record = await router.collection('things').get(read, options);
    const after = router.state();
    this.recorder.read({
      key: String(read),
      value: record === null ? null : String(record['value']),
      process: name,
      from,
      to: performance.now(),
      token: note?.write ?? null,
      route: routeOf(before, after),
      epoch: after.epoch,
    });
  }
}

const clients = new Clients();

/** A coordinator of its own that kills itself before the step. */
function killedBefore(step: string, to: Side): Promise<void> {
  const args = [databases.url(0), databases.url(1), controlFile, to, step];
  const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once('close', (code, signal) =>
      signal === 'SIGKILL'
        ? resolve()
        : reject(new Error(`it ended with ${code ?? signal}: ${errors}`)),
    );
  });
}

test('one order explains what clients saw across switches whose coordinators were killed', async () => {
  const operator = await open('operator');
  const { control, stores } = operator;
  const load = () => control.load('kill');
  await stores.source.setup.install('authority', 1);
  await stores.target.setup.install('follower', 1);
  const phases = ['backfill', 'shadow-read', 'read-switch'] as const;
  await pass(
    operator,
    { type: 'start', shadow: false },
    ...phases.map((to) => ({ type: 'advance', to }) as const),
  );
  const routers = await Promise.all(
    ['app 1', 'app 2'].map(async (name) => createRouter(await open(name), { holdMs: 20_000 })),
  );
  for (let client = 0; client < 6; client++)
    clients.start(routers[client % 2]!, `app ${(client % 2) + 1}`, client + 1);
  const drain = async () => drainOnce(operator, await load(), applierDefaults);
  // A busy machine may need more than one attempt; clients notice nothing else.
  const change = async (to: Side): Promise<void> => {
    const phaseAfter = to === 'target' ? 'write-switch' : 'read-switch';
    for (let tries = 1; authorityOf((await load()).phase) !== to; tries++)
      await switchAuthority(operator, { to, phaseAfter, ...by, ...patient, drain }).catch(
        (error: unknown) => {
          if (tries === 5) throw error;
        },
      );
    await sleep(200);
  };
  const resume = async (): Promise<void> => {
    while (!['undone', 'settled', 'nothing'].includes((await resumeCutover(operator)).outcome))
      await sleep(25);
    await sleep(100);
  };
  await sleep(200);
  await pass(operator, { type: 'dial', basisPoints: 5_000 });
  await sleep(200);
  for (const step of ['seal', 'commit']) {
    await killedBefore(step, 'target');
    await resume();
  }
  await change('target');
  await killedBefore('commit', 'source');
  await resume();
  await change('source');
  await killedBefore('settle', 'target');
  await resume();
  await clients.stop();
  await Promise.all(routers.map((router) => router.close()));
  const state = await load();
  expect(state).toMatchObject({ phase: 'write-switch', epoch: 4, cutover: null });
  await drainUntilEmpty(operator, state, applierDefaults, 10_000, new AbortController().signal);
  const at = performance.now() + 1;
  for (const [index, side] of ['source', 'target'].entries()) {
    const rows = await databases.query<{ id: number; value: string }>(
      index,
      'SELECT * FROM things',
    );
    for (let key = 0; key < keys; key++)
      clients.recorder.read({
        key: String(key),
        value: rows.find(({ id }) => id === key)?.value ?? null,
        process: `the ${side}`,
        from: at,
        to: at,
        token: null,
        route: 'authority',
        epoch: state.epoch,
      });
  }
  const { faults, writes, reads } = checkHistory(clients.recorder.history());
  expect(faults.map(({ text }) => text)).toEqual([]);
  // Nothing recorded would have an order, too.
  expect(writes).toBeGreaterThan(100);
  for (const count of Object.values(reads)) expect(count).toBeGreaterThan(20);
});
