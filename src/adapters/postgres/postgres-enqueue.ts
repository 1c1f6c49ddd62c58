import { dispositionOf } from '../../errors/index.ts';
import type { QueueEntry } from '../../queue/index.ts';
import { encodeKey } from '../../record/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import type { SqlResult, Statement } from './postgres-flight.ts';
import { keyColumns, keyElements, keyEquals, keySpelling, keyText } from './postgres-key-sql.ts';
import { checkKeys } from './postgres-read.ts';
import { textArray } from './postgres-text.ts';

type Parts = Pick<PostgresStoreParts, 'session' | 'layout' | 'catalog'>;

const what = 'queue: enqueue';

/**
 * Queues entries under their keys **as the table spells them**: as the row does, or else as the column would. Verification asks the queue by that spelling; an application
 * may say '05' for 5, or 1 for 1.0. In one round trip: a fail-closed write waits for it.
 *
 * A key that the column cannot hold, or a table that cannot be looked at, is no reason to lose an entry: whoever takes it hears of that. Then they are queued as given.
 */
export async function enqueueEntries(
  parts: Parts,
  entries: readonly QueueEntry[],
): Promise<readonly bigint[]> {
  try {
    return await enqueueSpelled(parts, entries);
  } catch (error) {
    if (dispositionOf(error) !== 'reject') throw error;
    const { session, layout } = parts;
    return numbersIn((await session.run([givenStatement(layout.queue, entries)], { what }))[0]);
  }
}

async function enqueueSpelled(
  { session, layout, catalog }: Parts,
  entries: readonly QueueEntry[],
): Promise<readonly bigint[]> {
  const names = [...new Set(entries.map(({ collection }) => collection))];
  const collections = await Promise.all(names.map((name) => catalog.collection(name)));
  const groups = collections.map((collection) => ({
    collection,
    ordinals: entries.flatMap((entry, at) =>
      entry.collection === collection.collection ? [at] : [],
    ),
  }));
  const statements = groups.map(({ collection, ordinals }) =>
    spelledStatement(
      layout.queue,
      collection,
      ordinals.map((at) => entries[at] as QueueEntry),
    ),
  );
  const results = await session.run(statements, { what });
  const ids: bigint[] = new Array(entries.length).fill(0n);
  groups.forEach(({ ordinals }, group) => {
    numbersIn(results[group]).forEach((id, index) => {
      ids[ordinals[index] as number] = id;
    });
  });
  return ids;
}

/** Numbers are drawn in the order of the entries. */
function numbersIn(result: SqlResult | undefined): readonly bigint[] {
  return (result?.rows ?? []).map(([id]) => BigInt(id ?? 0)).sort((a, b) => (a < b ? -1 : 1));
}

const COLUMNS = '(collection, key, kind, due_at, dead_at, reason)';
/** The last four of them, of a line of `columnsOf`. */
const VALUES = `u.kind, clock_timestamp() + u.grace * interval '1 millisecond', CASE WHEN u.reason IS NOT NULL THEN clock_timestamp() END, u.reason`;
const TYPES = '$2::text[], $3::float8[], $4::text[]';

const columnsOf = (entries: readonly QueueEntry[]): readonly string[] => [
  textArray(entries.map(({ kind }) => kind)),
  textArray(entries.map(({ graceMs }) => String(graceMs))),
  textArray(entries.map(({ deadReason }) => deadReason ?? null)),
];

/** Entries of one collection. */
function spelledStatement(
  queue: string,
  collection: CatalogCollection,
  entries: readonly QueueEntry[],
): Statement {
  const { root } = collection;
  const keys = entries.map(({ key }) => key);
  checkKeys(collection, keys);
  const given = keyElements(root.key, 'u');
  const own = keyText(root.key.map(({ quoted }) => `t.${quoted}`));
  const arrays = root.key.map((_, index) => `$${5 + index}::text[]`).join(', ');
  const names = root.key.map((_, index) => `c${index + 1}`).join(', ');
  return {
    text: `INSERT INTO ${queue} ${COLUMNS}
      SELECT $1::text, coalesce(r.key, ${keyText(keySpelling(root.key, given))}), ${VALUES}
      FROM unnest(${TYPES}, ${arrays}) WITH ORDINALITY AS u(kind, grace, reason, ${names}, n)
      LEFT JOIN LATERAL (SELECT ${own} AS key FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', given)} LIMIT 1) r ON true
      ORDER BY u.n RETURNING id`,
    values: [
      collection.collection,
      ...columnsOf(entries),
      ...keyColumns(keys, root.key.length).map((column) => textArray(column)),
    ],
  };
}

function givenStatement(queue: string, entries: readonly QueueEntry[]): Statement {
  return {
    text: `INSERT INTO ${queue} ${COLUMNS}
      SELECT u.collection, u.key, ${VALUES}
      FROM unnest($1::text[], ${TYPES}, $5::text[]) WITH ORDINALITY AS u(collection, kind, grace, reason, key, n)
      ORDER BY u.n RETURNING id`,
    values: [
      textArray(entries.map(({ collection }) => collection)),
      ...columnsOf(entries),
      textArray(entries.map(({ key }) => encodeKey(key))),
    ],
  };
}
