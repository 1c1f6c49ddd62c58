import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openStateView } from '../../src/router/state-view.ts';
import { migrationName, openRig, type Rig, until } from '../support/router-rig.ts';

let rig: Rig;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'changeover-state-'));
});
afterEach(async () => {
  rig.control.hook = null;
  await rig.close();
  await rm(folder, { recursive: true });
});

const registered = (id = 'first') => rig.control.of(migrationName).instances.get(id);
const partition = {
  request: () => Promise.reject(new Error('partition')),
  reply: async () => {},
};

/** A read that is under way until it is let go. */
function slowRead(): { readonly done: Promise<unknown>; readonly release: () => void } {
  let release: () => void = () => {};
  const wait = new Promise<string>((resolve) => {
    release = () => resolve('x');
  });
  return { done: rig.router.read('slow', { source: () => wait, target: () => wait }), release };
}

describe('the acknowledged version', () => {
  test('rises only when nothing is in flight that an older state routed', async () => {
    rig = await openRig();
    const before = rig.router.state().version;
    const [first, second] = [slowRead(), slowRead()];
    const { version } = rig.publish({ phase: 'dual-write' });
    await until(() => rig.router.state().version === version);
    const third = slowRead();
    await rig.context.runtime.clock.sleep(30);
    expect(registered()?.acknowledgedVersion).toBe(before);
    first.release();
    await first.done;
    await rig.context.runtime.clock.sleep(30);
    expect(registered()?.acknowledgedVersion).toBe(before);
    second.release();
    await second.done;
    await until(() => registered()?.acknowledgedVersion === version);
    third.release();
    await third.done;
  });

  test('waits for the oldest of several states, and skips those that routed nothing', async () => {
    rig = await openRig();
    const old = slowRead();
    const before = rig.router.state().version;
    for (const dialBasisPoints of [1, 2, 3]) rig.publish({ phase: 'read-switch', dialBasisPoints });
    await until(() => rig.router.state().version === before + 3);
    const newer = slowRead();
    rig.publish({ dialBasisPoints: 4 });
    await until(() => rig.router.state().version === before + 4);
    newer.release();
    await newer.done;
    await rig.context.runtime.clock.sleep(20);
    expect(registered()?.acknowledgedVersion).toBe(before);
    old.release();
    await old.done;
    await until(() => registered()?.acknowledgedVersion === before + 4);
  });

  test('is told at once, also when it rises while a heartbeat is under way', async () => {
    rig = await openRig({ router: { leaseMs: 60_000 } });
    for (let round = 0; round < 30; round++) {
      const read = slowRead();
      const { version } = rig.publish({ dialBasisPoints: round });
      rig.control.hook = {
        request: async () => rig.context.runtime.clock.sleep(round % 3),
        reply: async () => {},
      };
      await until(() => rig.router.state().version === version);
      read.release();
      await read.done;
      await until(() => registered()?.acknowledgedVersion === version);
    }
  });

  test('does not rise for held writes that were routed by nobody yet', async () => {
    rig = await openRig();
    const cutover = {
      attempt: 'a',
      owner: 'o',
      to: 'target' as const,
      phaseAfter: 'write-switch' as const,
      epoch: 2,
      writesHeld: true,
      status: 'running' as const,
    };
    const { version } = await rig.enter({ phase: 'read-switch', cutover });
    const write = rig.router.collection('customers').put({ id: 1, name: 'x', city: null });
    await until(() => registered()?.acknowledgedVersion === version);
    await rig.enter({ cutover: null });
    await write;
  });
});

describe('a lost control store', () => {
  test('stops neither reads nor writes, is said once, and so is its return', async () => {
    rig = await openRig({ router: { leaseMs: 60 } });
    await rig.enter({ phase: 'dual-write' });
    rig.control.hook = partition;
    await until(() => rig.of('control').length === 1);
    const customers = rig.router.collection('customers');
    await customers.put({ id: 1, name: 'Ada', city: null });
    expect(await customers.get('1')).toMatchObject({ name: 'Ada' });
    await rig.context.runtime.clock.sleep(50);
    rig.control.hook = null;
    await until(() => rig.of('control').length === 2);
    expect(rig.of('control').map(({ reachable }) => reachable)).toEqual([false, true]);
  });

  test('is found again by the heartbeat, so that the fleet hears of this instance soon', async () => {
    rig = await openRig({ router: { leaseMs: 90 } });
    rig.control.hook = partition;
    await until(() => rig.of('control').length === 1);
    await rig.context.control.fleet.remove(migrationName, 'first').catch(() => {});
    rig.control.of(migrationName).instances.clear();
    rig.control.hook = null;
    await until(() => registered() !== undefined);
  });
});

describe('a cold start', () => {
  test('without control store and without memory refuses to guess', async () => {
    rig = await openRig();
    rig.control.hook = partition;
    await expect(rig.openRouter({}, 'second')).rejects.toMatchObject({
      code: 'CONTROL_UNAVAILABLE',
    });
  });

  test('without control store goes on by the remembered state', async () => {
    const stateFile = join(folder, 'deep', 'state.json');
    rig = await openRig({ router: { stateFile } });
    const state = await rig.enter({ phase: 'dual-write' });
    await until(async () => {
      const text = await readFile(stateFile, 'utf8').catch(() => '{"version":0}');
      return (JSON.parse(text) as { version: number }).version === state.version;
    });
    rig.control.hook = partition;
    const second = await rig.openRouter({ stateFile }, 'second');
    expect(second.state()).toEqual(state);
    await second.collection('customers').put({ id: 1, name: 'Ada', city: null });
    expect(await rig.stored('source', '1')).not.toBeNull();
  });

  test('from memory is told that the control store is away, and later that it is back', async () => {
    const stateFile = join(folder, 'state.json');
    rig = await openRig();
    await writeFile(stateFile, JSON.stringify(rig.router.state()));
    await rig.router.close();
    rig.events.length = 0;
    rig.control.hook = partition;
    await rig.openRouter({ stateFile, leaseMs: 60 });
    rig.control.hook = null;
    await until(() => rig.of('control').at(-1)?.reachable === true);
    expect(rig.of('control').map(({ reachable }) => reachable)).toEqual([false, true]);
  });

  test.each([
    ['no JSON', 'half a st'],
    ['another migration', '{"formatVersion":1,"migration":"billing","version":3}'],
    ['a format of the future', '{"formatVersion":3,"migration":"shop","version":3}'],
    ['a phase that does not exist', '{"phase":"limbo"}'],
    ['half a state', '{"formatVersion":1,"migration":"shop","version":3}'],
    ['null', 'null'],
  ])(
    'with a memory file that holds %s says so instead of starting from nothing',
    async (_what, text) => {
      rig = await openRig();
      const stateFile = join(folder, 'state.json');
      const whole = {
        ...rig.router.state(),
        ...(text.includes('limbo') ? { phase: 'limbo' } : {}),
      };
      await writeFile(stateFile, text.includes('limbo') ? JSON.stringify(whole) : text);
      rig.control.hook = partition;
      await expect(rig.openRouter({ stateFile }, 'second')).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
    },
  );

  test('with a control store never looks at the memory', async () => {
    rig = await openRig();
    const stateFile = join(folder, 'state.json');
    await writeFile(stateFile, 'rubbish');
    const second = await rig.openRouter({ stateFile }, 'second');
    expect(second.state()).toEqual(rig.router.state());
  });
});

describe('close', () => {
  test('leaves the fleet when nothing is in flight any more, and refuses what comes later', async () => {
    rig = await openRig();
    const read = slowRead();
    const closing = rig.router.close();
    await rig.context.runtime.clock.sleep(20);
    expect(registered()).toBeDefined();
    await expect(rig.router.collection('customers').get('1')).rejects.toMatchObject({
      code: 'CLOSED',
    });
    read.release();
    await Promise.all([read.done, closing, rig.router.close()]);
    expect(registered()).toBeUndefined();
  });

  test('does not claim to be gone while an operation never ends', async () => {
    rig = await openRig({ router: { authorityTimeoutMs: 20 } });
    const read = slowRead();
    await rig.router.close();
    expect(registered()).toBeDefined();
    read.release();
    await read.done;
  });

  test('ends when the last state is remembered, so that a process may exit after it', async () => {
    rig = await openRig();
    const events: string[] = [];
    const view = await openStateView(rig.context, {
      kind: 'router',
      label: 'second',
      leaseMs: 1_000,
      memory: {
        load: async () => null,
        save: async () => {
          await setTimeout(50);
          events.push('saved');
        },
      },
    });
    await view.close();
    events.push('closed');
    expect(events).toEqual(['saved', 'closed']);
  });

  test('is bounded when the control store hangs', async () => {
    rig = await openRig();
    rig.control.hook = { request: () => new Promise(() => {}), reply: async () => {} };
    const started = performance.now();
    await rig.router.close();
    expect(performance.now() - started).toBeLessThan(6_000);
  });
});
