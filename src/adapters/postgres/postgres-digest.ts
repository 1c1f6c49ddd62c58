import { ChangeoverError } from '../../errors/index.ts';
import type { ColumnType } from '../../mapping/index.ts';
import type {
  DigestFacts,
  DigestFunction,
  DigestPlan,
  KeyRange,
  RangeDigest,
  RecordDigests,
} from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn, PostgresCatalog } from './postgres-catalog.ts';
import { COLUMN_TYPES, columnTypeOf } from './postgres-column-type.ts';
import {
  type DigestedColumn,
  HASH_PROBE,
  rangeDigest,
  rowDigest,
  rowText,
  rowWidth,
} from './postgres-digest-sql.ts';
import type { SqlResult, Statement } from './postgres-flight.ts';
import { keyOrder, keyRange } from './postgres-key-sql.ts';
import { checkKeys } from './postgres-read.ts';

/** Deadline of a digest outside of a snapshot: a range takes seconds, on a busy server. */
export const DIGEST_TIMEOUT_MS = 120_000;

/** Sends statements, in whatever transaction or snapshot the caller reads. */
export type RunDigests = (
  statements: readonly Statement[],
  what: string,
) => Promise<readonly SqlResult[]>;

/** What `hashtextextended` gives for the probe, on little-endian machines. Another answer is another hash: `sum64` is not offered. */
const KNOWN_HASH = '-4552973254096734561';

/** A plan for unknown bounds would be that of a small range, without parallel workers. Local to the transaction. */
const CUSTOM_PLANS: Statement = {
  text: `SELECT pg_catalog.set_config('plan_cache_mode', 'force_custom_plan', true)`,
};

/** Digests of one PostgreSQL store, over whatever connection `run` has. */
export function createPostgresDigests(catalog: PostgresCatalog, run: RunDigests): RecordDigests {
  const known = new WeakMap<CatalogCollection, Promise<DigestFacts>>();
  const factsOf = (collection: CatalogCollection): Promise<DigestFacts> => {
    let facts = known.get(collection);
    if (facts === undefined) {
      facts = readFacts(run, collection);
      known.set(collection, facts);
      facts.catch(() => known.delete(collection));
    }
    return facts;
  };
  const columnsOf = async (collection: CatalogCollection, plan: DigestPlan) =>
    digested(collection, plan, (await factsOf(collection)).columns);

  return {
    facts: async (name) => factsOf(await catalog.collection(name)),
    async ranges(name, plan, ranges) {
      const collection = await catalog.collection(name);
      const columns = await columnsOf(collection, plan);
      const statements = ranges.map((range) => rangeStatement(collection, plan, columns, range));
      const what = `digest of "${name}"`;
      const [, ...results] = await run([CUSTOM_PLANS, ...statements], what);
      return results.map(({ rows: [line = []] }): RangeDigest => {
        const [rows, digest, bytes] = line;
        return { rows: Number(rows), digest: digest ?? null, bytes: Number(bytes) };
      });
    },
    async rows(name, plan, range, limit) {
      const collection = await catalog.collection(name);
      const { root } = collection;
      checkRange(collection, range);
      const { condition, values } = keyRange(root.key, 't', range, 1);
      const names = root.key.map(({ quoted }) => `t.${quoted}`).join(', ');
      const digest = rowDigest(rowText(await columnsOf(collection, plan), 't'));
      const text = `SELECT ${digest}, ${names} FROM ${root.quoted} t WHERE ${condition} ORDER BY ${keyOrder(root.key, 't')} LIMIT ${limit}`;
      const [result] = await run([{ text, values }], `digests of rows of "${name}"`);
      return (result?.rows ?? []).map(([one, ...key]) => ({
        digest: one ?? '',
        key: key.map((part) => part ?? ''),
      }));
    },
  };
}

function checkRange(collection: CatalogCollection, { after, until }: KeyRange): void {
  checkKeys(
    collection,
    [after, until].filter((bound) => bound !== null),
  );
}

function rangeStatement(
  collection: CatalogCollection,
  plan: DigestPlan,
  columns: readonly DigestedColumn[],
  range: KeyRange,
): Statement {
  const { root } = collection;
  checkRange(collection, range);
  const { condition, values } = keyRange(root.key, 't', range, 1);
  const from = `${root.quoted} t WHERE ${condition}`;
  const order = keyOrder(root.key, 't');
  const text = rangeDigest(
    plan.function,
    rowText(columns, 't'),
    from,
    order,
    rowWidth(columns, 't'),
  );
  return { text, values };
}

function digested(
  { root }: CatalogCollection,
  plan: DigestPlan,
  types: ReadonlyMap<string, ColumnType>,
): readonly DigestedColumn[] {
  return plan.columns.map(({ name, encoding }) => {
    const column = root.columns.find((one) => one.name === name);
    const type = types.get(name);
    if (column && type) return { column, type, encoding };
    throw new ChangeoverError('STORE_REJECTED', `${root.quoted} has no column "${name}".`, {
      data: { table: root.quoted, column: name },
    });
  });
}

async function readFacts(
  run: RunDigests,
  { collection, root, children }: CatalogCollection,
): Promise<DigestFacts> {
  const [types, probe] = await run(
    [{ text: `${COLUMN_TYPES} AND c.oid = $1::oid`, values: [root.oid] }, { text: HASH_PROBE }],
    `types of "${collection}"`,
  );
  const columns = new Map<string, ColumnType>();
  const carried = new Set(root.columns.map(({ name }) => name));
  for (const [, , name, json] of types?.rows ?? []) {
    if (name && carried.has(name)) columns.set(name, columnTypeOf(JSON.parse(json ?? 'null')));
  }
  const [hash, encoding] = probe?.rows[0] ?? [];
  const obstacle =
    children.length > 0
      ? 'its records have children'
      : encoding !== 'UTF8'
        ? `the PostgreSQL database is encoded in ${encoding}`
        : '';
  const functions: readonly DigestFunction[] =
    obstacle !== '' ? [] : hash === KNOWN_HASH ? ['sum64', 'sha256'] : ['sha256'];
  const key = root.key.map((column) => ({
    name: column.name,
    order: orderOf(column, columns.get(column.name)),
  }));
  return { spelling: 'postgres', functions, obstacle, columns, key };
}

/** Texts are ordered by their bytes (`keyOrder`). */
function orderOf(column: CatalogColumn, type: ColumnType | undefined): string | null {
  switch (type?.kind) {
    case 'integer':
    case 'decimal':
    case 'boolean':
      return 'number';
    case 'text':
      return column.collatable && type.folds !== true ? 'bytes' : null;
    case 'uuid':
    case 'bytes':
      return 'bytes';
    case 'date':
    case 'date-time':
    case 'instant':
      return 'time';
    default:
      return type === undefined ? null : `postgres ${type.declared}`;
  }
}
