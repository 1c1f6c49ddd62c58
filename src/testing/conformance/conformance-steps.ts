import assert from 'node:assert/strict';
import { type ErrorCode, isChangeoverError } from '../../errors/index.ts';
import type { DataRecord, Key, Origin, Row, Version } from '../../record/index.ts';
import { systemClock } from '../../runtime/index.ts';
import type {
  AuthorityWrite,
  DoorContext,
  DoorVerdict,
  MigrationStore,
  StoredRecord,
  Written,
} from '../../store/index.ts';

/** Server-side limit of every transaction of the suite. */
export const timeoutMs = 10_000;
/** The door context of the epoch in which the stores are installed. */
export const firstEpoch: DoorContext = { epoch: 1, timeoutMs };

export const version = (sequence: number, epoch = 1): Version => ({
  epoch,
  sequence: BigInt(sequence),
});

/** Rejects unless `work` fails with this code. */
export async function failsWith(code: ErrorCode, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    if (isChangeoverError(error, code)) return true;
    throw error;
  });
}

/** A write of the suite to the authority: `put` in epoch 1, journalled, at once visible to queue workers. */
export function write(
  store: MigrationStore,
  collection: string,
  key: Key,
  record: DataRecord,
  options: Partial<AuthorityWrite> = {},
): Promise<Written> {
  return store.records.write({
    collection,
    key,
    action: 'put',
    record,
    epoch: 1,
    journal: 'change',
    graceMs: 0,
    timeoutMs,
    ...options,
  });
}

/** Sends one change through the door. */
export async function send(
  store: MigrationStore,
  collection: string,
  key: Key,
  at: Version,
  value: DataRecord | null,
  origin: Origin = 'live',
): Promise<DoorVerdict | undefined> {
  const change = { collection, key, version: at, value, origin };
  return (await store.door.apply([change], firstEpoch))[0];
}

/** The record as it is in the store, children ordered by their text; null when it does not exist. */
export async function look(
  store: MigrationStore,
  collection: string,
  key: Key,
): Promise<DataRecord | null> {
  const [answer] = await store.records.read(collection, [key]);
  assert.ok(answer, 'a read answers every key');
  return answer.record && ordered(answer.record);
}

/** Child rows have no order of their own. */
export function ordered(record: DataRecord): DataRecord {
  const text = (row: Row): string =>
    JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
  return Object.fromEntries(
    Object.entries(record).map(([field, value]) => [
      field,
      Array.isArray(value)
        ? [...(value as readonly Row[])].sort((a, b) => (text(a) < text(b) ? -1 : 1))
        : value,
    ]),
  );
}

/** The whole range as one chunk, as a backfill would hand it in. */
export const everything = { after: null, until: null } as const;

export function stored(key: Key, record: DataRecord): StoredRecord {
  return { key, record };
}

/** A promise with its handles. */
export interface Gate {
  readonly passed: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}

/** True when `work` is settled within `ms`; its rejection is left to whoever awaits it. */
export async function settlesWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  const settled = work.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, systemClock.sleep(ms).then(() => false)]);
}
