import { expect, test } from 'vitest';
import { createShadowCounts } from '../../src/router/shadow-counts.ts';
import { systemClock } from '../../src/runtime/index.ts';
import { memoryMigration } from '../support/memory-migration.ts';

test('what a process counted before it slept is as old as it is when it is sent', async () => {
  const opened = await memoryMigration().open('one');
  let nowMs = Date.UTC(2026, 0, 1);
  const clock = { ...systemClock, now: () => nowMs };
  const context = { ...opened, runtime: { ...opened.runtime, clock } };
  const counts = createShadowCounts(context);
  counts.add('items', 'matched');
  counts.prove('items', 'aaaaaaaa');
  counts.took('items', { source: 1, target: 1 });
  nowMs += 3 * 3_600_000;
  await counts.flush();
  const minute = Date.UTC(2026, 0, 1) / 60_000;
  expect(await opened.control.evidence.since('shop', 0)).toMatchObject([{ minute, matched: 1 }]);
  expect(await opened.control.evidence.latencies('shop', minute + 1)).toEqual([]);
});
