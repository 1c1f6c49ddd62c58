import { describe, expect, test } from 'vitest';
import { digestOfCustomer } from '../../src/demo/canonical-customer.ts';
import {
  compareStores,
  countRequests,
  historyOf,
  judgeReads,
  judgeStore,
  longestWriteMs,
} from '../../src/demo/judge.ts';
import type { LedgerLine } from '../../src/demo/ledger.ts';
import { createLegacyShop, createModernShop } from '../../src/demo/legacy-shop.ts';
import { inventCustomer } from '../../src/demo/shop-customers.ts';
import { type LegacyCustomer, legacyColumns } from '../../src/demo/shop-schema.ts';
import { legacyToModern } from '../../src/demo/shop-transform.ts';
import { readCustomer, type StoreSnapshot, takeSnapshot } from '../../src/demo/store-snapshot.ts';
import type { DataRecord, Row } from '../../src/record/index.ts';
import { seededRandom } from '../../src/runtime/index.ts';
import { query, withDatabases } from '../support/databases.ts';

const random = seededRandom(7);
const customer = (id: string, op: string): LegacyCustomer => inventCustomer(id, op, random);

/** Lines of one write; `end` null: the process died. */
function write(
  op: string,
  id: string,
  after: LegacyCustomer | null,
  from: number,
  end: { t: 'ack' | 'rejected' | 'unknown'; at: number } | null,
): readonly LedgerLine[] {
  const intent: LedgerLine = {
    t: 'intent',
    op,
    id,
    action: after === null ? 'delete' : 'put',
    after,
    at: from,
  };
  if (end === null) return [intent];
  return [
    intent,
    end.t === 'ack'
      ? { t: 'ack', op, token: null, at: end.at }
      : { t: end.t, op, code: 'X', at: end.at },
  ];
}

const ack = (at: number) => ({ t: 'ack', at }) as const;

function holding(...customers: readonly LegacyCustomer[]): StoreSnapshot {
  return new Map(
    customers.map((one) => [
      one.id as string,
      { digest: digestOfCustomer(one), revision: one.revision as string },
    ]),
  );
}

const kinds = (
  before: StoreSnapshot,
  lines: readonly LedgerLine[],
  store: StoreSnapshot,
): string[] => judgeStore(before, historyOf([lines]), store).map(({ kind, id }) => `${kind} ${id}`);

describe('the judge', () => {
  const v1 = customer('1', '101');
  const v2 = customer('1', '102');
  const none: StoreSnapshot = new Map();
  const twice = [...write('101', '1', v1, 0, ack(1)), ...write('102', '1', v2, 2, ack(3))];

  test('accepts what the last acknowledged write left', () => {
    expect(kinds(none, twice, holding(v2))).toEqual([]);
  });

  test('calls a row lost that is gone, or older than an acknowledged write', () => {
    expect(kinds(none, twice, none)).toEqual(['lost 1']);
    expect(kinds(none, twice, holding(v1))).toEqual(['lost 1']);
    const original = customer('1', '0');
    expect(kinds(holding(original), twice, holding(original))).toEqual(['lost 1']);
  });

  test('calls a row differing whose content no write left', () => {
    const spoiled = { ...v2, note: 'spoiled' };
    expect(kinds(none, twice, holding(spoiled))).toEqual(['differing 1']);
    expect(kinds(none, [], holding(v1))).toEqual(['differing 1']);
  });

  test('calls a row resurrected that was deleted for good', () => {
    const deleted = [...twice, ...write('103', '1', null, 4, ack(5))];
    expect(kinds(none, deleted, none)).toEqual([]);
    expect(kinds(none, deleted, holding(v2))).toEqual(['resurrected 1']);
    expect(kinds(none, deleted, holding({ ...v2, note: 'x' }))).toEqual(['resurrected 1']);
  });

  test('accepts a row that came back by an acknowledged write', () => {
    const v4 = customer('1', '104');
    const lines = [
      ...twice,
      ...write('103', '1', null, 4, ack(5)),
      ...write('104', '1', v4, 6, ack(7)),
    ];
    expect(kinds(none, lines, holding(v4))).toEqual([]);
    expect(kinds(none, lines, none)).toEqual(['lost 1']);
  });

  test('takes a write of unknown outcome as either-or, and nothing else', () => {
    for (const end of [{ t: 'unknown', at: 6 } as const, null]) {
      const v3 = customer('1', '103');
      const lines = [...twice, ...write('103', '1', v3, 4, end)];
      expect(kinds(none, lines, holding(v2))).toEqual([]);
      expect(kinds(none, lines, holding(v3))).toEqual([]);
      expect(kinds(none, lines, holding(v1))).toEqual(['lost 1']);
      expect(kinds(none, lines, none)).toEqual(['lost 1']);
    }
  });

  test('takes a delete of unknown outcome as either-or', () => {
    const lines = [...twice, ...write('103', '1', null, 4, null)];
    expect(kinds(none, lines, none)).toEqual([]);
    expect(kinds(none, lines, holding(v2))).toEqual([]);
    expect(kinds(none, lines, holding(v1))).toEqual(['lost 1']);
  });

  test('does not accept a rejected write in the store', () => {
    const v3 = customer('1', '103');
    const lines = [...twice, ...write('103', '1', v3, 4, { t: 'rejected', at: 5 })];
    expect(kinds(none, lines, holding(v2))).toEqual([]);
    expect(kinds(none, lines, holding(v3))).toEqual(['differing 1']);
  });

  test('accepts either of two writes of one key that overlapped, but not an earlier one', () => {
    const other = customer('1', '201');
    const lines = [
      ...write('101', '1', v1, 0, ack(1)),
      ...write('102', '1', v2, 2, ack(5)),
      ...write('201', '1', other, 4, ack(6)),
    ];
    expect(kinds(none, lines, holding(v2))).toEqual([]);
    expect(kinds(none, lines, holding(other))).toEqual([]);
    expect(kinds(none, lines, holding(v1))).toEqual(['lost 1']);
  });

  test('sees rows that nobody touched change and vanish', () => {
    const original = customer('9', '0');
    expect(kinds(holding(original), [], holding(original))).toEqual([]);
    expect(kinds(holding(original), [], none)).toEqual(['lost 9']);
    expect(kinds(holding(original), [], holding({ ...original, zip: null }))).toEqual([
      'differing 9',
    ]);
  });

  test('compares the two stores with each other in both directions', () => {
    expect(compareStores(holding(v1), holding(v1))).toEqual([]);
    expect(compareStores(holding(v1), holding(v2))).toHaveLength(1);
    expect(compareStores(holding(v1), none)).toHaveLength(1);
    expect(compareStores(none, holding(v1))).toHaveLength(1);
  });

  test('leaves out what was written after a moment', () => {
    const history = historyOf([twice], 1.5);
    expect(judgeStore(none, history, holding(v1))).toEqual([]);
  });

  test('counts requests by their outcome', () => {
    const lines = [
      ...twice,
      ...write('103', '2', v1, 4, { t: 'rejected', at: 5 }),
      ...write('104', '3', v1, 4, { t: 'unknown', at: 9 }),
      ...write('105', '4', v1, 4, null),
      { t: 'read-failed', id: '1', code: 'X', at: 9 } as const,
    ];
    expect(countRequests(historyOf([lines]))).toMatchObject({
      acknowledgedWrites: 2,
      failedRequests: 3,
      interruptedWrites: 1,
    });
    expect(longestWriteMs([lines])).toBe(5);
    expect(longestWriteMs([lines], 0, 3)).toBe(1);
  });

  test('refuses a ledger that answers a write which it never announced', () => {
    expect(() => historyOf([[{ t: 'ack', op: '1', token: null, at: 1 }]])).toThrow(
      /never announced/,
    );
  });
});

describe('reads', () => {
  const v1 = customer('1', '101');
  const v2 = customer('1', '102');
  const none: StoreSnapshot = new Map();
  const twice = [...write('101', '1', v1, 0, ack(1)), ...write('102', '1', v2, 2, ack(3))];
  const read = (after: string | null, row: LegacyCustomer | null): LedgerLine => ({
    t: 'read',
    id: '1',
    after,
    seen: row && { revision: row.revision as string, digest: digestOfCustomer(row) },
    from: 4,
    at: 5,
  });
  const judge = (line: LedgerLine, more: readonly LedgerLine[] = []) =>
    judgeReads(none, historyOf([[...twice, ...more, line]]));

  test('with a token may see that write or a newer one, not an older one', () => {
    expect(judge(read('102', v2))).toEqual({ stale: 0, wrong: 0, tokensChecked: 1 });
    expect(judge(read('101', v2))).toMatchObject({ stale: 0 });
    expect(judge(read('102', v1))).toMatchObject({ stale: 1 });
    expect(judge(read('102', null))).toMatchObject({ stale: 1 });
  });

  test('without a token may be old, but never wrong', () => {
    expect(judge(read(null, v1))).toMatchObject({ stale: 0, wrong: 0 });
    expect(judge(read(null, { ...v1, note: 'spoiled' }))).toMatchObject({ wrong: 1 });
    expect(judge(read(null, customer('1', '999')))).toMatchObject({ wrong: 1 });
  });

  test('may find nothing after a delete', () => {
    const gone = write('103', '1', null, 3.5, ack(3.8));
    expect(judge(read('102', null), gone)).toMatchObject({ stale: 0 });
    expect(judge(read('103', null), gone)).toMatchObject({ stale: 0 });
    expect(judge(read('103', v2), gone)).toMatchObject({ stale: 1 });
  });
});

describe('on real stores', () => {
  const databases = withDatabases(2);

  async function migrate(): Promise<void> {
    const rows = await query<Record<string, string | null>>(
      databases.url(0),
      `SELECT ${legacyColumns.map((column) => `${column}::text`).join(', ')} FROM customers`,
    );
    for (const row of rows) await insertModern(databases.url(1), legacyToModern(row as DataRecord));
  }

  test('both models give one digest for one customer, and each kind of damage is seen', async () => {
    await createLegacyShop(databases.url(0), { rows: 120, seed: 3 });
    await createModernShop(databases.url(1));
    await migrate();
    const before = await takeSnapshot(databases.url(0), 'source');
    const target = await takeSnapshot(databases.url(1), 'target');
    expect(target.size).toBe(120);
    expect(compareStores(before, target)).toEqual([]);
    expect(judgeStore(before, historyOf([]), target)).toEqual([]);

    const row = (await readCustomer(databases.url(0), 'source', '5')) as LegacyCustomer;
    expect(digestOfCustomer(row)).toBe(before.get('5')?.digest);
    expect(await readCustomer(databases.url(1), 'target', '5')).toEqual(row);

    const damage = [
      'UPDATE customers SET balance = balance + 0.01 WHERE id = 1 RETURNING 1',
      "UPDATE customers SET created_at = created_at + interval '1 microsecond' WHERE id = 2 RETURNING 1",
      "UPDATE customers SET note = COALESCE(note, '') || ' ' WHERE id = 3 RETURNING 1",
      `DELETE FROM contact_points WHERE customer_id = (SELECT min(customer_id) FROM contact_points WHERE customer_id > 3) RETURNING 1`,
      `UPDATE addresses SET city = NULL WHERE (customer_id, kind) = (SELECT customer_id, kind FROM addresses WHERE customer_id > 20 AND kind = 'delivery' LIMIT 1) RETURNING 1`,
      'UPDATE customers SET newsletter = NOT newsletter WHERE id = 40 RETURNING 1',
    ];
    for (const sql of damage) expect(await query(databases.url(1), sql)).not.toEqual([]);
    const spoiled = await takeSnapshot(databases.url(1), 'target');
    expect(judgeStore(before, historyOf([]), spoiled)).toHaveLength(damage.length);
    expect(compareStores(before, spoiled)).toHaveLength(damage.length);
  });
});

async function insertModern(url: string, record: DataRecord): Promise<void> {
  const { addresses, contact_points, ...root } = record;
  await insertRow(url, 'customers', root as Row);
  for (const row of addresses as readonly Row[]) await insertRow(url, 'addresses', row);
  for (const row of contact_points as readonly Row[]) await insertRow(url, 'contact_points', row);
}

async function insertRow(url: string, table: string, row: Row): Promise<void> {
  const columns = Object.keys(row);
  const places = columns.map((_, index) => `$${index + 1}`).join(', ');
  await query(
    url,
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places})`,
    columns.map((column) => row[column] ?? null),
  );
}
