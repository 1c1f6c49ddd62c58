import pg from 'pg';
import { describe, expect, test } from 'vitest';
import type { Change } from '../../src/record/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';
import { query } from '../support/databases.ts';
import { at, change, stream } from '../support/log-door-tables.ts';
import {
  connect,
  context,
  doorOf,
  enter,
  entries,
  follower,
  settled,
  sleep,
  url,
} from '../support/postgres-log-door-rig.ts';

describe('the order of rows in a batch', () => {
  test('a unique value moves from a deleted record to a new one', async () => {
    const store = await follower();
    await enter(store, 0, [change('owners', 1, 1, { name: 'Ada', email: 'a@x' })]);
    const moved = [
      change('owners', 2, 2, { name: 'Bob', email: 'a@x' }),
      change('owners', 1, 2, null),
    ];
    expect(await enter(store, 1, moved)).toEqual({ applied: 2, stale: 0, durable: true });
    expect(await query(url(), 'SELECT id, email FROM owners')).toEqual([{ id: 2, email: 'a@x' }]);
  });

  test('children come after their parents and go before them', async () => {
    const store = await follower();
    const family = (sequence: number, present: boolean): readonly Change[] => [
      change('owners', 1, sequence, present ? { name: 'Ada', email: null } : null),
      change('pets', 7, sequence, present ? { owner: '1' } : null),
    ];
    await enter(store, 0, family(1, true));
    expect(await query(url(), 'SELECT * FROM pets')).toEqual([{ id: 7, owner: 1 }]);
    expect(await enter(store, 1, family(2, false))).toEqual({
      applied: 2,
      stale: 0,
      durable: true,
    });
    expect(await query(url(), 'SELECT * FROM owners')).toEqual([]);
  });

  test('a child leaves a parent that is deleted in the same batch', async () => {
    const store = await follower();
    await enter(store, 0, [
      change('owners', 1, 1, { name: 'Ada', email: null }),
      change('pets', 7, 1, { owner: '1' }),
    ]);
    const moved = [
      change('owners', 1, 2, null),
      change('owners', 2, 2, { name: 'Bob', email: null }),
      change('pets', 7, 2, { owner: '2' }),
    ];
    expect(await enter(store, 1, moved)).toEqual({ applied: 3, stale: 0, durable: true });
    expect(await query(url(), 'SELECT * FROM pets')).toEqual([{ id: 7, owner: 2 }]);
    expect(await query(url(), 'SELECT id FROM owners')).toEqual([{ id: 2 }]);
  });

  test('records that refer to each other enter together where their keys are deferrable', async () => {
    const store = await follower();
    const couple = [
      change('husbands', 1, 1, { wife: '1' }),
      change('wives', 1, 1, { husband: '1' }),
    ];
    expect(await enter(store, 0, couple)).toEqual({ applied: 2, stale: 0, durable: true });
    await expect(enter(store, 1, [change('wives', 1, 2, null)])).rejects.toMatchObject({
      code: 'STORE_REJECTED',
    });
    expect(await doorOf(store).checkpoint(stream)).toEqual(at(1));
  });
});

describe('what the fences refuse', () => {
  test('a newer re-read in the middle of a batch stays, the rest enters', async () => {
    const store = await follower();
    const cart = (sequence: number, id: number, name: string): Change =>
      change('carts', id, sequence, {
        name,
        lines: [{ line: `${id}0`, cart: `${id}`, what: name }],
      });
    await store.door.apply([{ ...cart(9, 2, 'read again'), origin: 'retry' }], context);
    await store.door.apply([{ ...cart(9, 3, 'gone'), value: null, origin: 'retry' }], context);
    const batch = [cart(5, 1, 'log'), cart(5, 2, 'log'), cart(5, 3, 'log'), ...entries(1, 3, 5)];
    expect(await enter(store, 0, batch)).toEqual({ applied: 4, stale: 2, durable: true });
    expect(
      await query(url(), 'SELECT id, name, what FROM carts JOIN lines ON cart = id ORDER BY 1'),
    ).toEqual([
      { id: 1, name: 'log', what: 'log' },
      { id: 2, name: 'read again', what: 'read again' },
    ]);
    expect(await doorOf(store).checkpoint(stream)).toEqual(at(1));
  });
});

describe('the checkpoint', () => {
  test('a worker that is late is refused before its rows are looked at', async () => {
    const store = await follower();
    await enter(store, 0, [change('owners', 1, 1, { name: 'Ada', email: null })]);
    const bad = [change('owners', 1, 1, { name: 'forbidden', email: null })];
    await expect(enter(store, 0, bad)).rejects.toMatchObject({ code: 'CHECKPOINT_MOVED' });
    await doorOf(store).forget(stream);
    await expect(enter(store, 1, [])).rejects.toMatchObject({ code: 'CHECKPOINT_MOVED' });
  });

  test('of two workers with the same part the second waits for the first, and goes on if that one fails', async () => {
    const store = await follower();
    const other = await connect();
    const foreign = new pg.Client({ connectionString: url() });
    await foreign.connect();
    try {
      await foreign.query("BEGIN; INSERT INTO owners VALUES (1, 'foreign', 'a@x')");
      const first = enter(store, 0, [change('owners', 2, 1, { name: 'one', email: 'a@x' })]);
      first.catch(() => {});
      expect(await settled(first)).toBe(false);
      const second = enter(other, 0, [change('owners', 3, 1, { name: 'two', email: null })]);
      expect(await settled(second)).toBe(false);
      // The first one's unique value is taken now.
      await foreign.query('COMMIT');
      await expect(first).rejects.toMatchObject({ code: 'STORE_REJECTED' });
      expect(await second).toEqual({ applied: 1, stale: 0, durable: true });
      expect(await query(url(), 'SELECT id FROM owners ORDER BY 1')).toEqual([
        { id: 1 },
        { id: 3 },
      ]);
      expect(await doorOf(store).checkpoint(stream)).toEqual(at(1));
    } finally {
      await foreign.end();
    }
  });

  test.each([1, 10])(
    'batches that are handed in early are applied in the order of the calls; one that fails stops those behind it (%i connections)',
    async (poolMax) => {
      const store = await follower({ poolMax });
      const owner = (id: number, name = 'Ada'): Change =>
        change('owners', id, id, { name, email: null });
      const early = Array.from({ length: 20 }, (_, from) => enter(store, from, [owner(from + 1)]));
      expect(await Promise.all(early)).toEqual(
        early.map(() => ({ applied: 1, stale: 0, durable: true })),
      );
      const outcomes = await Promise.allSettled([
        enter(store, 20, [owner(21)]),
        enter(store, 21, [owner(22, 'forbidden')]),
        enter(store, 22, [owner(23)]),
      ]);
      expect(
        outcomes.map((one) => (one.status === 'rejected' ? one.reason.code : 'applied')),
      ).toEqual(['applied', 'STORE_REJECTED', 'CHECKPOINT_MOVED']);
      expect(await doorOf(store).checkpoint(stream)).toEqual(at(21));
    },
  );

  test('a batch that is handed in early waits in the server, and needs no second try', async () => {
    const store = await follower();
    const rolledBack = async (): Promise<number> => {
      const [row] = await query(
        url(),
        'SELECT xact_rollback::int AS n FROM pg_stat_database WHERE datname = current_database()',
      );
      return Number(row?.['n']);
    };
    const foreign = new pg.Client({ connectionString: url() });
    await foreign.connect();
    try {
      await foreign.query("BEGIN; INSERT INTO owners VALUES (1, 'foreign', NULL)");
      const owner = (id: number): Change => change('owners', id, 1, { name: 'Ada', email: null });
      const before = await rolledBack();
      const early = [enter(store, 0, [owner(1)]), enter(store, 1, [owner(2)])];
      await sleep(200);
      const waiting = await query(
        url(),
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      expect(waiting).toHaveLength(2);
      await foreign.query('ROLLBACK');
      expect(await Promise.all(early)).toHaveLength(2);
      // Servers count when a connection ends at the latest.
      await Promise.all([store.close(), foreign.end()]);
      await sleep(200);
      expect((await rolledBack()) - before).toBe(1);
    } finally {
      await foreign.end().catch(() => {});
    }
  });

  test('a connection that is cut leaves the outcome unknown, and the checkpoint tells it', async () => {
    const store = await follower();
    const foreign = new pg.Client({ connectionString: url() });
    await foreign.connect();
    try {
      await foreign.query("BEGIN; INSERT INTO owners VALUES (1, 'foreign', NULL)");
      const cut = enter(store, 0, [change('owners', 1, 1, { name: 'Ada', email: null })]);
      cut.catch(() => {});
      expect(await settled(cut)).toBe(false);
      await foreign.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'changeover' AND wait_event_type = 'Lock'`,
      );
      await expect(cut).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
      expect(await doorOf(store).checkpoint(stream)).toEqual(at(0));
    } finally {
      await foreign.end();
    }
  });

  test('a store that was installed before there were logs gets its table when a stream begins', async () => {
    const store = await follower();
    const door = doorOf(store);
    await query(url(), 'DROP TABLE changeover_logged_target.log_checkpoint');
    expect(await door.checkpoint(stream)).toBeNull();
    await door.forget(stream);
    expect(await door.begin(stream, at(3))).toEqual(at(3));
    expect(await enter(store, 3, entries(1, 2, 1))).toEqual({
      applied: 2,
      stale: 0,
      durable: true,
    });
    await store.setup.uninstall();
    expect(await door.checkpoint(stream)).toBeNull();
    await door.forget(stream);
  });
});

describe("the mark in the follower's own log", () => {
  /** For each transaction of the log: its messages with this prefix, before and after the first row. */
  async function marks(work: () => Promise<void>): Promise<readonly string[]> {
    const slot = 'changeover_test_marks';
    await query(url(), `CREATE PUBLICATION ${slot} FOR ALL TABLES`);
    await query(url(), `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    try {
      await work();
      const rows = await query(
        url(),
        `SELECT convert_from(substr(data, 1, 1), 'UTF8') AS kind, position('changeover'::bytea in data) > 0 AS ours,
          position('logged'::bytea in data) > 0 AS named
        FROM pg_logical_slot_get_binary_changes('${slot}', NULL, NULL, 'proto_version', '1', 'publication_names', '${slot}', 'messages', 'true')`,
      );
      const seen: string[] = [];
      for (const { kind, ours, named } of rows) {
        if (kind === 'B') seen.push('');
        const last = seen.length - 1;
        if (kind === 'M' && ours && named) seen[last] += 'mark ';
        else if ('IUD'.includes(String(kind)) && !seen[last]?.endsWith('row '))
          seen[last] += 'row ';
      }
      return seen;
    } finally {
      await query(url(), `SELECT pg_drop_replication_slot('${slot}')`);
      await query(url(), `DROP PUBLICATION ${slot}`);
    }
  }

  const everyWay = async (store: MigrationStore): Promise<void> => {
    const ada = { name: 'Ada', email: null };
    await enter(store, 0, [change('owners', 1, 1, ada)]);
    await store.door.apply([change('owners', 2, 1, ada)], context);
    const live = await store.door.open({ ...change('owners', 3, 1, ada), origin: 'live' }, context);
    await live.commit({ epoch: 1, sequence: 1n });
  };

  test('stands before the first row in every transaction of the door', async () => {
    const store = await follower();
    expect(await marks(() => everyWay(store))).toEqual(['mark row ', 'mark row ', 'mark row ']);
    const ticket = await store.door.beginChunk('owners', 1, { after: null, until: null }, 'w');
    const written = await marks(async () => {
      const records = [{ key: ['4'], record: { id: '4', name: 'Eve', email: null } }];
      await store.door.writeChunk(ticket, records, context);
    });
    expect(written).toEqual(['mark row ']);
  });

  test('is left out where nothing is captured from the log', async () => {
    await follower();
    const store = await connect({}, new Set());
    expect(await marks(() => everyWay(store))).toEqual(['row ', 'row ', 'row ']);
  });
});
