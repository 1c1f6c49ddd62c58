import { ChangeoverError } from '../../errors/index.ts';
import type { ColumnType } from '../../mapping/index.ts';
import type { ChildShape, Shape } from '../../migration/index.ts';
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

/** Resolved shapes of one store. Looked up once, on first use, and kept; `forget` after DDL. */
export interface MysqlCatalog {
  readonly collections: readonly string[];
  /** COLLECTION_UNKNOWN; STORE_REJECTED for missing tables and columns; KEY_INVALID for a key without unique index, with NULLs, or of a type that cannot be looked up exactly. */
  collection(name: string): Promise<CatalogCollection>;
  shape(name: string): Shape;
  forget(): void;
}

export function createMysqlCatalog(
  session: MysqlSession,
  shapes: ReadonlyMap<string, Shape>,
): MysqlCatalog {
  const resolved = new Map<string, Promise<CatalogCollection>>();
  const shape = (name: string): Shape => {
    const found = shapes.get(name);
    if (found) return found;
    throw new ChangeoverError(
      'COLLECTION_UNKNOWN',
      `There is no collection "${name}" (there are: ${[...shapes.keys()].join(', ')}).`,
    );
  };
  return {
    collections: [...shapes.keys()],
    shape,
    async collection(name) {
      let promise = resolved.get(name);
      if (promise === undefined) {
        promise = resolveShape(session, name, shape(name));
        resolved.set(name, promise);
        // A failure is not kept: the table may be created, or the server come back.
        promise.catch(() => resolved.delete(name));
      }
      return promise;
    },
    forget: () => resolved.clear(),
  };
}

async function resolveShape(
  session: MysqlSession,
  collection: string,
  shape: Shape,
): Promise<CatalogCollection> {
  const flavour = await session.flavour();
  const root = await resolveTable(session, collection, shape);
  const children: CatalogChild[] = [];
  for (const [field, child] of Object.entries(shape.children ?? {})) {
    children.push(await resolveChild(session, collection, root, field, child));
  }
  return { collection, flavour, root, children };
}

async function resolveChild(
  session: MysqlSession,
  collection: string,
  root: CatalogTable,
  field: string,
  shape: ChildShape,
): Promise<CatalogChild> {
  const table = await resolveTable(session, collection, shape);
  if (shape.parent.length !== root.key.length) {
    throw new ChangeoverError(
      'KEY_INVALID',
      `Child "${field}" of "${collection}" names ${shape.parent.length} parent columns, the key of ${root.quoted} has ${root.key.length}.`,
    );
  }
  const parent = shape.parent.map((name) => columnOf(table, name, collection));
  return { ...table, field, parent };
}

async function resolveTable(
  session: MysqlSession,
  collection: string,
  shape: Pick<Shape, 'table' | 'key' | 'columns'>,
): Promise<CatalogTable> {
  const facts = await readTable(session, shape.table, collection);
  const writable = facts.allColumns.filter(({ generated }) => !generated);
  const found = { ...facts, allColumns: writable };
  const columns = shape.columns?.map((name) => columnOf(found, name, collection)) ?? writable;
  if (shape.key.length === 0) {
    throw new ChangeoverError('KEY_INVALID', `Collection "${collection}" declares no key columns.`);
  }
  const key = shape.key.map((name) => columnOf(facts, name, collection));
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
  // The key travels with every record, also when the shape does not name it.
  const missing = key.filter(({ name }) => !columns.some((column) => column.name === name));
  return { ...facts, columns: [...missing, ...columns], key, keyIndex };
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

function columnOf(
  table: Pick<CatalogTable, 'allColumns' | 'quoted'>,
  name: string,
  collection: string,
): CatalogColumn {
  const column = table.allColumns.find((one) => one.name === name);
  if (column) return column;
  const known = table.allColumns.map((one) => one.name).join(', ');
  throw new ChangeoverError(
    'STORE_REJECTED',
    `${table.quoted} has no column "${name}", which "${collection}" names (it has: ${known}).`,
    { data: { table: table.quoted, column: name } },
  );
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
