import { afterEach, describe, expect, test } from 'vitest';
import {
  createTokenCodec,
  mergeTokens,
  tokenEntriesMax,
  tokenSubject,
} from '../../src/router/token.ts';
import { openRig, type Rig } from '../support/router-rig.ts';

const entry = (id: string, sequence: number, epoch = 1) => ({
  subject: tokenSubject('customers', [id]),
  version: { epoch, sequence: BigInt(sequence) },
});

describe('a token', () => {
  test('carries neither keys nor collections, and survives a cookie', () => {
    const token = createTokenCodec(null).encode([entry('ada@example.com', 7)]);
    expect(token).toMatch(/^[A-Za-z0-9~:._-]+$/);
    expect(token).not.toContain('ada');
  });

  test('comes back as it was made', () => {
    for (const secret of [null, 'secret']) {
      const codec = createTokenCodec(secret);
      const entries = [entry('1', 7), entry('2', 8, 3)];
      expect(codec.decode(codec.encode(entries))).toEqual(entries);
      expect(codec.encode([])).toBe('');
      expect(codec.decode('')).toEqual([]);
    }
  });

  test.each([
    'x',
    'v1',
    'v1~',
    'v2~0123456789abcdef:1.1',
    'v1~0123456789abcdef',
    'v1~0123456789abcdef:1',
    'v1~0123456789abcdeg:1.1',
    'v1~0123456789abcdef:-1.1',
    'v1~0123456789abcdef:1.99999999999999999999',
    `v1${'~0123456789abcdef:1.1'.repeat(17)}`,
  ])('%s is refused with TOKEN_INVALID', (token) => {
    expect(() => createTokenCodec(null).decode(token)).toThrow(/TOKEN_INVALID/);
  });

  test('that was changed, unsigned or signed by another secret is refused', () => {
    const codec = createTokenCodec('secret');
    const token = codec.encode([entry('1', 7)]);
    const unsigned = createTokenCodec(null).encode([entry('1', 7)]);
    const other = createTokenCodec('other').encode([entry('1', 7)]);
    for (const wrong of [token.replace(':1.7', ':1.8'), unsigned, other, `${token}x`])
      expect(() => codec.decode(wrong), wrong).toThrow(/TOKEN_INVALID/);
  });

  test('that is merged keeps the newest version of each key', () => {
    const codec = createTokenCodec('secret');
    const tokens = [[entry('1', 7)], [entry('2', 3), entry('1', 9)], [entry('1', 8)], []];
    const merged = mergeTokens(
      codec,
      tokens.map((entries) => codec.encode(entries)),
    );
    expect(codec.decode(merged)).toEqual([entry('2', 3), entry('1', 9)]);
    expect(mergeTokens(codec, [])).toBe('');
  });

  test('of very many writes forgets none: the oldest become one demand on every key', () => {
    const codec = createTokenCodec(null);
    let token = '';
    for (let at = 1; at <= 50; at++)
      token = mergeTokens(codec, [token, codec.encode([entry(String(at), at)])]);
    const entries = codec.decode(token);
    expect(entries).toHaveLength(tokenEntriesMax);
    const newest = entries.slice(1).map(({ version }) => Number(version.sequence));
    expect(newest).toEqual(Array.from({ length: tokenEntriesMax - 1 }, (_, at) => 36 + at));
    expect(entries[0]).toEqual({ subject: '*', version: { epoch: 1, sequence: 35n } });
  });
});

describe('a read with a token', () => {
  let rig: Rig;
  afterEach(() => rig.close());

  /** All reads are dialled to the target; the follower is written later. */
  async function behind(): Promise<Rig> {
    rig = await openRig({ collection: { write: 'deferred' } });
    await rig.enter({ phase: 'read-switch', dialBasisPoints: 10_000 });
    return rig;
  }
  const ada = (name: string) => ({ id: '1', name, city: null });
  const catchUp = async () => {
    const { source, target } = rig.context.stores;
    const claimed = await source.queue.claim(100, 'worker', 1_000);
    for (const { id, key } of claimed) {
      const [found] = await source.records.reread('customers', [key], 1);
      const record = found?.record ?? null;
      const value = record && rig.context.migration.collections.get('customers')!.forward(record);
      const change = { collection: 'customers', key, value, origin: 'retry' as const };
      await target.door.apply([{ ...change, version: found!.version }], {
        epoch: 1,
        timeoutMs: 1_000,
      });
      await source.queue.complete([id]);
    }
  };

  test('is answered by the authority while the follower is behind, by the follower afterwards', async () => {
    await behind();
    const customers = rig.router.collection('customers');
    const { token } = await customers.put(ada('Ada'));
    expect(await customers.get('1')).toBeNull();
    expect(await customers.get('1', { token })).toMatchObject({ name: 'Ada' });
    await catchUp();
    expect(await customers.get('1', { token })).toMatchObject({ name: 'Ada' });
    expect(rig.of('read').map(({ servedBy, why }) => `${servedBy} ${why}`)).toEqual([
      'target dial',
      'source token',
      'target dial',
    ]);
  });

  test('sees its own delete, not the record that the follower still has', async () => {
    await behind();
    const customers = rig.router.collection('customers');
    await customers.put(ada('Ada'));
    await catchUp();
    const { token } = await customers.delete('1');
    expect(await customers.get('1')).not.toBeNull();
    expect(await customers.get('1', { token })).toBeNull();
    await catchUp();
    expect(await customers.get('1', { token })).toBeNull();
    expect(rig.of('read').at(-1)).toMatchObject({ servedBy: 'target', why: 'dial' });
  });

  test('of another key costs the follower nothing', async () => {
    await behind();
    const customers = rig.router.collection('customers');
    await customers.put(ada('Ada'));
    await catchUp();
    const { token } = await customers.put({ id: '2', name: 'Bob', city: null });
    expect(await customers.get('1', { token })).toMatchObject({ name: 'Ada' });
    expect(rig.of('read').at(-1)).toMatchObject({ servedBy: 'target' });
  });

  test('of more writes than a token holds still sees each of them', async () => {
    await behind();
    const customers = rig.router.collection('customers');
    let token = '';
    for (let id = 1; id <= 40; id++) {
      const written = await customers.put({ id, name: `name ${id}`, city: null });
      token = rig.router.mergeTokens([token, written.token]);
    }
    for (const id of [1, 20, 40])
      expect(await customers.get(id, { token })).toMatchObject({ name: `name ${id}` });
  });

  test('of a write that nothing follows is an ordinary read', async () => {
    rig = await openRig();
    const customers = rig.router.collection('customers');
    const { token } = await customers.put(ada('Ada'));
    expect(token).toBe('');
    await rig.enter({ phase: 'read-switch', dialBasisPoints: 10_000 });
    expect(await customers.get('1', { token })).toBeNull();
  });

  test('of a later epoch makes a process that is behind ask, and refuse rather than answer old data', async () => {
    rig = await openRig();
    await rig.enter({ phase: 'read-switch' });
    const customers = rig.router.collection('customers');
    await customers.put(ada('Ada'));
    await rig.router.settle(500);
    // Authority moves while this process cannot hear of it.
    rig.control.hook = {
      request: () => Promise.reject(new Error('partition')),
      reply: async () => {},
    };
    const state = rig.publish({ phase: 'write-switch', epoch: 2 });
    await rig.guards(state);
    const token = createTokenCodec(null).encode([entry('1', 1, 2)]);
    await expect(customers.get('1', { token })).rejects.toMatchObject({
      code: 'CONTROL_UNAVAILABLE',
    });
    await expect(
      rig.router.read('list', { source: async () => 'old', target: async () => 'new' }, { token }),
    ).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
    rig.control.hook = null;
    expect(await customers.get('1', { token })).toMatchObject({ name: 'Ada' });
    expect(rig.of('read').at(-1)).toMatchObject({ servedBy: 'target' });
  });

  test('by a named closure is answered by the authority', async () => {
    await behind();
    const { token } = await rig.router.collection('customers').put(ada('Ada'));
    const closures = { source: async () => 'source', target: async () => 'target' };
    expect(await rig.router.read('list', closures, { routingKey: 'a' })).toBe('target');
    expect(await rig.router.read('list', closures, { routingKey: 'a', token })).toBe('source');
  });

  test('that is not one of ours is refused before anything is read', async () => {
    await behind();
    const get = rig.router.collection('customers').get('1', { token: 'v1~nonsense' });
    await expect(get).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
    expect(rig.of('read')).toEqual([]);
  });
});
