import { expect, test } from 'vitest';
import { LogDelivery } from '../../src/capture/log-delivery.ts';
import type { StreamEnds } from '../../src/capture/log-stream.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import { ChangeoverError } from '../../src/errors/index.ts';
import type { LogCheckpoint } from '../../src/log/index.ts';
import type { LogApplied, LogApply, LogDoor } from '../../src/store/index.ts';
import { latch } from '../support/memory-migration.ts';

const at = (sequence: bigint): LogCheckpoint => ({
  identity: 'log',
  position: { sequence, text: String(sequence) },
  skip: 0,
});

/** A delivery from checkpoint 0 to a door that answers each batch, by where it ends, as it is told. */
function deliveryTo(answers: Readonly<Record<string, () => Promise<LogApplied>>>): LogDelivery {
  const door: LogDoor = {
    checkpoint: async () => null,
    begin: async () => at(0n),
    move: async () => {},
    forget: async () => {},
    apply: ({ to }: LogApply) => (answers[to.position.text] as () => Promise<LogApplied>)(),
  };
  const ends = { stream: 's', authority: 'source', follower: 'target', door } as StreamEnds;
  return new LogDelivery({} as MigrationContext, ends, { epoch: 1, timeoutMs: 1_000 }, at(0n));
}

test('a batch behind one that failed has ended too when it is told that it failed', async () => {
  const answer = latch();
  let ended = false;
  const delivery = deliveryTo({
    1: () => Promise.reject(new ChangeoverError('STORE_UNAVAILABLE', 'gone')),
    2: async () => {
      await answer.opened;
      ended = true;
      throw new ChangeoverError('CHECKPOINT_MOVED', 'early');
    },
  });
  const first = delivery.deliver([], at(1n));
  const second = delivery.deliver([], at(2n));
  await expect(first).rejects.toThrow('gone');
  setTimeout(answer.open, 50);
  await expect(second).rejects.toThrow('gone');
  expect(ended).toBe(true);
});
