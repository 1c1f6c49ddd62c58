import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runBackfill } from '../../src/backfill/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { repair, verifyCollection } from '../../src/verify/index.ts';
import { withDatabases } from '../support/databases.ts';
import type { EngineFixture } from '../support/engine-fixture.ts';
import {
  customers,
  customersDdl,
  customersSeed,
  postgresFixture,
} from '../support/postgres-fixture.ts';

const never = new AbortController().signal;
const recheck = { delaysMs: [20, 100, 300] };

describe('verification and repair on PostgreSQL', () => {
  const databases = withDatabases(2, { scope: 'test' });
  let fixture: EngineFixture;
  beforeEach(async () => {
    await databases.query(0, customersDdl.source);
    await databases.query(1, customersDdl.target);
    await databases.query(0, customersSeed(3_000));
    fixture = await postgresFixture(
      { source: databases.url(0), target: databases.url(1) },
      customers,
    );
    const options = { currentState: fixture.state };
    await runBackfill(fixture.context, 'customers', options, never);
  });
  afterEach(() => fixture.close());
  const verify = () =>
    verifyCollection(fixture.context, 'customers', { currentState: fixture.state, recheck }, never);

  test('rows and child rows that were tampered with are found with their fields, and repaired', async () => {
    await databases.query(
      1,
      `DELETE FROM customers WHERE id = 10;
       UPDATE customers SET balance = balance + 0.01 WHERE id = 20;
       UPDATE contact_points SET value = 'x' WHERE customer_id = 31 AND kind = 'email';
       DELETE FROM contact_points WHERE customer_id = 41;
       INSERT INTO contact_points VALUES (50, 'fax', '1');
       INSERT INTO customers VALUES (-5, 'E', 'x', 0, now()), (999999, 'E', 'x', 0, now())`,
    );
    const report = await verify();
    expect(report).toMatchObject({ outcome: 'failed', unresolved: 0 });
    expect(report.persistent).toEqual({ missing: 1, extra: 2, different: 4 });
    const open = await fixture.context.control.mismatches.list('fixture', {
      status: 'open',
      limit: 10,
    });
    const fields = open.flatMap(({ differences }) => differences.map(({ field }) => field)).sort();
    expect(fields).toEqual([
      'balance',
      'contacts["31","email"].value',
      'contacts["41","email"]',
      'contacts["41","phone"]',
      'contacts["50","fax"]',
    ]);
    const options = { currentState: fixture.state, mode: 'apply', deleteExtras: true } as const;
    const mended = await repair(fixture.context, 'customers', 'open', options, never);
    expect(mended.counts).toMatchObject({ repaired: 7, failed: 0 });
    expect(await verify()).toMatchObject({ outcome: 'passed', suspects: 0 });
  });

  test('under live writes nothing false is reported, and the one wrong row is', async () => {
    const router = await createRouter(fixture.context, { graceMs: 200 });
    const handle = router.collection('customers');
    let done = false;
    const writer = async (offset: number): Promise<void> => {
      for (let turn = 0; !done; turn++) {
        const id = String(turn % 2 ? 1 + (turn % 6) : 1 + ((turn * 131 + offset * 997) % 2_900));
        if (turn % 5 === 0) await handle.delete([id]);
        else
          await handle.put({
            id,
            name: `Live ${offset} ${turn}`,
            email: turn % 2 ? `live${turn}@example.org` : null,
            phone: null,
            balance: '7.25',
            changed: '2024-05-05 05:05:05.5',
          });
      }
    };
    const writers = [0, 1, 2].map(writer);
    await databases.query(1, "UPDATE customers SET last_name = 'wrong' WHERE id = 2950");
    const reports = [await verify(), await verify()];
    done = true;
    await Promise.all(writers);
    await router.settle(5_000);
    await router.close();
    for (const report of reports)
      expect(report.persistent).toEqual({ missing: 0, extra: 0, different: 1 });
    const open = await fixture.context.control.mismatches.list('fixture', {
      status: 'open',
      limit: 10,
    });
    expect(open.map(({ key }) => key)).toEqual(['["2950"]']);
  });
});
