import { ChangeoverError } from '../../errors/index.ts';
import type {
  DigestFacts,
  DigestPlan,
  KeyRange,
  RangeDigest,
  RecordDigests,
} from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn, MysqlCatalog } from './mysql-catalog.ts';
import { hidesLabel } from './mysql-column-type.ts';
import {
  type DigestedColumn,
  rangeDigest,
  rowDigest,
  rowText,
  TEXT_LIMIT,
} from './mysql-digest-sql.ts';
import { keyOrder, keyRange } from './mysql-key-sql.ts';
import { decodedValue, selectExpression } from './mysql-literals.ts';
import { byKey, checkKeys } from './mysql-read.ts';
import type { SqlResult } from './mysql-session.ts';

/** Deadline of a digest outside of a snapshot: a range takes seconds, on a busy server. */
export const DIGEST_TIMEOUT_MS = 120_000;

/** Sends statements, in whatever transaction or snapshot the caller reads. */
export type RunDigests = (
  statements: readonly string[],
  what: string,
) => Promise<readonly SqlResult[]>;

/** Digests of one MySQL or MariaDB store, over whatever connection `run` has. */
export function createMysqlDigests(catalog: MysqlCatalog, run: RunDigests): RecordDigests {
  return {
    facts: async (name) => factsOf(await catalog.collection(name)),
    async ranges(name, plan, ranges) {
      const collection = await catalog.collection(name);
      const row = rowText(digested(collection, plan), 'r');
      const statements = ranges.map((range) => {
        checkRange(collection, range);
        return rangeDigest(row, rowsOf(collection, range));
      });
      const [, ...results] = await run([TEXT_LIMIT, ...statements], `digest of "${name}"`);
      return results.map(({ rows: [line = []] }): RangeDigest => {
        const [rows, digest, bytes] = line;
        return { rows: Number(rows), digest: textOf(digest), bytes: Number(bytes) };
      });
    },
    async rows(name, plan, range, limit) {
      const collection = await catalog.collection(name);
      checkRange(collection, range);
      const { key } = collection.root;
      const row = rowText(digested(collection, plan), 'r');
      const names = key.map((column) => selectExpression(column, 'r')).join(', ');
      const statement = `SELECT ${rowDigest(row)}, ${names} FROM ${rowsOf(collection, range)} ORDER BY ${keyOrder(key, 'r')} LIMIT ${limit}`;
      const [result] = await run([statement], `digests of rows of "${name}"`);
      return (result?.rows ?? []).map(([digest, ...parts]) => ({
        digest: textOf(digest) ?? '',
        key: key.map((column, at) => decodedValue(column, parts[at] ?? null) ?? ''),
      }));
    },
  };
}

const textOf = (value: string | null | undefined): string | null => value ?? null;

const rowsOf = ({ root }: CatalogCollection, range: KeyRange): string =>
  `${byKey(root, 'r')} WHERE ${keyRange(root.key, 'r', range)}`;

function checkRange(collection: CatalogCollection, { after, until }: KeyRange): void {
  checkKeys(
    collection,
    [after, until].filter((bound) => bound !== null),
  );
}

function digested({ root }: CatalogCollection, plan: DigestPlan): readonly DigestedColumn[] {
  return plan.columns.map(({ name, encoding }) => {
    const column = root.columns.find((one) => one.name === name);
    if (column) return { column, encoding };
    throw new ChangeoverError('STORE_REJECTED', `${root.quoted} has no column "${name}".`, {
      data: { table: root.quoted, column: name },
    });
  });
}

function factsOf({ root, children }: CatalogCollection): DigestFacts {
  const obstacle = children.length > 0 ? 'its records have children' : '';
  return {
    spelling: 'mysql',
    functions: obstacle === '' ? ['sha256'] : [],
    obstacle,
    columns: new Map(root.columns.map(({ name, type }) => [name, type])),
    key: root.key.map((column) => ({ name: column.name, order: orderOf(column) })),
  };
}

/** By the index: texts bytewise only under binary collations. */
function orderOf(column: CatalogColumn): string | null {
  const { type, charset, collation } = column;
  switch (type.kind) {
    case 'integer':
    case 'decimal':
    case 'year':
      return 'number';
    case 'bytes':
      return 'bytes';
    case 'date':
    case 'date-time':
    case 'instant':
      return 'time';
    case 'text': {
      // Code points of UTF-8 are in the order of their bytes.
      const wide = charset === 'utf8mb4' || charset === 'utf8mb3' || charset === 'ascii';
      return type.folds === false && wide ? 'bytes' : `mysql ${collation}`;
    }
    case 'label':
    case 'label-set':
      return type.labels?.some((label) => hidesLabel(label, charset))
        ? null
        : `mysql ${type.declared}`;
    default:
      return `mysql ${type.declared}`;
  }
}
