import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainUntilEmpty } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { expectedGuard } from '../../src/cutover/index.ts';
import { createRouter, type Router } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';

const program = fileURLToPath(new URL('../support/start-and-die.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');

/** In the order in which a start comes to them. */
const moments = [
  'target installing',
  'target installed',
  'source installing',
  'source installed',
  'source guard authority',
  'started',
];

describe('kill -9 of a start', () => {
  const databases = withDatabases(2, { scope: 'test' });
  const folders: string[] = [];
  let context: MigrationContext;
  let router: Router;
  let file: string;

  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'changeover-start-'));
    folders.push(folder);
    file = join(folder, 'control.db');
    for (const side of [0, 1]) await databases.query(side, thingsDdl);
    context = await openKillContext({
      sourceUrl: databases.url(0),
      targetUrl: databases.url(1),
      control: await sqlite({ file }).connect(systemRuntime),
      mode: 'serial',
      instance: 'application',
    });
    router = await createRouter(context, { label: 'application', graceMs: 300 });
  });
  afterEach(async () => {
    await router.close();
    const { stores, control } = context;
    await Promise.all([stores.source.close(), stores.target.close(), control.close()]);
  });
  afterAll(() =>
    Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))),
  );

  const rows = (side: 0 | 1): Promise<unknown[]> =>
    databases.query(side, 'SELECT id, value FROM things ORDER BY id');

  test.each(moments)(
    'at "%s" leaves the application working, and a second start finishes it',
    async (moment) => {
      const things = router.collection('things');
      await things.put({ id: 1, value: 'before' });
      const { signal, stderr } = spawnSync(
        process.execPath,
        ['--import', tsx, program, databases.url(0), databases.url(1), file, moment],
        { encoding: 'utf8' },
      );
      expect([signal, stderr]).toEqual(['SIGKILL', expect.anything()]);

      await things.put({ id: 2, value: 'between' });
      const controller = createController(context);
      const begun = (await context.control.load('kill')).phase !== 'off';
      expect(begun).toBe(moment === 'started');
      const again = controller.start({ actor: 'test', reason: 'again', truncateTarget: true });
      if (begun) await expect(again).rejects.toMatchObject({ code: 'TRANSITION_REFUSED' });
      else await again;

      const state = await context.control.load('kill');
      expect(state).toMatchObject({ phase: 'dual-write', epoch: 1, generation: 1 });
      for (const side of ['source', 'target'] as const)
        expect(await context.stores[side].guard.read(), side).toEqual(expectedGuard(state, side));
      await things.put({ id: 3, value: 'after' });
      await drainUntilEmpty(context, state, applierDefaults, 5_000, new AbortController().signal);
      expect(await rows(0)).toHaveLength(3);
      expect(await rows(1)).toContainEqual({ id: 3, value: 'after' });

      await controller.abort({ actor: 'test', reason: 'the end' });
      for (const side of ['source', 'target'] as const)
        expect(await context.stores[side].setup.objects()).toEqual([]);
    },
  );
});
