import assert from 'node:assert/strict';
import type { LogBatch, LogChange, LogCheckpoint } from '../../log/index.ts';
import { item } from './conformance-shapes.ts';
import { failsWith, firstEpoch, gate, settlesWithin, version } from './conformance-steps.ts';
import type { ForeignStatement, LogFact, LoggedStores } from './conformance-subject.ts';
import {
  changesBehind,
  fieldsOf,
  gist,
  insertItem,
  install,
  logOf,
  reading,
  readToEnd,
  sourceStream,
  startOf,
  updateItem,
} from './log-steps.ts';

/** Streams: where they begin, how they are resumed, how they end. */
export function changeSourceResumeFacts(fact: LogFact): void {
  resumeFacts(fact);
  partFacts(fact);
  streamFacts(fact);
  lossFacts(fact);
}

/** Transactions of many sizes. */
async function traffic(stores: LoggedStores): Promise<void> {
  let next = 0;
  for (const rows of [1, 2, 7, 1, 3, 11, 1, 1]) {
    const statements: ForeignStatement[] = [];
    for (let row = 0; row < rows; row++) {
      const id = `k${next++ % 9}`;
      // Keys come again: the order matters.
      statements.push(next > 9 ? updateItem(id, { name: `n${next}` }) : insertItem(id, `n${next}`));
    }
    await stores.foreignTransaction('source', statements);
  }
}

function resumeFacts(fact: LogFact): void {
  for (const [changesMax, whole] of [
    [1, false],
    [3, false],
    [3, true],
    [1_000, false],
  ] as const) {
    const how = `${changesMax} changes at a time${whole ? ', transactions whole' : ''}`;
    fact(`from each of its checkpoints a stream goes on exactly, ${how}`, async (stores) => {
      const { source, sourceAgain } = stores;
      const from = startOf(await install(source));
      await traffic(stores);
      const options = { changesMax, whole };
      const batches = await reading(source, from, (stream) => readToEnd(source, stream), options);
      const all = batches.flatMap(({ changes }) => changes);
      assert.equal(all.length, 27);
      let done = 0;
      // All of them again is many round trips: every second one, from another process.
      for (const [index, { changes, checkpoint }] of batches.entries()) {
        done += changes.length;
        if (index % 2 === 1) continue;
        const rest = await changesBehind(sourceAgain, checkpoint, options);
        assert.deepEqual(rest.map(fieldsOf), all.slice(done).map(fieldsOf), told(checkpoint));
      }
      assert.deepEqual((await changesBehind(source, from)).map(fieldsOf), all.map(fieldsOf));
    });
  }

  fact('what is confirmed need not come again, the rest does', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    await traffic(stores);
    const { checkpoint, rest } = await reading(
      source,
      from,
      async (stream) => {
        const first = await stream.next(1_000);
        stream.confirm(first.checkpoint);
        const batches = await readToEnd(source, stream);
        return { checkpoint: first.checkpoint, rest: changesOf(batches) };
      },
      { changesMax: 5 },
    );
    const again = await changesBehind(source, checkpoint);
    assert.deepEqual(again.map(fieldsOf), rest.map(fieldsOf));
  });
}

const told = ({ position, skip }: LogCheckpoint): string => `${position.text} and ${skip} rows`;
const changesOf = (batches: readonly LogBatch[]): readonly LogChange[] =>
  batches.flatMap(({ changes }) => changes);

function partFacts(fact: LogFact): void {
  const ids = Array.from({ length: 10 }, (_, index) => `k${index}`);
  const large = ids.map((id) => insertItem(id));

  fact(
    'a large transaction comes in parts of one position, unless it is to be whole',
    async (stores) => {
      const { source } = stores;
      const from = startOf(await install(source));
      await stores.foreignTransaction('source', large);
      const read = (whole: boolean) =>
        reading(source, from, (stream) => readToEnd(source, stream), { changesMax: 4, whole });
      const parts = await read(false);
      assert.deepEqual(
        changesOf(parts).map(gist),
        ids.map((id) => `insert items ${id}`),
      );
      assert.equal(new Set(changesOf(parts).map(({ sequence }) => sequence)).size, 1);
      assert.ok(parts.every(({ changes }) => changes.length <= 4));
      const skips = parts.map(({ checkpoint }) => checkpoint.skip).filter((skip) => skip > 0);
      assert.ok(skips.length >= 2, String(skips));
      for (const { checkpoint, changes } of parts) {
        // In the middle of a transaction the position is that of the one before it.
        const [{ sequence } = { sequence: 0n }] = changes;
        if (checkpoint.skip > 0) assert.ok(checkpoint.position.sequence < sequence);
      }
      const wholes = await read(true);
      assert.ok(wholes.every(({ checkpoint }) => checkpoint.skip === 0));
      assert.ok(wholes.some(({ changes }) => changes.length === ids.length));
    },
  );

  fact('bytes bound a batch, too', async (stores) => {
    const { source } = stores;
    const from = startOf(await install(source));
    const wide = ids.map((id) => insertItem(id, id.repeat(5_000)));
    await stores.foreignTransaction('source', wide);
    const batches = await reading(source, from, (stream) => readToEnd(source, stream), {
      bytesMax: 25_000,
    });
    assert.equal(changesOf(batches).length, ids.length);
    assert.ok(batches.every(({ changes }) => changes.length <= 6));
  });

  fact('rows of marked transactions are left out in every part of the others', async (stores) => {
    const { target } = stores;
    const stream = 'changeover_conformance_t_1';
    const from = startOf(await install(target, stream));
    await stores.foreignTransaction('target', large);
    await target.door.apply(
      ids.map((id, index) => {
        const value = item(id, 'by the door');
        return {
          collection: 'items',
          key: [id],
          version: version(index + 1),
          value,
          origin: 'live',
        };
      }),
      firstEpoch,
    );
    await stores.foreignTransaction('target', [insertItem('last')]);
    const options = { stream, changesMax: 3 };
    const batches = await reading(target, from, (open) => readToEnd(target, open), options);
    const all = changesOf(batches).map(gist);
    assert.deepEqual(
      all,
      [...ids, 'last'].map((id) => `insert items ${id}`),
    );
    let done = 0;
    for (const { changes, checkpoint } of batches) {
      done += changes.length;
      const rest = await changesBehind(target, checkpoint, options);
      assert.deepEqual(rest.map(gist), all.slice(done), told(checkpoint));
    }
  });
}

function streamFacts(fact: LogFact): void {
  fact('installing again changes nothing, removing twice is once', async (stores) => {
    const { source, sourceAgain } = stores;
    assert.deepEqual(await logOf(source).installed(), []);
    const start = await install(source);
    await stores.foreignTransaction('source', [insertItem('a')]);
    assert.equal((await install(sourceAgain)).identity, start.identity);
    assert.deepEqual(await logOf(sourceAgain).installed(), [sourceStream]);
    assert.deepEqual((await changesBehind(source, startOf(start))).map(gist), ['insert items a']);
    assert.equal((await logOf(source).retention(sourceStream)).state, 'kept');
    await logOf(source).remove(sourceStream);
    await logOf(sourceAgain).remove(sourceStream);
    assert.deepEqual(await logOf(source).installed(), []);
  });

  fact('many may install the same stream at once', async ({ source, sourceAgain }) => {
    const starts = await Promise.all([source, sourceAgain, source].map((store) => install(store)));
    assert.equal(new Set(starts.map(({ identity }) => identity)).size, 1);
    assert.deepEqual(await logOf(source).installed(), [sourceStream]);
  });

  fact('an installation that does not come to an end in time leaves nothing', async (stores) => {
    const { source } = stores;
    const wait = gate();
    const open = stores.foreignTransaction('source', [insertItem('a')], () => wait.passed);
    await settlesWithin(100, open);
    const installing = logOf(source).install(sourceStream, 150);
    const failed = await installing.then(
      () => false,
      () => true,
    );
    if (failed) assert.deepEqual(await logOf(source).installed(), []);
    wait.open();
    await open;
    await install(source);
    assert.deepEqual(await logOf(source).installed(), [sourceStream]);
  });

  fact('a second reader ends the first', async (stores) => {
    const { source, sourceAgain } = stores;
    const from = startOf(await install(source));
    await reading(source, from, async (first) => {
      await readToEnd(source, first);
      await reading(sourceAgain, from, async (second) => {
        await stores.foreignTransaction('source', [insertItem('a')]);
        const batches = await readToEnd(sourceAgain, second);
        assert.deepEqual(changesOf(batches).map(gist), ['insert items a']);
        await assert.rejects(async () => {
          for (let turn = 0; turn < 20; turn++) await first.next(250);
        });
      });
    });
  });

  fact('a closed reader reads nothing, closing again is nothing', async ({ source }) => {
    const from = startOf(await install(source));
    await reading(source, from, async (stream) => {
      const waiting = stream.next(5_000).catch(() => 'ended');
      await stream.close();
      await stream.close();
      assert.ok(await settlesWithin(4_000, waiting));
      await assert.rejects(stream.next(10));
    });
  });

  fact('removing a stream ends its reader', async ({ source, sourceAgain }) => {
    const from = startOf(await install(source));
    await reading(source, from, async (stream) => {
      await readToEnd(source, stream);
      await logOf(sourceAgain).remove(sourceStream);
      await assert.rejects(async () => {
        for (let turn = 0; turn < 20; turn++) await stream.next(250);
      });
    });
    assert.deepEqual(await logOf(source).installed(), []);
  });
}

function lossFacts(fact: LogFact): void {
  fact('a checkpoint of another log is refused for good', async ({ source }) => {
    const from = startOf(await install(source));
    const foreign = { ...from, identity: `not ${from.identity}` };
    await failsWith(
      'LOG_LOST',
      reading(source, foreign, async (stream) => stream.next(1_000)),
    );
  });

  fact('a stream that does not exist is refused for good', async ({ source }) => {
    const from = startOf(await install(source));
    await logOf(source).remove(sourceStream);
    await failsWith(
      'LOG_LOST',
      reading(source, from, async (stream) => stream.next(1_000)),
    );
  });
}
