import { ChangeoverError } from '../../errors/index.ts';
import type { ColumnType } from '../../mapping/index.ts';
import type { Shape } from '../../migration/index.ts';
import {
  carriedColumns,
  createShapeCatalog,
  resolveTables,
  type ShapeCatalog,
  sameSet,
} from '../sql-records/shape-catalog.ts';
import { readTable } from './mysql-catalog-query.ts';
import type { MysqlFlavour, MysqlSession } from './mysql-session.ts';

/** A column as the server declares it. */
export interface CatalogColumn {
  readonly name: string;
  /** The name, quoted. */
  readonly quoted: string;
  /** `bigint`, `enum`. */
  readonly dataType: string;
  readonly type: ColumnType;
  readonly charset: string | null;
  readonly collation: string | null;
  /** Trailing blanks count in comparisons (also for columns without collation). */
  readonly noPad: boolean;
  readonly notNull: boolean;
  /** What an INSERT that does not name it puts there: a default, NULL, or the next number. */
  readonly hasDefault: boolean;
  readonly autoIncrement: boolean;
  /** GENERATED ALWAYS AS (…), VIRTUAL or STORED: never written. */
  readonly generated: boolean;
  /** ON UPDATE CURRENT_TIMESTAMP: an update that does not name it changes it. */
  readonly onUpdateNow: boolean;
}

export interface CatalogIndex {
  readonly name: string;
  /** In index order; expressions are left out. */
  readonly columns: readonly string[];
  /** On nothing but whole columns: no prefixes, no expressions. */
  readonly whole: boolean;
  readonly primary: boolean;
}

export interface CatalogForeignKey {
  readonly name: string;
  readonly columns: readonly string[];
  /** Database-qualified and quoted. */
  readonly references: string;
  readonly onDelete: 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default';
  readonly onUpdate: 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default';
}

/** A table with the columns that the shape carries. */
export interface CatalogTable {
  readonly database: string;
  readonly name: string;
  /** Database-qualified and quoted. */
  readonly quoted: string;
  /** `BASE TABLE`, `VIEW`, `SYSTEM VERSIONED`. */
  readonly kind: string;
  /** `InnoDB`; null for views. */
  readonly engine: string | null;
  /** Carried columns in the shape's order (else the table's); generated ones are left out. */
  readonly columns: readonly CatalogColumn[];
  /** Every column of the table, generated ones included. */
  readonly allColumns: readonly CatalogColumn[];
  /** Key columns in key order. */
  readonly key: readonly CatalogColumn[];
  /** A unique index on exactly the key columns. */
  readonly keyIndex: CatalogIndex;
  readonly uniqueIndexes: readonly CatalogIndex[];
  readonly foreignKeys: readonly CatalogForeignKey[];
  /** InnoDB's estimate; -1 when there is none. */
  readonly estimatedRows: number;
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
  readonly flavour: MysqlFlavour;
  readonly root: CatalogTable;
  readonly children: readonly CatalogChild[];
}

/** KEY_INVALID: a key without unique index, with NULLs, or of a type that cannot be looked up exactly. */
export type MysqlCatalog = ShapeCatalog<CatalogCollection>;

export function createMysqlCatalog(
  session: MysqlSession,
  shapes: ReadonlyMap<string, Shape>,
): MysqlCatalog {
  return createShapeCatalog(shapes, async (collection, shape) => {
    const flavour = await session.flavour();
    const tables = await resolveTables<CatalogColumn, CatalogTable>(collection, shape, (one) =>
      resolveTable(session, collection, one),
    );
    return { collection, flavour, ...tables };
  });
}

async function resolveTable(
  session: MysqlSession,
  collection: string,
  shape: Pick<Shape, 'table' | 'key' | 'columns'>,
): Promise<CatalogTable> {
  const facts = await readTable(session, shape.table, collection);
  const { columns, key } = carriedColumns(facts, shape, collection, { generated: false });
  const keyIndex = facts.uniqueIndexes.find(
    (index) => index.whole && sameSet(index.columns, shape.key),
  );
  if (keyIndex === undefined) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `${facts.quoted} has no primary key or unique index on exactly (${shape.key.join(', ')}), which "${collection}" declares as its key.`,
      { data: { table: facts.quoted, key: shape.key } },
    );
  }
  for (const column of key) checkKeyColumn(facts.quoted, column);
  return { ...facts, columns, key, keyIndex };
}

function checkKeyColumn(table: string, { quoted, name, notNull, type }: CatalogColumn): void {
  const data = { table, column: name };
  if (!notNull) {
    throw new ChangeoverError('KEY_INVALID', `Key column ${quoted} of ${table} admits NULL.`, {
      data,
    });
  }
  // A FLOAT is never equal to the decimal text that it prints.
  if (type.kind === 'float' && type.bits === 32) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `Key column ${quoted} of ${table} is a FLOAT, which cannot be looked up exactly.`,
      { data },
    );
  }
}
