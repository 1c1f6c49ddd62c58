import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import type { PostgresOptions } from '../../src/adapters/postgres/postgres-connections.ts';
import type { Change } from '../../src/record/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { LogApplied, LogDoor, MigrationStore } from '../../src/store/index.ts';
import { query, withDatabases } from '../support/databases.ts';
import { at, change, ddl, shapes, stream } from '../support/log-door-tables.ts';

const databases = withDatabases(1);
const url = (): string => databases.url(0);
const context = { epoch: 1, timeoutMs: 20_000 };
const sleep = (ms: number): Promise<void> => systemRuntime.clock.sleep(ms);

const entries = (from: number, count: number, sequence: number, text = 'entry'): Change[] =>
  Array.from({ length: count }, (_, index) =>
    change('journal', from + index, sequence, { text: `${text}\t${index}` }),
  );

let opened: MigrationStore[] = [];

async function connect(
  options: PostgresOptions = {},
  logged: ReadonlySet<string> = new Set(shapes.keys()),
): Promise<MigrationStore> {
  const store = await postgres({ url: url(), ...options }).connect({
    migration: 'logged',
    side: 'target',
    shapes,
    logged,
    runtime: systemRuntime,
  });
  opened.push(store);
  return store;
}

async function follower(options: PostgresOptions = {}): Promise<MigrationStore> {
  const store = await connect(options);
  await store.setup.install('follower', 1);
  await doorOf(store).begin(stream, at(0));
  return store;
}

function doorOf({ door }: MigrationStore): LogDoor {
  if (!door.log) throw new Error('the store has no door.log');
  return door.log;
}

const enter = (
  store: MigrationStore,
  from: number,
  changes: readonly Change[],
): Promise<LogApplied> =>
  doorOf(store).apply({ stream, from: at(from), to: at(from + 1), changes }, context);

const settled = (work: Promise<unknown>, ms = 200): Promise<boolean> =>
  Promise.race([
    work.then(
      () => true,
      () => true,
    ),
    sleep(ms).then(() => false),
  ]);

beforeEach(async () => {
  await query(url(), ddl);
});

afterEach(async () => {
  await Promise.all(opened.map((store) => store.close()));
  opened = [];
  await query(
    url(),
    `DROP TABLE statements, journal, pets, owners, lines, carts; DROP TABLE husbands, wives CASCADE;
     DROP SCHEMA IF EXISTS changeover_logged_target CASCADE; DROP FUNCTION IF EXISTS note_statement CASCADE`,
  );
});

describe('the order of rows in a batch', () => {
  test('a unique value moves from a deleted record to a new one', async () => {
    const store = await follower();
    await enter(store, 0, [change('owners', 1, 1, { name: 'Ada', email: 'a@x' })]);
    const moved = [
      change('owners', 2, 2, { name: 'Bob', email: 'a@x' }),
      change('owners', 1, 2, null),
    ];
    expect(await enter(store, 1, moved)).toEqual({ applied: 2, stale: 0 });
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
    expect(await enter(store, 1, family(2, false))).toEqual({ applied: 2, stale: 0 });
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
    expect(await enter(store, 1, moved)).toEqual({ applied: 3, stale: 0 });
    expect(await query(url(), 'SELECT * FROM pets')).toEqual([{ id: 7, owner: 2 }]);
    expect(await query(url(), 'SELECT id FROM owners')).toEqual([{ id: 2 }]);
  });

  test('records that refer to each other enter together where their keys are deferrable', async () => {
    const store = await follower();
    const couple = [
      change('husbands', 1, 1, { wife: '1' }),
      change('wives', 1, 1, { husband: '1' }),
    ];
    expect(await enter(store, 0, couple)).toEqual({ applied: 2, stale: 0 });
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
    expect(await enter(store, 0, batch)).toEqual({ applied: 4, stale: 2 });
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
      expect(await second).toEqual({ applied: 1, stale: 0 });
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
      expect(await Promise.all(early)).toEqual(early.map(() => ({ applied: 1, stale: 0 })));
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
    expect(await enter(store, 3, entries(1, 2, 1))).toEqual({ applied: 2, stale: 0 });
    await store.setup.uninstall();
    expect(await door.checkpoint(stream)).toBeNull();
    await door.forget(stream);
  });
});

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
      expect(await enter(store, 0, entries(1, 600, 1))).toEqual({ applied: 600, stale: 0 });
      expect(await written()).toEqual(['INSERT']);
      expect(await enter(store, 1, entries(601, 600, 2, 'a\\b\nc'))).toEqual({
        applied: 600,
        stale: 0,
      });
      expect(await written()).toEqual(['COPY']);
      // The last one of the batch before comes again, changed.
      expect(await enter(store, 2, entries(1200, 600, 3, 'changed'))).toEqual({
        applied: 600,
        stale: 0,
      });
      expect(await written()).toEqual(['INSERT']);
      expect(await enter(store, 3, entries(1800, 600, 4))).toEqual({ applied: 600, stale: 0 });
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
    expect(await enter(store, 1, entries(601, 600, 2))).toEqual({ applied: 599, stale: 1 });
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
      expect(await enter(store, 2, entries(1201, 600, 3))).toEqual({ applied: 600, stale: 0 });
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
    expect(await enter(store, 2, entries(1201, 600, 3))).toEqual({ applied: 600, stale: 0 });
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
      expect(await deleting).toEqual({ applied: 3, stale: 0 });
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
