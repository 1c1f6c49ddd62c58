import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sqlite } from '../../src/adapters/sqlite/index.ts';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import { createController } from '../../src/controller/index.ts';
import { switchAuthority } from '../../src/cutover/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { withDatabases } from '../support/databases.ts';
import { openKillContext, thingsDdl } from '../support/kill-context.ts';
import { by, pass } from '../support/memory-migration.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const databases = withDatabases(2);

test('a rescue from a target that hangs waits for the writes that hang there', async () => {
  for (const side of [0, 1]) await databases.query(side, thingsDdl);
  const { hostname, port } = new URL(databases.url(1));
  const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const folder = mkdtempSync(join(tmpdir(), 'changeover-hanging-'));
  const open = async (instance: string) =>
    openKillContext({
      sourceUrl: databases.url(0),
      targetUrl: proxy.url(databases.url(1)),
      control: await sqlite({ file: join(folder, 'control.db') }).connect(systemRuntime),
      mode: 'deferred',
      instance,
    });
  const [context, application] = [await open('operator'), await open('application')];
  const controller = createController(context);
  await controller.start(by);
  for (const to of ['backfill', 'shadow-read', 'read-switch'] as const)
    await pass(context, { type: 'advance', to });
  const drain = async () => drainOnce(context, await context.control.load('kill'), applierDefaults);
  const to = { to: 'target', phaseAfter: 'write-switch' } as const;
  await switchAuthority(context, { ...to, ...by, drain, prediction: 'note' });
  const router = await createRouter(application, { leaseMs: 60_000 });
  const things = router.collection('things');
  await things.put({ id: 1, value: 'before' });
  proxy.freeze();
  const hanging = things.put({ id: 2, value: 'hangs' });
  const failed = expect(hanging).rejects.toMatchObject({ name: 'ChangeoverError' });
  try {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const rescued = await controller.rescue({ ...by, targetUnreachable: true });
    expect(rescued.outcome).toBe('committed');
    await failed;
    await things.put({ id: 3, value: 'after' });
    expect(await databases.query(0, 'SELECT id FROM things WHERE id = 3')).toHaveLength(1);
  } finally {
    proxy.resume();
    await router.close();
    for (const { stores, control } of [context, application]) {
      await Promise.all([stores.source.close(), stores.target.close()]);
      await control.close();
    }
    await proxy.close();
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
