import { expect, test } from 'vitest';
import type { MigrationContext, Mismatch } from '../../src/control/index.ts';
import { RecheckDesk, verifyScope } from '../../src/verify/index.ts';
import { bring, memoryMigration } from '../support/memory-migration.ts';

const stream = 'changeover_shop_s_1';
const never = new AbortController().signal;
/** The first look is an exact one already. */
const recheck = { delaysMs: [1], hotDelayMs: 5, lagMaxMs: 5_000 };

const suspicion = (lastSeenMs: number): Mismatch => ({
  collection: 'items',
  key: '["1"]',
  kind: 'different',
  status: 'suspect',
  detector: 'shadow-read',
  differences: [],
  firstSeenMs: 1,
  lastSeenMs,
  rechecks: 0,
  note: '',
});

test('what an exact look has kept answers no suspicion that came up behind it', async () => {
  const opened = await memoryMigration('log').open('desk');
  const state = await bring(opened, 'shadow-read');
  const { source, target } = opened.stores;
  const { log } = source;
  const door = target.door.log;
  if (!log || !door) throw new Error('The memory stores have a log.');
  await door.begin(stream, await log.install(stream, 1_000));
  const begun = await door.checkpoint(stream);
  if (!begun) throw new Error('It was begun above.');
  let position = begun.position;
  const checkpoint = async () => ({ ...begun, position });
  const behind = { ...target, door: { ...target.door, log: { ...door, checkpoint } } };
  const context: MigrationContext = { ...opened, stores: { source, target: behind } };
  const { mismatches } = context.control;
  const write = (name: string): Promise<unknown> =>
    source.records.write({
      collection: 'items',
      key: ['1'],
      action: 'put',
      record: { id: '1', name },
      epoch: state.epoch,
      journal: 'log',
      graceMs: 0,
      timeoutMs: 1_000,
    });
  const desk = new RecheckDesk(
    verifyScope(context, 'items', { currentState: () => state }, never),
    recheck,
  );
  const suspect = async (seenMs: number): Promise<void> => {
    await mismatches.record('shop', [suspicion(seenMs)]);
    desk.admit(await mismatches.list('shop', { status: 'suspect', limit: 9 }));
  };

  await write('first');
  await suspect(5);
  await new Promise((resolve) => setTimeout(resolve, 10));
  // Reads the authority, and waits for the follower to come there.
  await desk.work();
  expect(desk.size).toBe(1);

  // The first change arrives, the second one is lost, and somebody sees that.
  await target.door.apply(
    [
      {
        collection: 'items',
        key: ['1'],
        version: { epoch: state.epoch, sequence: 1n },
        value: { id: '1', name: 'first' },
        origin: 'log',
      },
    ],
    { epoch: state.epoch, timeoutMs: 1_000 },
  );
  await write('second');
  await suspect(9);
  position = await log.end();
  await desk.drain();
  expect(await mismatches.list('shop', { status: 'open', limit: 9 })).toMatchObject([
    { key: '["1"]', kind: 'different' },
  ]);
});
