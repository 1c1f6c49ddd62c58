import { type ApplierOptions, applierDefaults, drainOnce } from '../../src/capture/index.ts';
import type { GapRecord, GapStatus, MigrationContext } from '../../src/control/index.ts';
import { createController } from '../../src/controller/index.ts';
import { type SwitchOptions, switchAuthority } from '../../src/cutover/index.ts';
import { encodeKey } from '../../src/record/index.ts';
import { settleGap } from '../../src/rescue/index.ts';
import { by, drainBy } from './memory-migration.ts';

/** Makes the target the authority: epoch 2. */
export async function switchToTarget(
  context: MigrationContext,
  more: Partial<SwitchOptions> = {},
): Promise<void> {
  await switchAuthority(context, {
    to: 'target',
    phaseAfter: 'write-switch',
    ...by,
    drain: drainBy(context),
    ...more,
  });
}

export const rescue = (context: MigrationContext, targetUnreachable = false) =>
  createController(context).rescue({ ...by, targetUnreachable });

export const gapOf = (context: MigrationContext) => createController(context).gap;

export const never = new AbortController().signal;

export const collect = (context: MigrationContext, sweep = false) =>
  gapOf(context).collect({ ...by, sweep, signal: never });

export const apply = (context: MigrationContext, mode: 'apply' | 'preview' = 'apply') =>
  gapOf(context).apply({ ...by, mode, listMax: 100, signal: never });

export async function recordsOf(context: MigrationContext): Promise<readonly GapRecord[]> {
  return (await gapOf(context).list({ limit: 1_000 })).records;
}

/** Key → status, of the gap that is open or of `rescue`. */
export async function statuses(
  context: MigrationContext,
  rescueId?: string,
): Promise<Readonly<Record<string, GapStatus>>> {
  const { records } = await gapOf(context).list({ limit: 1_000 }, rescueId);
  return Object.fromEntries(records.map(({ key, status }) => [JSON.parse(key)[0], status]));
}

const quick: ApplierOptions = { ...applierDefaults, backoff: { firstMs: 1, maxMs: 5 } };

/** What workers do: everything that waits goes to the follower, and a decided gap is closed. */
export async function work(context: MigrationContext): Promise<void> {
  await settleGap(context, by);
  const state = await context.control.load(context.migration.name);
  while ((await drainOnce(context, state, quick)).claimed > 0);
}

/** What a store holds for a key: its name, or null. */
export async function held(
  context: MigrationContext,
  side: 'source' | 'target',
  id: string,
): Promise<string | null> {
  const [answer] = await context.stores[side].records.read('items', [[id]]);
  return (answer?.record?.['name'] as string | undefined) ?? null;
}

/** An own write or delete by the authority, left to the queue. */
export async function write(
  context: MigrationContext,
  side: 'source' | 'target',
  id: string,
  name: string | null,
): Promise<void> {
  const { epoch } = await context.control.load(context.migration.name);
  await context.stores[side].records.write({
    collection: 'items',
    key: [id],
    action: name === null ? 'delete' : 'put',
    record: { id, name },
    epoch,
    journal: context.migration.collections.get('items')?.capture === 'log' ? 'log' : 'change',
    graceMs: 0,
    timeoutMs: 1_000,
  });
}

export const placeOf = (id: string): string => encodeKey([id]);
