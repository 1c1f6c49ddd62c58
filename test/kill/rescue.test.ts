import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainOnce, drainUntilEmpty } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { type Controller, createController } from '../../src/controller/index.ts';
import {
  cutoverSteps,
  expectedGuard,
  resumeCutover,
  switchAuthority,
} from '../../src/cutover/index.ts';
import { authorityOf, type MigrationState } from '../../src/migration/index.ts';
import { tendGap } from '../../src/rescue/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, pass } from '../support/memory-migration.ts';

const program = fileURLToPath(new URL('../support/rescue-and-die.ts', import.meta.url));
const never = new AbortController().signal;
type What = 'rescue' | 'unreachable' | 'collect' | 'apply' | 'resolve';

describe('kill -9 of whoever carries out a rescue loses nothing', () => {
  const databases = withDatabases(2);
  let folder: string;
  let controlFile: string;
  let context: MigrationContext;
  let controller: Controller;
  let round = 0;

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
    controller = createController(context);
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
  const ids = () => ['1', '2', '3', '4'].map((id) => String(round * 10 + Number(id)));

  async function put(id: string, value: string): Promise<void> {
    const { phase, epoch } = await load();
    await context.stores[authorityOf(phase)].records.write({
      collection: 'things',
      key: [id],
      action: 'put',
      record: { id, value },
      epoch,
      journal: 'change',
      graceMs: 0,
      timeoutMs: 2_000,
    });
  }

  /** The target is the authority; of this round's things three have a newer state there than in the source, and one is only there. */
  async function fails(): Promise<void> {
    round += 1;
    const state = await load();
    if (authorityOf(state.phase) === 'source') {
      for (const id of ids().slice(0, 3)) await put(id, 'old');
      await switchAuthority(context, { to: 'target', phaseAfter: 'write-switch', ...by, drain });
    }
    for (const id of ids()) await put(id, 'lost');
  }

  const kill = (what: What, moment: string): Promise<void> =>
    untilKilled([databases.url(0), databases.url(1), controlFile, what, moment]);

  async function resumed(): Promise<string> {
    for (let tries = 0; tries < 200; tries++) {
      const { outcome } = await resumeCutover(context);
      if (outcome !== 'running') return outcome;
      await systemRuntime.clock.sleep(25);
    }
    throw new Error('the lease of a dead coordinator does not run out');
  }

  /** One that the source has written again stays as it is, the others come back; then both stores hold the same. */
  async function finished(touched: string): Promise<void> {
    await tendGap(context, never);
    // Killed after its last decision: the worker has closed the gap.
    if ((await load()).gap !== undefined)
      await controller.gap.apply({ ...by, mode: 'apply', listMax: 10, signal: never });
    const open = (await load()).gap;
    if (open !== undefined) {
      const { records } = await controller.gap.list({ statuses: ['conflict'], limit: 10 });
      expect(records.map(({ key }) => key)).toEqual([JSON.stringify([touched])]);
      await controller.gap.resolve({ ...by, take: 'source', which: 'all', signal: never });
    }
    await agree(touched);
  }

  async function agree(touched: string): Promise<void> {
    await tendGap(context, never);
    const state = await load();
    expect(state).toMatchObject({ cutover: null, formatVersion: 1 });
    expect(state.gap).toBeUndefined();
    for (const side of ['source', 'target'] as const)
      expect(await context.stores[side].guard.read(), side).toEqual(expectedGuard(state, side));
    await drainUntilEmpty(context, state, applierDefaults, 10_000, never);
    expect(await context.stores.target.queue.depth()).toMatchObject({ waiting: 0, dead: 0 });
    const rows = (index: number) =>
      databases.query(index, 'SELECT id, value FROM things ORDER BY id');
    expect(await rows(1)).toEqual(await rows(0));
    const held = await databases.query<{ id: number; value: string }>(
      0,
      `SELECT id, value FROM things WHERE id / 10 = ${round} ORDER BY id`,
    );
    expect(held).toEqual(
      ids().map((id) => ({ id: Number(id), value: id === touched ? 'new' : 'lost' })),
    );
  }

  const steps = {
    rescue: cutoverSteps,
    // Its other steps are those of every attempt, or none.
    unreachable: ['arm', 'acknowledge', 'flip', 'commit', 'settle'],
  } as const;
  for (const what of ['rescue', 'unreachable'] as const) {
    test.each(steps[what])(`a coordinator (${what}) before %s`, async (step) => {
      await fails();
      const before = await load();
      await kill(what, step);
      await resumed();
      const after = await load();
      if (step === 'settle') {
        expect(after).toMatchObject({ epoch: before.epoch + 1, gap: { epoch: before.epoch } });
      } else {
        expect(after).toMatchObject({ phase: 'write-switch', epoch: before.epoch, cutover: null });
        expect(after.formatVersion).toBe(1);
        const [id = ''] = ids();
        await put(id, 'lost');
        await controller.rescue(by);
      }
      const touched = ids()[1] ?? '';
      await put(touched, 'new');
      await finished(touched);
    });
  }

  const moments: readonly (readonly [What, string])[] = [
    ['collect', 'target-guard.change'],
    ['collect', 'after:target-guard.change'],
    ['collect', 'target-queue.entries'],
    ['collect', 'gaps.record'],
    ['collect', 'after:gaps.record'],
    ['collect', 'control.commit'],
    ['collect', 'after:control.commit'],
    ['collect', 'target-queue.complete'],
    ['apply', 'source.write'],
    ['apply', 'after:source.write'],
    ['apply', 'gaps.decide'],
    ['apply', 'after:gaps.decide'],
    ['resolve', 'control.note'],
    ['resolve', 'source-queue.enqueue'],
    ['resolve', 'after:source-queue.enqueue'],
    ['resolve', 'gaps.decide'],
    ['resolve', 'after:gaps.decide'],
    ['resolve', 'control.commit'],
  ];
  test.each(moments)('%s at %s', async (what, moment) => {
    await fails();
    await controller.rescue({ ...by, targetUnreachable: moment.includes('target-guard') });
    const touched = ids()[1] ?? '';
    await put(touched, 'new');
    if (what !== 'collect') await tendGap(context, never);
    if (what === 'resolve')
      await controller.gap.apply({ ...by, mode: 'apply', listMax: 10, signal: never });
    await kill(what, moment);
    await finished(touched);
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
      else reject(new Error(`it ended with ${code ?? signal}: ${errors}`));
    });
  });
}
