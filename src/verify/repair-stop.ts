import type { MigrationContext, NewAuditEntry } from '../control/index.ts';
import { persistently } from './pages.ts';
import type { RepairOptions } from './repair-options.ts';
import type { VerifyScope } from './verify-scope.ts';

/** Why repair of a collection stands still, or stood. Kept in the control store: it holds for every process, until a person lets it go on. */
export interface RepairStop {
  readonly collection: string;
  /** False: a person has let it go on, for as many keys as `keys`. */
  readonly stopped: boolean;
  readonly atMs: number;
  /** Keys that differ, with those that were repaired in the last day. */
  readonly keys: number;
  /** Records of the collection, as far as known. */
  readonly records: number;
}

const prefix = 'repair-stop ';
const DAY_MS = 86_400_000;
const LINES_MAX = 100_000;
/** What a person has seen may grow by so much until they are asked again. */
const GROWTH = 1.1;

/** Limits of a repair: what was asked for, else what the collection says. */
export function repairLimits(
  { collection }: VerifyScope,
  options: RepairOptions,
): { readonly perSecond: number; readonly ratio: number; readonly keysMin: number } {
  const { repair } = collection;
  return {
    perSecond: Math.max(1, options.ratePerSecond ?? repair?.keysPerSecond ?? 100),
    ratio: options.stopRatio ?? repair?.stopShare ?? 0.01,
    keysMin: options.stopKeysMin ?? repair?.stopKeysMin ?? 100,
  };
}

/**
 * True when repair must not go on: so much differs that it is a bug, not drift, or it was stopped for that before. What was repaired in the last day counts: a bug that
 * makes new differences as fast as they are repaired must not hide behind a ledger that looks nearly empty. With `apply` the stop is kept, noted and told.
 */
export async function isStopped(
  scope: VerifyScope,
  wanted: number,
  options: RepairOptions,
): Promise<boolean> {
  const { context, collection } = scope;
  const { control, migration, runtime, events } = context;
  const name = `${prefix}${collection.name}`;
  const memo = await persistently(scope, () => control.memos.read(migration.name, name));
  const known = memo?.body as RepairStop | undefined;
  if (known?.stopped) return options.mode === 'apply';
  const { ratio, keysMin } = repairLimits(scope, options);
  const keys =
    Math.max(wanted, await persistently(scope, () => unresolved(scope))) +
    (await persistently(scope, () => repairedLately(scope)));
  if (keys <= keysMin || keys <= (known?.keys ?? 0) * GROWTH) return false;
  const records = await persistently(scope, () => recordsOf(scope));
  if (keys <= records * ratio) return false;
  if (options.mode !== 'apply') return true;
  const stop: RepairStop = {
    collection: collection.name,
    stopped: true,
    atMs: runtime.clock.now(),
    keys,
    records,
  };
  // Somebody else was faster: then it is stopped, or was let go on this moment.
  if (!(await control.memos.write(migration.name, name, { ...stop }, memo?.version ?? 0)))
    return true;
  events.emit({ type: 'repair', collection: collection.name, stopped: true });
  await control.note(migration.name, {
    actor: context.instance,
    action: 'repair-stopped',
    reason: `${keys} keys of "${collection.name}" differ or were repaired within a day, of about ${records} records: that is a bug, not drift`,
    detail: { collection: collection.name, counts: { keys, records } },
  });
  return true;
}

/** Collections whose repair stands still. */
export async function stoppedRepairs({
  control,
  migration,
}: Pick<MigrationContext, 'control' | 'migration'>): Promise<readonly RepairStop[]> {
  const memos = await control.memos.list(migration.name, prefix);
  return memos
    .map(({ body }) => body as unknown as RepairStop)
    .filter(({ stopped, collection }) => stopped && migration.collections.has(collection));
}

/**
 * A person has looked: repair goes on, until clearly more differs than what they saw. False: it did not stand still.
 */
export async function resumeRepair(
  { control, migration, events }: MigrationContext,
  collection: string,
  act: Pick<NewAuditEntry, 'actor' | 'reason'>,
): Promise<boolean> {
  const name = `${prefix}${collection}`;
  const memo = await control.memos.read(migration.name, name);
  const stop = memo?.body as RepairStop | undefined;
  if (!memo || !stop?.stopped) return false;
  const next = { ...stop, stopped: false };
  if (!(await control.memos.write(migration.name, name, next, memo.version))) return false;
  events.emit({ type: 'repair', collection, stopped: false });
  const counts = { keys: stop.keys, records: stop.records };
  await control.note(migration.name, {
    ...act,
    action: 'repair-resumed',
    detail: { collection, counts },
  });
  return true;
}

async function unresolved({ context, collection }: VerifyScope): Promise<number> {
  const { control, migration } = context;
  const lines = await control.mismatches.list(migration.name, {
    status: 'unexplained',
    collection: collection.name,
    limit: LINES_MAX,
  });
  return lines.length;
}

async function repairedLately({ context, collection }: VerifyScope): Promise<number> {
  const { control, migration, runtime } = context;
  const since = runtime.clock.now() - DAY_MS;
  const lines = await control.mismatches.list(migration.name, {
    status: 'repaired',
    collection: collection.name,
    limit: LINES_MAX,
  });
  return lines.filter(({ lastSeenMs }) => lastSeenMs >= since).length;
}

/** Without statistics and evidence of its size the number alone decides. Evidence is a second choice: several comparisons of one minute add up in it. */
async function recordsOf({ context, collection, authority }: VerifyScope): Promise<number> {
  const { estimatedRows } = await authority.records.extent(collection.name);
  if (estimatedRows > 0) return estimatedRows;
  const evidence = await context.control.evidence.since(context.migration.name, 0);
  return evidence
    .filter((row) => row.collection === collection.name && row.detector === 'verify')
    .reduce((most, row) => Math.max(most, row.compared), 0);
}
