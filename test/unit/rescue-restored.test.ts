import { beforeEach, describe, expect, test } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { expectedGuard, resumeCutover, switchAuthority } from '../../src/cutover/index.ts';
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
    await expect(collect(context)).rejects.toMatchObject({ code: 'STORE_RESTORED' });
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
    await expect(tendGap(other, never)).rejects.toMatchObject({ code: 'STORE_RESTORED' });
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

  test('after the switch, and a rescue that had sealed it: its guard tells, and a worker does not take its queue for the gap', async () => {
    await work(context);
    await rescue(context);
    const { guard } = context.stores.target;
    const row = await guard.read();
    expect(row.role).toBe('sealed');
    await guard.change(row, { role: 'authority', epoch: 2, attempt: null }, 1_000);
    await restore(false);
    await expect(tendGap(other, never)).rejects.toMatchObject({
      code: 'STORE_RESTORED',
      message: expect.stringContaining('rescue collect --sweep'),
    });
    expect((await load()).gap?.stage).toBe('uncollected');
    await collect(context, true);
    expect(await statuses(context)).toEqual({ a: 'conflict', b: 'conflict', d: 'conflict' });
    await guardsAsExpected();
  });

  test('in the middle of the switch: nobody clears the mark that it carries', async () => {
    await rescue(context, true);
    const { guard } = context.stores.target;
    const marked = { role: 'follower', epoch: 1, attempt: 'a switch' } as const;
    await guard.change(await guard.read(), marked, 1_000);
    await resumeCutover(other);
    expect(await guard.read()).toEqual(marked);
    await expect(tendGap(other, never)).rejects.toMatchObject({ code: 'STORE_RESTORED' });
    await collect(context, true);
    await guardsAsExpected();
  });

  test('with a mark, and no gap open: it stays shut to changes, and that is said', async () => {
    await work(context);
    await rescue(context);
    await collect(context);
    await work(context);
    expect((await load()).gap).toBeUndefined();
    const { guard } = context.stores.target;
    const marked = { role: 'follower', epoch: 1, attempt: 'a switch' } as const;
    await guard.change(await guard.read(), marked, 1_000);
    expect(await resumeCutover(other)).toMatchObject({
      outcome: 'pending',
      message: expect.stringContaining('restored from a backup'),
    });
    expect(await guard.read()).toEqual(marked);
  });
});

test('a target that was given up is sealed when it answers again', async () => {
  migration.databases.target.stop();
  await rescue(context, true);
  await gapOf(context).giveUp(by);
  migration.databases.target.start();
  expect(await other.stores.target.guard.read()).toMatchObject({ role: 'authority', epoch: 2 });
  expect(await resumeCutover(other)).toMatchObject({ outcome: 'settled' });
  expect(await other.stores.target.guard.read()).toMatchObject({ role: 'sealed', epoch: 3 });
  await expect(write(context, 'target', 'e', 'too late')).rejects.toMatchObject({
    code: 'AUTHORITY_FENCED',
  });
  expect(await resumeCutover(other)).toMatchObject({ outcome: 'nothing' });
  const lines = await other.control.history('shop', 10);
  expect(lines.find(({ action }) => action === 'target-sealed')?.reason).toContain('authority/2');
});
