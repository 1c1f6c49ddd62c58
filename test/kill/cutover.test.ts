import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainOnce, drainUntilEmpty } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import {
  cutoverSteps,
  expectedGuard,
  resumeCutover,
  type SwitchResult,
  switchAuthority,
} from '../../src/cutover/index.ts';
import {
  authorityOf,
  followerOf,
  type MigrationState,
  type Side,
} from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, pass } from '../support/memory-migration.ts';

const program = fileURLToPath(new URL('../support/switch-and-die.ts', import.meta.url));
const indexOf: Readonly<Record<Side, number>> = { source: 0, target: 1 };

describe('kill -9 of the coordinator leaves one authority', () => {
  const databases = withDatabases(2);
  let folder: string;
  let controlFile: string;
  let context: MigrationContext;
  let writes = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'changeover-kill-'));
    controlFile = join(folder, 'control.db');
    for (const side of [0, 1]) await databases.query(side, thingsDdl);
    context = await openKillContext({
      sourceUrl: databases.url(0),
      targetUrl: databases.url(1),
      control: await sqlite({ file: controlFile }).connect(systemRuntime),
      mode: 'deferred',
      instance: 'successor',
    });
    await context.stores.source.setup.install('authority', 1);
    await context.stores.target.setup.install('follower', 1);
    await pass(
      context,
      { type: 'start', shadow: false },
      { type: 'advance', to: 'backfill' },
      { type: 'advance', to: 'shadow-read' },
      { type: 'advance', to: 'read-switch' },
    );
  });
  afterAll(async () => {
    const { stores, control } = context;
    await Promise.all([stores.source.close(), stores.target.close(), control.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  const load = (): Promise<MigrationState> => context.control.load('kill');
  const drain = async () => drainOnce(context, await load(), applierDefaults);

  /** A journalled write by the library, left to the queue. */
  async function put(side: Side, epoch: number): Promise<void> {
    const id = String(++writes);
    await context.stores[side].records.write({
      collection: 'things',
      key: [id],
      action: 'put',
      record: { id, value: `epoch ${epoch}` },
      epoch,
      journal: 'change',
      graceMs: 0,
      timeoutMs: 2_000,
    });
  }

  /** A program that does not know the library. */
  const foreign = (side: Side): Promise<unknown> =>
    databases.query(indexOf[side], 'INSERT INTO things VALUES ($1, $2)', [-++writes, 'foreign']);

  async function resumed(): Promise<string> {
    for (let tries = 0; tries < 200; tries++) {
      const { outcome } = await resumeCutover(context);
      if (outcome !== 'running') return outcome;
      await systemRuntime.clock.sleep(25);
    }
    throw new Error('the lease of a dead coordinator does not run out');
  }

  /** State and guards agree, the authority takes writes of every kind, the other store none, and nothing was lost. */
  async function oneAuthority(): Promise<void> {
    const state = await load();
    expect(state.cutover).toBeNull();
    for (const side of ['source', 'target'] as const)
      expect(await context.stores[side].guard.read(), side).toEqual(expectedGuard(state, side));
    const [authority, follower] = [authorityOf(state.phase), followerOf(state.phase)];
    await put(authority, state.epoch);
    await expect(put(authority, state.epoch + 1)).rejects.toMatchObject({
      code: 'AUTHORITY_FENCED',
    });
    await expect(put(follower, state.epoch)).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    await drainUntilEmpty(context, state, applierDefaults, 10_000, new AbortController().signal);
    const rows = (side: Side): Promise<unknown[]> =>
      databases.query(indexOf[side], 'SELECT id, value FROM things WHERE id > 0 ORDER BY id');
    expect(await rows(follower)).toEqual(await rows(authority));
    await foreign(authority);
    if (state.epoch > 1) await expect(foreign(follower)).rejects.toThrow();
  }

  /** Brings the migration back to where authority can move to `to`. */
  async function ready(to: Side): Promise<void> {
    const state = await load();
    if (authorityOf(state.phase) !== to) return;
    await change(to === 'source' ? 'target' : 'source');
  }

  const change = (to: Side): Promise<SwitchResult> =>
    switchAuthority(context, {
      to,
      phaseAfter: to === 'target' ? 'write-switch' : 'read-switch',
      ...by,
      drain,
    });

  for (const to of ['target', 'source'] as const) {
    test.each(cutoverSteps)(`on the way to the ${to}, killed before %s`, async (step) => {
      await ready(to);
      const before = await load();
      await put(authorityOf(before.phase), before.epoch);
      await untilKilled([databases.url(0), databases.url(1), controlFile, to, step]);
      const outcome = await resumed();
      const after = await load();
      if (step === 'settle') {
        expect(outcome).toBe('settled');
        expect(after.epoch).toBe(before.epoch + 1);
      } else {
        expect(outcome).toBe(step === 'preflight' || step === 'begin' ? 'nothing' : 'undone');
        expect(after).toMatchObject({ phase: before.phase, epoch: before.epoch });
      }
      await oneAuthority();
      expect(await resumeCutover(context)).toMatchObject({ outcome: 'nothing' });
    });
  }

  test('and after all that it can still be changed, there and back', async () => {
    await ready('target');
    expect(await change('target')).toMatchObject({ outcome: 'committed', settled: true });
    await oneAuthority();
    expect(await change('source')).toMatchObject({ outcome: 'committed', settled: true });
    await oneAuthority();
  });
});

function untilKilled(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve();
      else reject(new Error(`the coordinator ended with ${code ?? signal}: ${errors}`));
    });
  });
}
