import { ChangeoverError } from '../../errors/index.ts';
import type { Shape } from '../../migration/index.ts';
import {
  carriedColumns,
  createShapeCatalog,
  resolveTables,
  type ShapeCatalog,
  sameSet,
} from '../sql-records/shape-catalog.ts';
import { readTable } from './postgres-catalog-query.ts';
import type { PostgresSession } from './postgres-session.ts';

/** A column as the server declares it. */
export interface CatalogColumn {
  readonly name: string;
  /** The name, quoted. */
  readonly quoted: string;
  /** Declared type with its modifier, e.g. `numeric(12,2)`. */
  readonly type: string;
  /**
   * What a parameter is cast to before it is assigned to the column: the base type without modifier. An explicit cast to `varchar(10)` would cut
   * silently where the assignment raises an error.
   */
  readonly castType: string;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
  /** `always`: INSERT needs OVERRIDING SYSTEM VALUE, UPDATE cannot set it. */
  readonly identity: 'no' | 'always' | 'by default';
  /** GENERATED ALWAYS AS (…): never written. */
  readonly generated: boolean;
  /** Has a collation: ordered and compared with COLLATE "C" by us. */
  readonly collatable: boolean;
  /** The collation treats different texts as equal: unusable in a key. */
  readonly nondeterministic: boolean;
  /** The type has a hash function: values that are equal lock the same key however they are spelled. */
  readonly hashable: boolean;
  /** The type's text depends on DateStyle, TimeZone, bytea_output and the like. */
  readonly settingsDependent: boolean;
}

export interface CatalogIndex {
  readonly name: string;
  readonly columns: readonly string[];
  readonly primary: boolean;
  /** Not partial, not on expressions, not deferrable, valid: ON CONFLICT can name its columns. */
  readonly arbiter: boolean;
}

export interface CatalogForeignKey {
  readonly name: string;
  readonly columns: readonly string[];
  /** Schema-qualified and quoted. */
  readonly references: string;
  readonly deferrable: boolean;
  readonly onDelete: 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default';
}

/** A table with the columns that the shape carries. */
export interface CatalogTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** Schema-qualified and quoted. */
  readonly quoted: string;
  /** r, p (partitioned), v, f … as in pg_class. */
  readonly kind: string;
  /** Carried columns in the shape's order (else the table's); generated ones are left out. */
  readonly columns: readonly CatalogColumn[];
  /** Every column of the table, generated ones included. */
  readonly allColumns: readonly CatalogColumn[];
  /** Key columns in key order. */
  readonly key: readonly CatalogColumn[];
  /** A unique index on exactly the key columns that ON CONFLICT can use. */
  readonly keyIndex: CatalogIndex;
  readonly uniqueIndexes: readonly CatalogIndex[];
  readonly foreignKeys: readonly CatalogForeignKey[];
  /** The planner's estimate; -1 when the table was never analysed. */
  readonly estimatedRows: number;
  /** Has deferrable triggers or constraints: what COMMIT does can differ from what a read before it sees. */
  readonly hasDeferred: boolean;
  /** Tables that inherit from it without being its partitions. */
  readonly inheritors: number;
}

export interface CatalogChild extends CatalogTable {
  /** Field of the record that holds the rows. */
  readonly field: string;
  /** Columns that hold the root's key, in the root's key order. */
  readonly parent: readonly CatalogColumn[];
}

/** A collection's shape, resolved against the server. */
export interface CatalogCollection {
  readonly collection: string;
  readonly root: CatalogTable;
  readonly children: readonly CatalogChild[];
}

/** Quoted. */
export const tablesOf = ({ root, children }: CatalogCollection): readonly string[] =>
  [root, ...children].map(({ quoted }) => quoted);

/** KEY_INVALID: a key without unique index, or with NULLs. */
export type PostgresCatalog = ShapeCatalog<CatalogCollection>;

export function createPostgresCatalog(
  session: PostgresSession,
  shapes: ReadonlyMap<string, Shape>,
  /** True while the key of this collection is taken down for a copy; a table without one is refused otherwise. */
  isKeyDeferred: (collection: string) => Promise<boolean> = async () => false,
): PostgresCatalog {
  const lookup = { session, isKeyDeferred };
  return createShapeCatalog(shapes, async (collection, shape) => {
    const tables = await resolveTables<CatalogColumn, CatalogTable>(collection, shape, (one) =>
      resolveTable(lookup, collection, one),
    );
    return { collection, ...tables };
  });
}

interface Lookup {
  readonly session: PostgresSession;
  readonly isKeyDeferred: (collection: string) => Promise<boolean>;
}

async function resolveTable(
  { session, isKeyDeferred }: Lookup,
  collection: string,
  shape: Pick<Shape, 'table' | 'key' | 'columns'>,
): Promise<CatalogTable> {
  const facts = await readTable(session, shape.table, collection);
  const { columns, key } = carriedColumns(facts, shape, collection, { generated: true });
  const keyIndex =
    facts.uniqueIndexes.find((index) => index.arbiter && sameSet(index.columns, shape.key)) ??
    ((await isKeyDeferred(collection)) ? deferredKey(shape.key) : undefined);
  const columnList = shape.key.join(', ');
  if (keyIndex === undefined) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `${facts.quoted} has no primary key or unique index on exactly (${columnList}), which "${collection}" declares as its key.`,
      { data: { table: facts.quoted, key: shape.key } },
    );
  }
  const nullable = key.find(({ notNull }) => !notNull);
  if (nullable) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `Key column ${nullable.quoted} of ${facts.quoted} admits NULL.`,
      { data: { table: facts.quoted, column: nullable.name } },
    );
  }
  return { ...facts, columns, key, keyIndex };
}

const deferredKey = (columns: readonly string[]): CatalogIndex => ({
  name: '',
  columns,
  primary: false,
  arbiter: true,
});
