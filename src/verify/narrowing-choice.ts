import { messageOf } from '../errors/index.ts';
import { toFollower } from '../migration/index.ts';
import {
  type DigestEncoding,
  type DigestFacts,
  type DigestPlan,
  digestEncoding,
  type EncodedColumn,
  encodeValue,
} from '../store/index.ts';
import { ignoredFields } from './comparator.ts';
import { samplesOf } from './narrowing-samples.ts';
import type { PageReaders } from './pages.ts';
import type { VerifyScope } from './verify-scope.ts';

/** How the two sides of a collection are compared, and why so. */
export type NarrowingChoice =
  | {
      readonly way: 'digest';
      readonly why: string;
      readonly plan: DigestPlan;
      /** Of a key of one integer column: the largest that both sides can hold; null: another key. */
      readonly largestKey: bigint | null;
    }
  | { readonly way: 'stream'; readonly why: string };

/** Digests where both stores can write the same text for each column, else the records themselves. Never throws for what a collection is like, only for what stores throw. */
export async function chooseNarrowing(
  scope: VerifyScope,
  readers: Pick<PageReaders, 'authority' | 'follower' | 'ask'>,
): Promise<NarrowingChoice> {
  const { collection } = scope;
  const [here, there] = [readers.authority.digests, readers.follower.digests];
  if (!here || !there) {
    const without = here ? scope.follower : scope.authority;
    return stream(`${without.engine} stores make no digests`);
  }
  if (!collection.identity && collection.columnwise !== true)
    return stream('its transform is JavaScript, which no store can run');
  const [authority, follower] = await readers.ask(() =>
    Promise.all([here.facts(collection.name), there.facts(collection.name)]),
  );
  const obstacle = authority.obstacle || follower.obstacle;
  if (obstacle !== '') return stream(obstacle);
  const how = authority.functions.find((one) => follower.functions.includes(one));
  if (how === undefined) return stream('the two stores have no hash in common');
  const order = unlikeOrder(authority, follower);
  if (order !== null) return stream(`the two stores order key column "${order}" differently`);
  const columns: { readonly name: string; readonly encoding: DigestEncoding }[] = [];
  const ignored = ignoredFields(scope);
  const keys = new Set(authority.key.map(({ name }) => name));
  for (const [name, type] of authority.columns) {
    if (ignored.has(name) && !keys.has(name)) continue;
    const other = follower.columns.get(name);
    if (other === undefined) return stream(`the follower has no column "${name}"`);
    const from = { type, spelling: authority.spelling };
    const to = { type: other, spelling: follower.spelling };
    const encoding = digestEncoding(from, to);
    const words = `column "${name}" (${type.declared} beside ${other.declared})`;
    if (encoding === null) return stream(`${words} has no text that both stores can write`);
    const converted = isConverted(scope, name, from, to, encoding);
    if (converted !== null) return stream(`${words} ${converted}`);
    columns.push({ name, encoding });
  }
  return {
    way: 'digest',
    why: `each column has one text in both stores (${how})`,
    plan: { function: how, columns },
    largestKey: largestKey(authority, follower),
  };
}

const stream = (why: string): NarrowingChoice => ({ way: 'stream', why });

/** The first key column that they order differently; null: none. */
function unlikeOrder(authority: DigestFacts, follower: DigestFacts): string | null {
  for (const [at, { name, order }] of authority.key.entries()) {
    const other = follower.key[at];
    if (order === null || other?.name !== name || other.order !== order) return name;
  }
  return authority.key.length === follower.key.length ? null : (follower.key.at(-1)?.name ?? '');
}

/**
 * Whether the mapping between the two columns is another one than their types say: an offset, bytes of a uuid in another order, a type that is not converted. Told by what it makes of sample
 * values. null: it is not.
 */
function isConverted(
  { collection, follower }: VerifyScope,
  name: string,
  from: EncodedColumn,
  to: EncodedColumn,
  encoding: DigestEncoding,
): string | null {
  const samples = samplesOf(from, to);
  if (samples.length === 0)
    return collection.identity ? null : 'is of a type whose conversion cannot be tried';
  let tried = 0;
  let refusal = '';
  for (const sample of samples) {
    let converted: unknown;
    try {
      converted = toFollower(collection, follower.side, { [name]: sample })?.[name];
    } catch (error) {
      // The other column cannot hold this sample; it says nothing about those that it can hold.
      refusal = messageOf(error);
      continue;
    }
    tried += 1;
    const text = typeof converted === 'string' ? converted : null;
    const same =
      encoding.form === 'own'
        ? text === sample
        : encodeValue(encoding, from, sample) === encodeValue(encoding, to, text);
    if (!same) return 'is converted in a way that no store can repeat';
  }
  return tried > 0 ? null : `takes none of the sample values: ${refusal}`;
}

function largestKey(authority: DigestFacts, follower: DigestFacts): bigint | null {
  if (authority.key.length !== 1) return null;
  const largest = [authority, follower].map(({ key, columns }) => {
    const type = columns.get(key[0]?.name ?? '');
    if (type?.kind !== 'integer') return null;
    const bits = BigInt(type.bits ?? 64);
    return (1n << (type.unsigned ? bits : bits - 1n)) - 1n;
  });
  const [one, other] = largest;
  if (one == null || other == null) return null;
  return one < other ? one : other;
}
