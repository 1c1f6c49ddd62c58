import { beforeEach, expect } from 'vitest';
import type { MigrationContext } from '../../src/control/index.ts';
import { expectedGuard, type SwitchOptions } from '../../src/cutover/index.ts';
import { bring, by, drainBy, type MemoryMigration, memoryMigration } from './memory-migration.ts';

/** Two processes over memory stores, in phase read-switch before each test of the file that imports this. */
export let migration: MemoryMigration;
export let context: MigrationContext;
export let other: MigrationContext;

beforeEach(async () => {
  migration = memoryMigration();
  context = await migration.open('coordinator');
  other = await migration.open('successor');
  await bring(context, 'read-switch');
});

export const toTarget = (more: Partial<SwitchOptions> = {}): SwitchOptions => ({
  to: 'target',
  phaseAfter: 'write-switch',
  ...by,
  drain: drainBy(context),
  ...more,
});
export const toSource = (more: Partial<SwitchOptions> = {}): SwitchOptions => ({
  ...toTarget(more),
  to: 'source',
  phaseAfter: 'read-switch',
});

export const load = () => other.control.load('shop');
export const guards = async () => ({
  source: await other.stores.source.guard.read(),
  target: await other.stores.target.guard.read(),
});
/** Both guards say what the state says, and nobody's mark is left. */
export async function consistent(): Promise<void> {
  const state = await load();
  expect(state.cutover).toBeNull();
  expect(await guards()).toEqual({
    source: expectedGuard(state, 'source'),
    target: expectedGuard(state, 'target'),
  });
}
export function neverTwoAuthorities(): void {
  for (const pair of migration.guardHistory)
    expect([pair.source?.role, pair.target?.role]).not.toEqual(['authority', 'authority']);
}
export const actions = async (action: string) =>
  (await context.control.history('shop', 1_000)).filter((line) => line.action === action).reverse();
