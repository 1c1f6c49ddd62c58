import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { query } from '../support/databases.ts';
import { at, change, stream } from '../support/log-door-tables.ts';
import {
  context,
  doorOf,
  enter,
  entries,
  follower,
  settled,
  sleep,
  url,
} from '../support/postgres-log-door-rig.ts';

describe('collections that only get new records', () => {
  /** Notes which statements write the journal. */
  async function watch(): Promise<() => Promise<readonly unknown[]>> {
    await query(
      url(),
      `CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.statements VALUES (split_part(current_query(), ' ', 1)); RETURN NULL; END $$;
       CREATE TRIGGER noted AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION note_statement()`,
    );
    return async () => {
      const rows = await query(url(), 'DELETE FROM statements RETURNING text');
      return rows.map(({ text }) => text);
    };
  }

  test.each([false, true])(
    'are copied in from the second batch on, until a key is there already (pooler: %s)',
    async (pooler) => {
      const store = await follower({ pooler, poolMax: 1 });
      const written = await watch();
      expect(await enter(store, 0, entries(1, 600, 1))).toEqual({
        applied: 600,
        stale: 0,
        durable: true,
      });
      expect(await written()).toEqual(['INSERT']);
      expect(await enter(store, 1, entries(601, 600, 2, 'a\\b\nc'))).toEqual({
        applied: 600,
        stale: 0,
        durable: true,
      });
      expect(await written()).toEqual(['COPY']);
      // The last one of the batch before comes again, changed.
      expect(await enter(store, 2, entries(1200, 600, 3, 'changed'))).toEqual({
        applied: 600,
        stale: 0,
        durable: true,
      });
      expect(await written()).toEqual(['INSERT']);
      expect(await enter(store, 3, entries(1800, 600, 4))).toEqual({
        applied: 600,
        stale: 0,
        durable: true,
      });
      expect(await written()).toEqual(['INSERT']);
      const found = await query(
        url(),
        'SELECT id::int, text FROM journal WHERE id IN (600, 601, 1200, 1800, 2399) ORDER BY 1',
      );
      expect(found).toEqual([
        { id: 600, text: 'entry\t599' },
        { id: 601, text: 'a\\b\nc\t0' },
        { id: 1200, text: 'changed\t0' },
        { id: 1800, text: 'entry\t0' },
        { id: 2399, text: 'entry\t599' },
      ]);
      const fences = await store.door.fences('journal', [['601'], ['1200']]);
      expect(fences).toEqual([
        { epoch: 1, sequence: 2n },
        { epoch: 1, sequence: 3n },
      ]);
      expect(await doorOf(store).checkpoint(stream)).toEqual(at(4));
    },
  );

  test('that are not new after all hold nobody up who was handed in early', async () => {
    const store = await follower();
    for (const from of [0, 1]) await enter(store, from, entries(from * 600 + 1, 600, from + 1));
    const early = [
      enter(store, 2, entries(1200, 600, 3, 'changed')),
      enter(store, 3, entries(1799, 600, 4, 'changed again')),
      enter(store, 4, [change('journal', 1, 5, null)]),
    ];
    const sums = await Promise.all(early);
    expect(sums.map(({ applied }) => applied)).toEqual([600, 600, 1]);
    const found = await query(
      url(),
      'SELECT id::int, text FROM journal WHERE id IN (1, 1200, 1799) ORDER BY 1',
    );
    expect(found).toEqual([
      { id: 1200, text: 'changed\t0' },
      { id: 1799, text: 'changed again\t0' },
    ]);
  });

  test('are not copied in over the fence of a newer delete', async () => {
    const store = await follower();
    await enter(store, 0, entries(1, 600, 1));
    await store.door.apply([{ ...change('journal', 700, 9, null), origin: 'retry' }], context);
    expect(await enter(store, 1, entries(601, 600, 2))).toEqual({
      applied: 599,
      stale: 1,
      durable: true,
    });
    expect(await query(url(), 'SELECT count(*)::int AS n FROM journal')).toEqual([{ n: 1199 }]);
  });

  test.each([false, true])(
    'a value that does not fit is refused, copied or not, and the connection goes on (pooler: %s)',
    async (pooler) => {
      const store = await follower({ pooler, poolMax: 1 });
      for (const from of [0, 1]) {
        await enter(store, from, entries(from * 600 + 1, 600, from + 1));
      }
      const long = [
        ...entries(1201, 600, 3),
        change('journal', 9_000, 3, { text: 'x'.repeat(21) }),
      ];
      await expect(enter(store, 2, long)).rejects.toMatchObject({ code: 'STORE_REJECTED' });
      // An error in front of the data of a COPY: they are dropped, and the next flight is understood.
      const bad = [
        change('owners', 1, 3, { name: 'forbidden', email: null }),
        ...entries(1201, 600, 3),
      ];
      await expect(enter(store, 2, bad)).rejects.toMatchObject({ code: 'STORE_REJECTED' });
      expect(await doorOf(store).checkpoint(stream)).toEqual(at(2));
      expect(await enter(store, 2, entries(1201, 600, 3))).toEqual({
        applied: 600,
        stale: 0,
        durable: true,
      });
    },
  );

  test('are copied in again when an error stood in front of the data', async () => {
    const store = await follower({ poolMax: 1 });
    const written = await watch();
    for (const from of [0, 1]) await enter(store, from, entries(from * 600 + 1, 600, from + 1));
    const late = doorOf(store).apply(
      { stream, from: at(0), to: at(1), changes: entries(1201, 600, 3) },
      context,
    );
    await expect(late).rejects.toMatchObject({ code: 'CHECKPOINT_MOVED' });
    await written();
    expect(await enter(store, 2, entries(1201, 600, 3))).toEqual({
      applied: 600,
      stale: 0,
      durable: true,
    });
    expect(await written()).toEqual(['COPY']);
  });
});

describe('a tombstone against a chunk that has read the record', () => {
  const everything = { after: null, until: ['9'] };
  const copies = ['1', '3', '5', '7'].map((id) => ({
    key: [id],
    record: { id, name: 'copied', lines: [{ line: `${id}0`, cart: id, what: 'copied' }] },
  }));

  test('that comes while the chunk is being written waits, and then deletes root and children', async () => {
    const store = await follower();
    const ticket = await store.door.beginChunk('carts', 1, everything, 'w');
    const foreign = new pg.Client({ connectionString: url() });
    await foreign.connect();
    try {
      await foreign.query("BEGIN; INSERT INTO carts VALUES (5, 'foreign')");
      const writing = store.door.writeChunk(ticket, copies, context);
      writing.catch(() => {});
      await sleep(120);
      const deleting = enter(store, 0, [change('carts', 3, 1, null), ...entries(1, 2, 1)]);
      expect(await settled(deleting)).toBe(false);
      await foreign.query('ROLLBACK');
      expect(await writing).toEqual({ inserted: 4 });
      expect(await deleting).toEqual({ applied: 3, stale: 0, durable: true });
      const left = await query(
        url(),
        'SELECT id, line FROM carts JOIN lines ON cart = id ORDER BY 1',
      );
      expect(left).toEqual([1, 5, 7].map((id) => ({ id, line: id * 10 })));
    } finally {
      await foreign.end();
    }
  });

  test('that is there before the chunk is written keeps its record out', async () => {
    const store = await follower();
    const ticket = await store.door.beginChunk('carts', 1, everything, 'w');
    await enter(store, 0, [change('carts', 3, 1, null)]);
    expect(await store.door.writeChunk(ticket, copies, context)).toEqual({ inserted: 3 });
    expect(await query(url(), 'SELECT id FROM carts ORDER BY 1')).toEqual(
      [1, 5, 7].map((id) => ({ id })),
    );
  });
});
