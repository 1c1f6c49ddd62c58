import { describe, expect, test } from 'vitest';
import type { DataRecord, Key } from '../../src/record/index.ts';
import type { KeyRange, RecordDigests, RecordReader } from '../../src/store/index.ts';
import { type NarrowedStep, openNarrowing } from '../../src/verify/narrowing.ts';
import type { PageReaders } from '../../src/verify/pages.ts';
import { type VerifyScope, verifyScope } from '../../src/verify/verify-scope.ts';
import { itemsCollection } from '../support/engine-fixture.ts';
import { never, type VerifyFixture, verifyFixtures } from '../support/verify-fixture.ts';

const everything: KeyRange = { after: null, until: null };
const keyOf = (index: number): Key => [String(index).padStart(6, '0')];
const small = {
  batchRows: 50,
  leafRows: 20,
  segments: { firstRows: 100, rowsMax: 400, bytes: 20_000 },
};

const scopeOf = ({ context, state }: VerifyFixture, signal = never): VerifyScope =>
  verifyScope(context, 'items', { currentState: state }, signal);

const readersOf = ({ authority, follower }: VerifyScope): PageReaders => ({
  collection: 'items',
  authority: authority.records,
  follower: follower.records,
  ask: (work) => work(),
});

async function walked(
  scope: VerifyScope,
  readers = readersOf(scope),
  range = everything,
): Promise<{
  readonly steps: readonly NarrowedStep[];
  readonly named: readonly string[];
  readonly way: string;
  readonly why: string;
  readonly compared: number;
}> {
  const narrowing = await openNarrowing(scope, readers, small);
  const steps: NarrowedStep[] = [];
  for await (const step of narrowing.walk(range)) steps.push(step);
  const named = steps
    .flatMap(({ differing }) => differing)
    .map(({ pair, difference }) => `${difference.kind} ${pair.key[0]}`)
    .sort();
  const compared = steps.reduce((sum, step) => sum + step.compared, 0);
  return { steps, named, compared, way: narrowing.way, why: narrowing.why };
}

/** The same reader, with some of its calls counted or changed. */
const withCalls = (
  reader: RecordReader,
  calls: string[],
  digests = reader.digests,
): RecordReader => ({
  ...reader,
  scan: (...given) => {
    calls.push('scan');
    return reader.scan(...given);
  },
  read: (...given) => {
    calls.push(`read ${given[1].length}`);
    return reader.read(...given);
  },
  ...(digests === undefined ? {} : { digests }),
});

describe('narrowing by digests', () => {
  const open = verifyFixtures();

  test('reads no record of sides that are equal', async () => {
    const scope = scopeOf(await open(1_000));
    const readers = readersOf(scope);
    const calls: string[] = [];
    const counted = {
      ...readers,
      authority: withCalls(readers.authority, calls),
      follower: withCalls(readers.follower, calls),
    };
    const { named, way, compared } = await walked(scope, counted);
    expect({ named, way, compared, calls }).toEqual({
      named: [],
      way: 'digest',
      compared: 1_000,
      calls: [],
    });
  });

  test('names what is missing, extra and different, at both ends of the range as well, and reads nothing else', async () => {
    const fixture = await open(1_000);
    const { target } = fixture.foreign;
    for (const index of [1, 500, 1_000]) await target.delete(keyOf(index));
    await target.put(keyOf(301), { id: keyOf(301)[0] as string, name: 'other' });
    await target.put(keyOf(302), { id: keyOf(302)[0] as string, name: null });
    await target.put(['000000'], { id: '000000', name: 'before' });
    await target.put(['001001'], { id: '001001', name: 'behind' });
    const scope = scopeOf(fixture);
    const readers = readersOf(scope);
    const calls: string[] = [];
    const counted = { ...readers, follower: withCalls(readers.follower, calls) };
    const { named, compared } = await walked(scope, counted);
    expect(named).toEqual([
      'different 000301',
      'different 000302',
      'extra 000000',
      'extra 001001',
      'missing 000001',
      'missing 000500',
      'missing 001000',
    ]);
    expect(compared).toBe(1_002);
    expect(calls).not.toContain('scan');
    expect(calls.reduce((sum, call) => sum + Number(call.slice(5)), 0)).toBe(7);
  });

  test('a side that is empty is told record by record', async () => {
    const fixture = await open(130);
    for (let index = 1; index <= 130; index += 1) await fixture.foreign.source.delete(keyOf(index));
    const { named, compared } = await walked(scopeOf(fixture));
    expect(named).toHaveLength(130);
    expect(named.every((one) => one.startsWith('extra'))).toBe(true);
    expect(compared).toBe(130);
  });

  test('compares the range that was asked for, and its steps leave no gaps', async () => {
    const fixture = await open(1_000);
    for (const index of [200, 201, 800, 801]) await fixture.foreign.target.delete(keyOf(index));
    const range = { after: keyOf(200), until: keyOf(800) };
    const { named, steps, compared } = await walked(scopeOf(fixture), undefined, range);
    expect(named).toEqual(['missing 000201', 'missing 000800']);
    expect(compared).toBe(600);
    const bounds = steps.map((step) => [step.range.after, step.range.until]);
    expect(bounds[0]?.[0]).toEqual(range.after);
    expect(bounds.at(-1)?.[1]).toEqual(range.until);
    for (let at = 1; at < bounds.length; at += 1)
      expect(bounds[at]?.[0]).toEqual(bounds[at - 1]?.[1]);
  });

  test('a field that is not compared for a while does not make records suspect', async () => {
    const collection = itemsCollection({
      ignore: { name: { reason: 'test', until: '2999-01-01' } },
    });
    const fixture = await open(300, collection);
    await fixture.foreign.target.put(keyOf(7), { id: keyOf(7)[0] as string, name: 'other' });
    expect(await walked(scopeOf(fixture))).toMatchObject({ named: [], way: 'digest' });
  });

  test.each([
    ['a JavaScript transform', itemsCollection({ identity: false }), 'its transform is JavaScript'],
    [
      'child records',
      itemsCollection({
        target: {
          table: 'items',
          key: ['id'],
          children: { lines: { table: 'lines', key: ['n'], parent: ['id'] } },
        },
      }),
      'its records have children',
    ],
  ])('%s is compared record by record, and it says why', async (_title, collection, why) => {
    const fixture = await open(300, collection);
    await fixture.foreign.target.delete(keyOf(42));
    const result = await walked(scopeOf(fixture));
    expect(result).toMatchObject({ way: 'stream', named: ['missing 000042'], compared: 300 });
    expect(result.why).toContain(why);
  });

  test('a column that the follower lacks is compared record by record', async () => {
    const fixture = await open(10);
    const more: DataRecord = { id: keyOf(3)[0] as string, name: 'name 3', colour: 'red' };
    await fixture.foreign.source.put(keyOf(3), more);
    const result = await walked(scopeOf(fixture));
    expect(result).toMatchObject({ way: 'stream', named: ['different 000003'] });
    expect(result.why).toContain('no column "colour"');
  });

  test('a mapping that changes values is noticed by what it makes of samples', async () => {
    const shifted = (record: DataRecord): DataRecord =>
      'name' in record ? { ...record, name: `${record['name']}!` } : record;
    const collection = itemsCollection({ identity: false, columnwise: true, forward: shifted });
    const fixture = await open(10, collection);
    const result = await walked(scopeOf(fixture));
    expect(result).toMatchObject({ way: 'stream' });
    expect(result.named).toHaveLength(10);
    expect(result.why).toContain('converted in a way that no store can repeat');
  });

  test('digests that differ although the records agree are given up, and nothing false is named', async () => {
    const fixture = await open(2_000);
    await fixture.foreign.target.delete(keyOf(1_990));
    const scope = scopeOf(fixture);
    const readers = readersOf(scope);
    const { digests } = readers.follower as { readonly digests: RecordDigests };
    const salted: RecordDigests = {
      ...digests,
      ranges: async (...given) =>
        (await digests.ranges(...given)).map((one) => ({ ...one, digest: `${one.digest}x` })),
      rows: async (...given) =>
        (await digests.rows(...given)).map((one) => ({ ...one, digest: `${one.digest}x` })),
    };
    const spoilt = { ...readers, follower: { ...readers.follower, digests: salted } };
    const result = await walked(scope, spoilt);
    expect(result).toMatchObject({ way: 'stream', named: ['missing 001990'], compared: 2_000 });
    expect(result.why).toContain('written differently');
  });

  test('a digest that a store could not make is no proof', async () => {
    const fixture = await open(500);
    await fixture.foreign.target.put(keyOf(77), { id: keyOf(77)[0] as string, name: 'other' });
    const scope = scopeOf(fixture);
    const readers = readersOf(scope);
    const cut = (reader: RecordReader): RecordReader => {
      const digests = reader.digests as RecordDigests;
      return {
        ...reader,
        digests: {
          ...digests,
          ranges: async (...given) =>
            (await digests.ranges(...given)).map((one) => ({ ...one, digest: null })),
        },
      };
    };
    const blind = {
      ...readers,
      authority: cut(readers.authority),
      follower: cut(readers.follower),
    };
    expect((await walked(scope, blind)).named).toEqual(['different 000077']);
  });

  test('ends when its scope ends', async () => {
    const fixture = await open(2_000);
    const stop = new AbortController();
    const scope = scopeOf(fixture, stop.signal);
    const narrowing = await openNarrowing(scope, readersOf(scope), small);
    let steps = 0;
    for await (const _ of narrowing.walk(everything)) {
      steps += 1;
      stop.abort();
    }
    expect(steps).toBe(1);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'whatever was changed, digests name what a plain comparison names (seed %i)',
    async (seed) => {
      const fixture = await open(700);
      let state = seed * 2_654_435_761;
      const random = (below: number): number => {
        state = (Math.imul(state ^ (state >>> 15), 2_246_822_507) + 0x9e3779b9) >>> 0;
        return state % below;
      };
      const values = [null, '', 'N', '1|a', 'a|1', 'é', '\n', 'name 1'];
      for (let change = random(40); change >= 0; change -= 1) {
        const side = random(2) === 0 ? 'source' : 'target';
        const key = keyOf(random(760));
        if (random(3) === 0) await fixture.foreign[side].delete(key);
        else {
          const name = values[random(values.length)] ?? null;
          await fixture.foreign[side].put(key, { id: key[0] as string, name });
        }
      }
      const scope = scopeOf(fixture);
      const [one, other] = [await fixture.all('source'), await fixture.all('target')];
      const plain = [...new Set([...one.keys(), ...other.keys()])].flatMap((id) => {
        const [a, b] = [one.get(id), other.get(id)];
        const kind = !a ? 'extra' : !b ? 'missing' : a['name'] === b['name'] ? null : 'different';
        return kind === null ? [] : [`${kind} ${JSON.parse(id)[0]}`];
      });
      const { named, way } = await walked(scope);
      expect({ named, way }).toEqual({ named: plain.sort(), way: 'digest' });
    },
  );
});
