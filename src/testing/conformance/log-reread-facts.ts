import assert from 'node:assert/strict';
import type { LogChange, LogMark } from '../../log/index.ts';
import { type DataRecord, encodeKey, type Key } from '../../record/index.ts';
import { systemClock, systemRandom } from '../../runtime/index.ts';
import type { MigrationStore, Reread } from '../../store/index.ts';
import { item, order } from './conformance-shapes.ts';
import { failsWith, look, ordered, write } from './conformance-steps.ts';
import type { ForeignStatement, LogFact, LoggedStores } from './conformance-subject.ts';
import {
  changesBehind,
  deleteItem,
  insertItem,
  install,
  logOf,
  reading,
  readToEnd,
  rowOf,
  startOf,
  updateItem,
} from './log-steps.ts';

/** Asks again while a key is busy. */
async function rereadAll(
  store: MigrationStore,
  collection: string,
  keys: readonly Key[],
  seen?: LogMark,
): Promise<readonly Reread[]> {
  const until = systemClock.monotonic() + 10_000;
  for (;;) {
    const answers = await store.records.reread(collection, keys, 1, seen);
    if (answers.every(({ state }) => state === 'read')) return answers;
    assert.ok(systemClock.monotonic() < until, 'a key stays busy');
    await systemClock.sleep(5);
  }
}

/** Re-reads of collections that are captured from the log: their versions are positions, and a commit is in the log before it can be seen. */
export function logRereadFacts(fact: LogFact): void {
  restFacts(fact);
  trafficFacts(fact);
}

function restFacts(fact: LogFact): void {
  fact('at rest a re-read has the position of now, of absent records too', async (stores) => {
    const { source } = stores;
    await install(source);
    const key = ['t', '1'];
    await write(source, 'orders', key, order(key, ['1:pen'], ['x:gift']), { journal: 'log' });
    const before = await logOf(source).end();
    const [found] = await rereadAll(source, 'orders', [key]);
    assert.deepEqual(found?.record && ordered(found.record), await look(source, 'orders', key));
    const [none] = await rereadAll(source, 'items', [['nobody']]);
    assert.equal(none?.record, null);
    const after = await logOf(source).end();
    for (const answer of [found, none]) {
      assert.equal(answer?.version.epoch, 1);
      assert.ok(answer.version.sequence >= before.sequence);
      assert.ok(answer.version.sequence <= after.sequence);
    }
  });

  fact('a re-read with a mark has its position, and the epoch must be right', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    await stores.foreignTransaction('source', [insertItem('a'), insertItem('b')]);
    await reading(source, from, async (stream) => {
      const batches = await readToEnd(source, stream);
      const batch = batches.find(({ changes }) => changes.length > 0);
      assert.ok(batch);
      assert.ok(batch.mark.sequence >= (batch.changes[0]?.sequence ?? 0n));
      const keys = [['b'], ['nobody'], ['a']];
      const answers = await rereadAll(source, 'items', keys, batch.mark);
      assert.deepEqual(
        answers.map(({ key, record }) => ({ key, record })),
        [
          { key: ['b'], record: item('b') },
          { key: ['nobody'], record: null },
          { key: ['a'], record: item('a') },
        ],
      );
      for (const { version } of answers)
        assert.deepEqual(version, { epoch: 1, sequence: batch.mark.sequence });
      await failsWith('AUTHORITY_FENCED', source.records.reread('items', keys, 2, batch.mark));
      await failsWith('AUTHORITY_FENCED', source.records.reread('items', keys, 2));
    });
  });
}

/** Names count up per key; null: deleted. Deleted keys never come back. */
class Counters {
  readonly keys: readonly string[];
  private readonly numbers = new Map<string, number>();

  constructor(keys: readonly string[]) {
    this.keys = keys;
  }

  /** The next state of some keys, one transaction. */
  statements(): readonly ForeignStatement[] {
    const wanted = new Set(
      Array.from(
        { length: 3 },
        () => this.keys[Math.floor(systemRandom.next() * this.keys.length)],
      ),
    );
    return [...wanted].sort().flatMap((id) => {
      if (id === undefined) return [];
      const number = this.numbers.get(id) ?? 0;
      if (number < 0) return [];
      const goes = number > 0 && systemRandom.next() < 0.05;
      this.numbers.set(id, goes ? -1 : number + 1);
      if (goes) return [deleteItem(id)];
      const name = String(number + 1);
      return [number === 0 ? insertItem(id, name) : updateItem(id, { name })];
    });
  }
}

/** A deleted record is newer than all its numbers. */
const numberOf = (record: DataRecord | null, deleted: boolean): number =>
  record === null ? (deleted ? Number.POSITIVE_INFINITY : 0) : Number(record['name']);

function stateOf(change: LogChange): { readonly id: string; readonly number: number } {
  const row = rowOf(change, change.after ?? change.before);
  const id = String(row?.['id']);
  return {
    id,
    number: change.after === null ? Number.POSITIVE_INFINITY : Number(row?.['name']),
  };
}

const writers = 4;
const rounds = 40;

/** Several programs at once, each on its own keys. */
async function writeAtOnce(stores: LoggedStores, all: readonly Counters[]): Promise<void> {
  await Promise.all(
    all.map(async (counters) => {
      for (let round = 0; round < rounds; round++) {
        const statements = counters.statements();
        if (statements.length > 0) await stores.foreignTransaction('source', statements);
      }
    }),
  );
}

const someCounters = (): readonly Counters[] =>
  Array.from(
    { length: writers },
    (_, writer) => new Counters(Array.from({ length: 12 }, (_, index) => `w${writer}-${index}`)),
  );

function trafficFacts(fact: LogFact): void {
  fact('a re-read with the mark of a batch sees everything in it', async (stores) => {
    const { source, sourceAgain } = stores;
    const from = startOf(await install(source));
    let writing = true;
    const done = writeAtOnce(stores, someCounters()).finally(() => {
      writing = false;
    });
    await reading(
      source,
      from,
      async (stream) => {
        while (writing) {
          const { changes, mark } = await stream.next(20);
          const newest = new Map(changes.map(stateOf).map(({ id, number }) => [id, number]));
          if (newest.size === 0) continue;
          const ids = [...newest.keys()];
          const keys = ids.map((id) => [id]);
          const answers = await rereadAll(sourceAgain, 'items', keys, mark);
          for (const [index, { record, version }] of answers.entries()) {
            const told = newest.get(ids[index]!)!;
            assert.equal(version.sequence, mark.sequence);
            // It may be gone already by a later change; it must not be older.
            const found = numberOf(record, true);
            assert.ok(found >= told, `${ids[index]}: the log says ${told}, the re-read ${found}`);
            if (told === Number.POSITIVE_INFINITY) assert.equal(record, null);
          }
          await assertInserted(sourceAgain, changes, mark);
        }
      },
      { changesMax: 7 },
    );
    await done;
  });

  fact('a re-read without a mark has everything up to its version', async (stores) => {
    const { source, sourceAgain } = stores;
    const from = startOf(await install(source));
    const all = someCounters();
    const keys = all.flatMap(({ keys }) => keys).map((id) => [id]);
    const answers: Reread[] = [];
    let writing = true;
    const rereading = async (): Promise<void> => {
      while (writing) {
        const some = keys.filter(() => systemRandom.next() < 0.3);
        const found = await sourceAgain.records.reread('items', some, 1);
        answers.push(...found.filter(({ state }) => state === 'read'));
        await systemClock.sleep(systemRandom.next() * 3);
      }
    };
    const watching = rereading();
    await writeAtOnce(stores, all).finally(() => {
      writing = false;
    });
    await watching;
    const changes = await changesBehind(source, from);
    assert.ok(answers.length > 0, 'every key was busy all the time');
    const history = historyOf(changes);
    for (const { key, record, version } of answers) {
      const states = history.get(encodeKey(key)) ?? [];
      const committed = states.filter(({ sequence }) => sequence <= version.sequence);
      const last = committed.at(-1)?.number ?? 0;
      const gone = states.some(({ number }) => number === Number.POSITIVE_INFINITY);
      const found = numberOf(record, gone);
      assert.ok(
        found >= last,
        `${key[0]} at ${version.sequence}: committed ${last}, re-read ${found}`,
      );
    }
  });
}

/** Records that were inserted and are not deleted by the batch are there, or are deleted by now: then they do not come back. */
async function assertInserted(
  store: MigrationStore,
  changes: readonly LogChange[],
  mark: LogMark,
): Promise<void> {
  const inserted = changes.filter(({ kind }) => kind === 'insert').map(stateOf);
  if (inserted.length === 0) return;
  const keys = inserted.map(({ id }) => [id]);
  const answers = await rereadAll(store, 'items', keys, mark);
  const absent = answers.filter(({ record }) => record === null);
  const later = await store.records.read(
    'items',
    absent.map(({ key }) => key),
  );
  assert.ok(
    later.every(({ record }) => record === null),
    'a record that the log has inserted was not seen by the re-read',
  );
}

function historyOf(changes: readonly LogChange[]) {
  const history = new Map<string, { readonly sequence: bigint; readonly number: number }[]>();
  for (const change of changes) {
    const { id, number } = stateOf(change);
    const states = history.get(encodeKey([id])) ?? [];
    states.push({ sequence: change.sequence, number });
    history.set(encodeKey([id]), states);
  }
  return history;
}
