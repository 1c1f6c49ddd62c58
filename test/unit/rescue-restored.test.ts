import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { expectedGuard, switchAuthority } from '../../src/cutover/index.ts';
import { tendGap } from '../../src/rescue/index.ts';
import {
  bring,
  by,
  drainBy,
  type MemoryMigration,
  memoryMigration,
} from '../support/memory-migration.ts';
import {
  apply,
  collect,
  gapOf,
  held,
  never,
  rescue,
  statuses,
  switchToTarget,
  work,
  write,
} from '../support/rescue-rig.ts';

let migration: MemoryMigration;
let context: MigrationContext;
let other: MigrationContext;

beforeEach(async () => {
  migration = memoryMigration();
  context = await migration.open('operator');
  other = await migration.open('successor');
  await bring(context, 'read-switch');
  for (const id of ['a', 'b', 'c']) await write(context, 'source', id, `old ${id}`);
  await switchToTarget(context);
  await write(context, 'target', 'a', 'lost a');
  await write(context, 'target', 'b', null);
  await write(context, 'target', 'd', 'lost d');
});

const load = () => other.control.load('shop');
async function guardsAsExpected(): Promise<void> {
  const state = await load();
  for (const side of ['source', 'target'] as const)
    expect(await other.stores[side].guard.read()).toEqual(expectedGuard(state, side));
}

test('after a rollback that died when it had flipped the target, the gap is collected as ever', async () => {
  const rollback = switchAuthority(context, {
    to: 'source',
    phaseAfter: 'read-switch',
    ...by,
    drain: drainBy(context),
    undoMs: 300,
    lockTimeoutMs: 50,
    onStep: (step) => {
      if (step !== 'commit') return;
      migration.databases.target.stop();
      throw new Error('dies');
    },
  });
  await expect(rollback).rejects.toMatchObject({ name: 'ChangeoverError' });
  await rescue(other, true);
  migration.databases.target.start();
  expect(await other.stores.target.guard.read()).toMatchObject({ role: 'follower', epoch: 3 });
  await tendGap(other, never);
  expect((await load()).gap).toBeUndefined();
  await guardsAsExpected();
});

describe('a target that was restored from a backup', () => {
  /** As it stood before the switch: its guard, its records, nothing in its queue. */
  async function restore(guardToo = true): Promise<void> {
    const { guard, queue, records } = context.stores.target;
    const old = [
      ['a', 'old a'],
      ['b', 'old b'],
      ['d', null],
    ] as const;
    for (const [id, name] of old)
      await records.write({
        collection: 'items',
        key: [id],
        action: name === null ? 'delete' : 'put',
        record: { id, name },
        epoch: 2,
        journal: 'change',
        graceMs: 0,
        timeoutMs: 1_000,
      });
    await queue.complete(((await queue.entries?.(null, 100)) ?? []).map(({ id }) => id));
    if (!guardToo) return;
    const row = await guard.read();
    await guard.change(row, { role: 'follower', epoch: 1, attempt: null }, 1_000);
  }

  test('is not believed, but can be compared', async () => {
    await rescue(context, true);
    const { guard } = context.stores.target;
    const row = await guard.read();
    await guard.change(row, { role: 'follower', epoch: 1, attempt: null }, 1_000);
    await expect(collect(context)).rejects.toMatchObject({ code: 'CONTROL_MISMATCH' });
    expect((await load()).gap?.stage).toBe('uncollected');
    await collect(context, true);
    expect(await statuses(context)).toEqual({ a: 'conflict', b: 'conflict', d: 'conflict' });
    await guardsAsExpected();
  });

  test('is not taken for whole by a worker while, or after, somebody compares it', async () => {
    await rescue(context, true);
    await restore();
    const compared = gapOf(context).collect({ ...by, sweep: true, signal: AbortSignal.abort() });
    await expect(compared).rejects.toMatchObject({ name: 'AbortError' });
    await expect(tendGap(other, never)).rejects.toMatchObject({ code: 'CONTROL_MISMATCH' });
    expect((await load()).gap?.stage).toBe('uncollected');
    expect((await collect(context, true)).outcome).toBe('collected');
    await guardsAsExpected();
  });

  test.each([
    ['before the switch', true],
    ['after it', false],
  ])(
    '%s: what the source has got from it since stands until a person decides',
    async (_, guardToo) => {
      await work(context);
      expect(await held(context, 'source', 'a')).toBe('lost a');
      const { attempt } = await rescue(context, true);
      await restore(guardToo);
      await collect(context, true);
      expect(await statuses(context)).toEqual({ a: 'conflict', b: 'conflict', d: 'conflict' });
      expect((await apply(context, 'preview')).counts).toMatchObject({
        put: 0,
        delete: 0,
        conflict: 3,
      });
      expect((await apply(context)).counts).toMatchObject({ put: 0, delete: 0 });
      expect(await held(context, 'source', 'a')).toBe('lost a');
      expect(await held(context, 'source', 'b')).toBeNull();
      expect(await held(context, 'source', 'd')).toBe('lost d');
      await gapOf(context).resolve({ ...by, take: 'source', which: 'all', signal: never });
      await work(context);
      expect(await held(context, 'target', 'a')).toBe('lost a');
      expect(await held(context, 'target', 'd')).toBe('lost d');
      expect((await statuses(context, attempt))['a']).toBe('taken-source');
    },
  );
});
