import { describe, expect, test } from 'vitest';
import { MemoryDatabase } from '../../src/adapters/memory/index.ts';
import { isChangeoverError } from '../../src/errors/index.ts';

const table = { name: 'numbers' } as { readonly name: string; readonly rowType?: number };
const session = { client: 'test', mark: null } as const;

async function begun(database: MemoryDatabase, timeoutMs?: number) {
  return database.begin({ ...session, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
}

describe('a memory database', () => {
  test('shows writes to others only after the commit, all of them at once', async () => {
    const database = new MemoryDatabase();
    const one = await begun(database);
    const other = await begun(database);
    await one.statement('write', () => {
      one.set(table, 'a', 1);
      one.set(table, 'b', 2);
    });
    expect(one.get(table, 'a')).toBe(1);
    expect(other.get(table, 'a')).toBeUndefined();
    await one.commit();
    expect([other.get(table, 'a'), other.get(table, 'b')]).toEqual([1, 2]);
    other.rollback();
  });

  test('forgets the writes of a transaction that rolls back and frees its locks', async () => {
    const database = new MemoryDatabase();
    const one = await begun(database);
    await one.statement('write', async () => {
      await one.lock('x', 'exclusive');
      one.set(table, 'a', 1);
    });
    one.rollback();
    expect(database.committed(table, 'a')).toBeUndefined();
    expect(database.locks.size).toBe(0);
    await expect(one.statement('late', () => undefined)).rejects.toThrow('BUG');
  });

  test('lets shared holders in together and an exclusive one alone, first come first served', async () => {
    const database = new MemoryDatabase();
    const [a, b, c] = [await begun(database), await begun(database), await begun(database)];
    await a.lock('x', 'shared');
    await b.lock('x', 'shared');
    const order: string[] = [];
    const waiting = c.lock('x', 'exclusive').then(() => order.push('exclusive'));
    const late = await begun(database);
    expect(late.tryLock('x', 'shared')).toBe(false);
    a.rollback();
    expect(order).toEqual([]);
    b.rollback();
    await waiting;
    expect(order).toEqual(['exclusive']);
    c.rollback();
    late.rollback();
  });

  test('refuses the wait that would close a circle', async () => {
    const database = new MemoryDatabase();
    const [a, b] = [await begun(database), await begun(database)];
    await a.lock('x', 'exclusive');
    await b.lock('y', 'exclusive');
    const first = a.lock('y', 'exclusive');
    await expect(b.lock('x', 'exclusive')).rejects.toThrow('STORE_CONFLICT');
    b.rollback();
    await first;
    a.rollback();
    expect(database.locks.size).toBe(0);
  });

  test('ends a transaction that takes longer than its limit, waiting or not', async () => {
    const database = new MemoryDatabase();
    const holder = await begun(database);
    await holder.lock('x', 'exclusive');
    const waiter = await begun(database, 20);
    await expect(waiter.statement('wait', () => waiter.lock('x', 'exclusive'))).rejects.toThrow(
      'DEADLINE_EXCEEDED',
    );
    expect(waiter.isOpen).toBe(false);
    holder.rollback();
  });

  test('says STORE_UNAVAILABLE while it is stopped, and to whoever was at work', async () => {
    const database = new MemoryDatabase();
    const open = await begun(database);
    database.stop();
    const failed = await open.statement('late', () => undefined).catch((error: unknown) => error);
    expect(isChangeoverError(failed, 'STORE_UNAVAILABLE')).toBe(true);
    const refused = await begun(database);
    await expect(refused.statement('new', () => undefined)).rejects.toThrow('STORE_UNAVAILABLE');
    database.start();
    const again = await begun(database);
    await again.statement('write', () => again.set(table, 'a', 1));
    await again.commit();
    expect(database.committed(table, 'a')).toBe(1);
  });

  test('does not take back a COMMIT whose answer was lost', async () => {
    const lost = new Error('connection lost');
    const database = new MemoryDatabase({
      hook: {
        request: async () => {},
        reply: async () => {},
        row: async () => {},
        commit: async (_step, server) => {
          setImmediate(() => server.commit());
          throw lost;
        },
      },
    });
    const one = await begun(database);
    await one.statement('write', () => one.set(table, 'a', 1));
    await expect(one.commit()).rejects.toThrow('OUTCOME_UNKNOWN');
    one.rollback();
    await one.ended;
    expect(database.committed(table, 'a')).toBe(1);
  });

  test('never wakes the waits of a client that died', async () => {
    const database = new MemoryDatabase();
    const [holder, waiter] = [
      database.begin({ client: 'dead', mark: null }),
      database.begin({ client: 'dead', mark: null }),
    ];
    await holder.lock('x', 'exclusive');
    let woken = false;
    void waiter.lock('x', 'exclusive').then(
      () => (woken = true),
      () => (woken = true),
    );
    database.clientDied('dead');
    await holder.ended;
    await waiter.ended;
    expect(woken).toBe(false);
    expect(database.locks.size).toBe(0);
  });
});
