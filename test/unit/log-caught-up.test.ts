import { expect, test } from 'vitest';
import { caughtUp } from '../../src/capture/index.ts';
import type { ChangeSource } from '../../src/log/index.ts';
import { systemClock } from '../../src/runtime/index.ts';
import { bring, memoryMigration } from '../support/memory-migration.ts';

test.each(['end', 'challenge', 'retention'] as const)(
  'a store that takes its time with %s is not caught up with yet, and that is no failure',
  async (slow) => {
    const context = await memoryMigration('log').open('operator');
    const state = await bring(context, 'shadow-read');
    const stream = 'changeover_shop_s_1';
    const { source, target } = context.stores;
    const log = source.log as ChangeSource;
    await target.door.log?.begin(stream, await log.install(stream, 1_000));
    const answer = log[slow].bind(log) as (...given: unknown[]) => Promise<unknown>;
    const late = async (...given: unknown[]): Promise<unknown> => {
      await systemClock.sleep(150);
      return answer(...given);
    };
    Object.assign(log, { [slow]: late });
    expect(await caughtUp(context, state, 50)).toBe(false);
    Object.assign(log, { [slow]: answer });
  },
);
