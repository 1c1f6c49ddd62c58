import { afterEach, describe, expect, test } from 'vitest';
import { openRig, type Rig } from '../support/router-rig.ts';

let rig: Rig;
afterEach(() => rig.close());

const ada = { id: 1, name: 'Ada', city: 'Łódź' };

describe('a start that died between the guard and the state', () => {
  test('does not stop the application: the write is journalled, and follows when somebody does', async () => {
    rig = await openRig();
    await rig.guards({ ...rig.router.state(), phase: 'dual-write' });
    await rig.router.collection('customers').put(ada);
    expect(rig.router.state().phase).toBe('off');
    expect(await rig.stored('source', '1')).not.toBeNull();
    expect(await rig.context.stores.source.queue.depth()).toMatchObject({ waiting: 1, dead: 0 });
    expect(rig.of('write').map(({ outcome, phase }) => [outcome, phase])).toEqual([
      ['committed', 'off'],
    ]);
  });

  test('keeps refusing a fail-closed write, whose follower nobody would ask', async () => {
    rig = await openRig({ collection: { failureMode: 'fail-closed' }, router: { holdMs: 400 } });
    await rig.guards({ ...rig.router.state(), phase: 'dual-write' });
    const write = rig.router.collection('customers').put(ada);
    await expect(write).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
    expect(await rig.stored('source', '1')).toBeNull();
  });
});

test('a process with an old epoch is refused, however long nothing newer is known', async () => {
  rig = await openRig({ router: { holdMs: 500 } });
  await rig.guards({ ...rig.router.state(), phase: 'dual-write', epoch: 3 });
  const write = rig.router.collection('customers').put(ada);
  await expect(write).rejects.toMatchObject({ code: 'AUTHORITY_FENCED' });
  expect(await rig.stored('source', '1')).toBeNull();
});
