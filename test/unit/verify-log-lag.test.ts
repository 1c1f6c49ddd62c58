import { afterEach, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import type { MigrationState } from '../../src/migration/index.ts';
import type { Position } from '../../src/record/index.ts';
import { type VerifyReport, verifyCollection } from '../../src/verify/index.ts';
import { bring, memoryMigration } from '../support/memory-migration.ts';

const stream = 'changeover_shop_s_1';
const recheck = { delaysMs: [1, 5], hotDelayMs: 5, lagMaxMs: 1_500 };

/** A source that writes without a break, and a follower that is so far behind whenever it is asked. */
interface Lagging {
  readonly context: MigrationContext;
  readonly state: MigrationState;
  write(id: string, name: string): Promise<unknown>;
}

let stop: () => Promise<void> = async () => {};
afterEach(() => stop());

async function lagging(lagMs: number): Promise<Lagging> {
  const context = await memoryMigration('log').open('verifier');
  const state = await bring(context, 'shadow-read');
  const { source, target } = context.stores;
  const { log } = source;
  const door = target.door.log;
  if (!log || !door) throw new Error('The memory stores have a log.');
  await door.begin(stream, await log.install(stream, 1_000));
  const begun = await door.checkpoint(stream);
  if (!begun) throw new Error('It was begun above.');
  const write = (id: string, name: string): Promise<unknown> =>
    source.records.write({
      collection: 'items',
      key: [id],
      action: 'put',
      record: { id, name },
      epoch: state.epoch,
      journal: 'log',
      graceMs: 0,
      timeoutMs: 1_000,
    });
  const ends: { readonly atMs: number; readonly position: Position }[] = [];
  let going = true;
  const traffic = (async () => {
    for (let count = 0; going; count += 1) {
      await write('busy', `value ${count}`);
      ends.push({ atMs: performance.now(), position: await log.end() });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  stop = async () => {
    going = false;
    await traffic;
  };
  const checkpoint = async () => {
    const until = performance.now() - lagMs;
    const reached = ends.findLast(({ atMs }) => atMs <= until);
    return reached ? { ...begun, position: reached.position } : begun;
  };
  const behind = { ...target, door: { ...target.door, log: { ...door, checkpoint } } };
  return { context: { ...context, stores: { source, target: behind } }, state, write };
}

const verify = ({ context, state }: Lagging, id: string): Promise<VerifyReport> => {
  const options = { currentState: () => state, keys: [[id]], recheck, aligned: false as const };
  return verifyCollection(context, 'items', options, new AbortController().signal);
};

test('what is lost is found behind a log that never stands still', async () => {
  const world = await lagging(100);
  await world.write('1', 'never applied');
  const report = await verify(world, '1');
  expect(report).toMatchObject({ outcome: 'failed', waiting: 0, unresolved: 0 });
  expect(report.persistent).toEqual({ missing: 1, extra: 0, different: 0 });
  expect(report.durationMs).toBeLessThan(1_400);
});

test('what the follower has not come to is not called a difference for good', async () => {
  const world = await lagging(60_000);
  await world.write('1', 'to be applied later');
  const report = await verify(world, '1');
  expect(report).toMatchObject({ outcome: 'failed', waiting: 1, unresolved: 1 });
  expect(report.persistent).toEqual({ missing: 0, extra: 0, different: 0 });
  const [line] = await world.context.control.mismatches.list('shop', { limit: 1 });
  expect(line).toMatchObject({
    status: 'suspect',
    note: expect.stringMatching(/^not applied yet/),
  });
});

test('a record that was written while the follower came to it is looked at anew', async () => {
  const world = await lagging(300);
  const { target } = world.context.stores;
  await world.write('1', 'first');
  const found = verify(world, '1');
  await new Promise((resolve) => setTimeout(resolve, 100));
  await world.write('1', 'second');
  await target.door.apply(
    [
      {
        collection: 'items',
        key: ['1'],
        version: { epoch: world.state.epoch, sequence: 1n },
        value: { id: '1', name: 'second' },
        origin: 'log',
      },
    ],
    { epoch: world.state.epoch, timeoutMs: 1_000 },
  );
  expect(await found).toMatchObject({ outcome: 'passed', transient: 1 });
});
