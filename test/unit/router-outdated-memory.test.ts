import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ChangeoverError } from '../../src/errors/index.ts';
import type { MigrationState } from '../../src/migration/index.ts';
import { openRig, type Rig } from '../support/router-rig.ts';

let rig: Rig;
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'changeover-memory-'));
});
afterEach(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

const away = async (): Promise<never> => {
  throw new ChangeoverError('CONTROL_UNAVAILABLE', 'The network is cut.');
};

/** A cold start without control store, by this memory, after authority has moved on to epoch 3. */
async function coldStart(
  remembered: Partial<MigrationState>,
  now: MigrationState['phase'] = 'read-switch',
): Promise<unknown> {
  rig = await openRig();
  const state = await rig.enter({ phase: now, epoch: 3 });
  await rig.guards(state);
  const stateFile = join(folder, 'state.json');
  await writeFile(stateFile, JSON.stringify({ ...state, ...remembered }));
  rig.control.hook = { request: away, reply: async () => {} };
  return rig.openRouter({ stateFile }, 'second').catch((error: unknown) => error);
}

test('a cold start by a memory from before a change of authority is refused: its reads would be old, and nothing would say so', async () => {
  expect(await coldStart({ phase: 'write-switch', epoch: 2 })).toMatchObject({
    code: 'CONTROL_UNAVAILABLE',
    message: expect.stringMatching(
      /out of date \(write-switch, epoch 2\).*target is follower in epoch 3/,
    ),
  });
});

test('a cold start by a memory of the present epoch goes on', async () => {
  expect(await coldStart({ version: 1 })).toMatchObject({ read: expect.any(Function) });
});

test('a cold start by a memory of a phase that was left for good is refused', async () => {
  expect(await coldStart({ phase: 'read-switch' }, 'off')).toMatchObject({
    code: 'CONTROL_UNAVAILABLE',
    message: expect.stringMatching(/out of date \(read-switch, epoch 3\).*source is idle/),
  });
});
