import assert from 'node:assert/strict';
import type {
  ChangeSource,
  ChangeStream,
  LogBatch,
  LogChange,
  LogCheckpoint,
  LogStart,
  LogValue,
  OpenStream,
} from '../../log/index.ts';
import type { Change, Row } from '../../record/index.ts';
import { systemClock, systemRandom } from '../../runtime/index.ts';
import type { LogApplied, LogDoor, MigrationStore } from '../../store/index.ts';
import { firstEpoch, timeoutMs } from './conformance-steps.ts';
import type { ForeignStatement } from './conformance-subject.ts';

/** The stream of the source in epoch 1, as the engine would name it. */
export const sourceStream = 'changeover_conformance_s_1';
export const targetStream = 'changeover_conformance_t_1';

/** The store's log; the facts that need it are registered only for stores that have one. */
export function logOf(store: MigrationStore): ChangeSource {
  assert.ok(store.log, 'the store has no log');
  return store.log;
}

export function logDoorOf(store: MigrationStore): LogDoor {
  assert.ok(store.door.log, 'the store has no door.log');
  return store.door.log;
}

export const install = (store: MigrationStore, stream = sourceStream): Promise<LogStart> =>
  logOf(store).install(stream, timeoutMs);

export const startOf = ({ identity, position }: LogStart): LogCheckpoint => {
  return { identity, position, skip: 0 };
};

/** Opens a reader that is closed when `work` has ended. */
export async function reading<T>(
  store: MigrationStore,
  from: LogCheckpoint,
  work: (stream: ChangeStream) => Promise<T>,
  options: Partial<OpenStream> = {},
): Promise<T> {
  const stream = await logOf(store).open({
    stream: sourceStream,
    from,
    changesMax: 1_000,
    bytesMax: 1024 * 1024,
    whole: false,
    ...options,
  });
  try {
    return await work(stream);
  } finally {
    await stream.close();
  }
}

/** Batches until everything has come that had committed when this was called. */
export async function readToEnd(
  store: MigrationStore,
  stream: ChangeStream,
): Promise<readonly LogBatch[]> {
  const token = systemRandom.id();
  await logOf(store).challenge(token);
  const batches: LogBatch[] = [];
  const until = systemClock.monotonic() + timeoutMs;
  for (;;) {
    const batch = await stream.next(200);
    batches.push(batch);
    if (batch.challenges.includes(token)) return batches;
    assert.ok(systemClock.monotonic() < until, 'the challenge has not come back');
  }
}

/** Every change behind `from`. */
export async function changesBehind(
  store: MigrationStore,
  from: LogCheckpoint,
  options: Partial<OpenStream> = {},
): Promise<readonly LogChange[]> {
  return reading(
    store,
    from,
    async (stream) => (await readToEnd(store, stream)).flatMap(({ changes }) => changes),
    options,
  );
}

/** Columns with their values; what the log leaves out is left out. */
export function rowOf({ table }: LogChange, values: readonly LogValue[] | null): Row | null {
  if (values === null) return null;
  const row: Record<string, string | null> = {};
  table.columns.forEach(({ name }, at) => {
    const value = values[at];
    if (typeof value === 'string' || value === null) row[name] = value;
  });
  return row;
}

/** `insert items a`: for comparing what came in which order. Of updates and deletes the first key column. */
export function gist(change: LogChange): string {
  const row = rowOf(change, change.after ?? change.before);
  const first = row && (row['id'] ?? row['tag'] ?? row['line'] ?? row['number']);
  return [change.kind, change.table.name, ...(first === null ? [] : [first])].join(' ');
}

/** Texts of the values that are there. */
export const fieldsOf = (change: LogChange): string =>
  JSON.stringify([
    change.kind,
    change.table.name,
    rowOf(change, change.before),
    rowOf(change, change.after),
    String(change.sequence),
  ]);

export const insertItem = (id: string, name: string | null = `name of ${id}`): ForeignStatement => {
  return { kind: 'insert', table: 'items', row: { id, name, note: null } };
};
export const updateItem = (id: string, set: Row): ForeignStatement => {
  return { kind: 'update', table: 'items', where: { id }, set };
};
export const deleteItem = (id: string): ForeignStatement => {
  return { kind: 'delete', table: 'items', where: { id } };
};

/** A made-up log, for facts about the door alone. */
export const madeUp = 'changeover_conformance_s_1';
export const at = (sequence: number, skip = 0, identity = 'log one'): LogCheckpoint => {
  return { identity, position: { sequence: BigInt(sequence), text: `at ${sequence}` }, skip };
};

/** One call of the log's door in epoch 1. */
export function enter(
  store: MigrationStore,
  from: LogCheckpoint,
  to: LogCheckpoint,
  changes: readonly Change[],
): Promise<LogApplied> {
  return logDoorOf(store).apply({ stream: madeUp, from, to, changes }, firstEpoch);
}
