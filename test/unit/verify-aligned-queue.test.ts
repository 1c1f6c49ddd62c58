import { describe, expect, test } from 'vitest';
import { systemRuntime } from '../../src/runtime/index.ts';
import { idOf } from '../support/aligned-rig.ts';
import { latch } from '../support/memory-migration.ts';
import { type QueueRig, queueRig } from '../support/queue-rig.ts';

const { clock } = systemRuntime;
const ids = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => idOf(from + index));

describe('a comparison at one position of the queue', () => {
  test('takes nothing that is on its way for a difference, however much is written', async () => {
    const rig = await queueRig(600);
    const stops = [rig.worker(30), rig.traffic(ids(1, 600))];
    const report = await rig.verify();
    for (const stop of stops) await stop();
    expect(report).toMatchObject({ outcome: 'passed', unresolved: 0 });
    expect(report.persistent).toEqual({ missing: 0, extra: 0, different: 0 });
    expect(report.proof).toMatchObject({ kind: 'aligned', by: 'queue', overruled: 0 });
    expect(report.suspects).toBe(report.proof.exclusions.hotKeys);
    expect(report.proof.records).toBeGreaterThan(400);
    expect(report.proof.sentence).toMatch(/number \d+ of its queue/);
  });

  test.each([
    [false, 'record by record'],
    [true, 'by digests'],
  ])('finds what was changed behind the door, both ways (%s: %s)', async (digests) => {
    const rig = await queueRig(400);
    const stops = [rig.worker(20), rig.traffic(ids(300, 400))];
    await rig.rogue(idOf(42), null);
    await rig.rogue(idOf(101), 'wrong');
    await rig.rogue('99999', 'tail');
    const report = await rig.verify({ aligned: { digests } });
    for (const stop of stops) await stop();
    expect(report.persistent).toEqual({ missing: 1, extra: 1, different: 1 });
    expect(report.proof).toMatchObject({ kind: 'aligned', overruled: 0 });
    expect(report.proof.ways.map(({ way }) => way)).toEqual([digests ? 'digest' : 'stream']);
  });

  test('waits once for a follower that stands still, and proves what has not changed', async () => {
    const rig = await queueRig(500);
    for (const id of [idOf(3), idOf(250), idOf(450)]) await rig.write(id, 'waits');
    const report = await rig.verify({
      aligned: { segmentRows: 100, lagMs: 200 },
      recheck: { delaysMs: [1], lagMaxMs: 50, hotDelayMs: 5 },
    });
    expect(report).toMatchObject({ outcome: 'failed', unresolved: 3, waiting: 3 });
    expect(report.proof).toMatchObject({ kind: 'aligned', records: 497 });
    expect(report.proof.exclusions).toMatchObject({ rangesTotal: 0, queuedKeys: 3 });
  });

  test('leaves a dead letter to the recheck, which calls it a difference', async () => {
    const rig = await queueRig(20);
    await rig.write(idOf(7), 'refused');
    const claimed = await rig.context.stores.source.queue.claim(10, 'test', 1_000);
    const dead = claimed.map(({ id }) => id);
    await rig.context.stores.source.queue.bury(dead, 'refused by a test');
    const report = await rig.verify();
    expect(report).toMatchObject({ persistent: { different: 1 }, dead: 1 });
    expect(report.proof.exclusions.queuedKeys).toBe(1);
  });
});

describe('each of these wrong ways loses', () => {
  type Sabotage = 'read-ahead-trusted' | 'number-trusted' | 'queue-beside';
  const overruled = async (
    prepare: (rig: QueueRig) => Promise<void>,
    sabotage: readonly Sabotage[],
  ): Promise<number> => {
    const rig = await queueRig(50);
    await prepare(rig);
    const { proof, persistent } = await rig.verify({ aligned: { sabotage } });
    expect(persistent).toEqual({ missing: 0, extra: 0, different: 0 });
    expect(proof.kind).toBe('aligned');
    return proof.overruled;
  };

  test('one look at the follower, which has come on since the authority was looked at', async () => {
    const prepare = async (rig: QueueRig): Promise<void> =>
      rig.before('target', 1, async () => {
        await rig.write(idOf(9), 'moved on');
        await rig.drain();
      });
    expect(await overruled(prepare, [])).toBe(0);
    expect(await overruled(prepare, ['read-ahead-trusted'])).toBeGreaterThan(0);
  });

  test('a number that was drawn before the snapshot and committed behind it, taken for what it shows', async () => {
    const prepare = async (rig: QueueRig): Promise<void> => {
      const [drawn, may] = [latch(), latch()];
      const written = rig.inline(idOf(9), 'drawn early', () => {
        drawn.open();
        return may.opened;
      });
      await drawn.opened;
      rig.before('target', 1, () => {
        may.open();
        return written;
      });
    };
    expect(await overruled(prepare, [])).toBe(0);
    expect(await overruled(prepare, ['number-trusted'])).toBeGreaterThan(0);
  });

  test('a queue that was asked beside the snapshot', async () => {
    const prepare = async (rig: QueueRig): Promise<void> => {
      rig.before('target', 1, async () => {
        await rig.write(idOf(9), 'in doubt');
        await rig.drain();
      });
      rig.before('source', 2, async () => {
        await rig.write(idOf(9), 'in the snapshot and not in the queue');
        void clock.sleep(100).then(() => rig.drain());
      });
    };
    expect(await overruled(prepare, [])).toBe(0);
    expect(await overruled(prepare, ['queue-beside'])).toBeGreaterThan(0);
  });
});
