import { Cursor } from './binlog-cursor.ts';
import { EVENT_HEADER_BYTES } from './binlog-events.ts';

/** MYSQL_TYPE_… as they stand in a table map; `enumeration` and `set` come out of STRING's metadata. */
export const TYPE = {
  oldDecimal: 0,
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  timestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  time: 11,
  datetime: 12,
  year: 13,
  newDate: 14,
  varchar: 15,
  bit: 16,
  timestamp2: 17,
  datetime2: 18,
  time2: 19,
  /** MariaDB's COMPRESSED columns. */
  blobCompressed: 140,
  varcharCompressed: 141,
  vector: 242,
  json: 245,
  decimal: 246,
  enumeration: 247,
  set: 248,
  blob: 252,
  varString: 253,
  string: 254,
  geometry: 255,
} as const;

/** One column as the table map has it. */
export interface MappedColumn {
  /** One of `TYPE`. */
  readonly type: number;
  /**
   * `decimal`: precision; strings: most bytes; blobs, json, geometry, vector: bytes of the length; `enumeration`, `set`: bytes of a value; `bit`: bits; time types: digits of
   * the fraction; `float`, `double`: bytes.
   */
  readonly size: number;
  /** `decimal` only. */
  readonly scale: number;
  readonly nullable: boolean;
}

/** TABLE_MAP_EVENT. */
export interface TableMap {
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly MappedColumn[];
  readonly metadata: TableMetadata;
}

/** The optional part. Each by column index; absent where the server does not log it. */
export interface TableMetadata {
  readonly unsigned?: ReadonlySet<number>;
  /** Collation numbers of text columns, `enumeration` and `set`. */
  readonly collations?: ReadonlyMap<number, number>;
  readonly names?: readonly string[];
  /** In the column's character set. */
  readonly labels?: ReadonlyMap<number, readonly Buffer[]>;
  readonly primaryKey?: ReadonlySet<number>;
}

/** What tells tables apart before anything else is read. */
export interface TableMapHead {
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  /** Where the form begins: two maps of one table with the same bytes from here on are of the same form. */
  readonly formOffset: number;
}

/** @param idBytes 6, or 4 by servers of old */
export function tableMapHead(event: Buffer, end: number, idBytes: number): TableMapHead {
  const cursor = new Cursor(event, EVENT_HEADER_BYTES, end);
  const id = cursor.uint(idBytes);
  cursor.offset += 2;
  const schema = cursor.text(cursor.uint8());
  cursor.offset += 1;
  const name = cursor.text(cursor.packed());
  cursor.offset += 1;
  return { id, schema, name, formOffset: cursor.offset };
}

/** @param mariadb its optional part counts YEAR among the numbers and GEOMETRY among the texts; MySQL's does not */
export function tableMap(
  event: Buffer,
  end: number,
  head: TableMapHead,
  mariadb: boolean,
): TableMap {
  const cursor = new Cursor(event, head.formOffset, end);
  const count = cursor.packed();
  const types = cursor.take(count);
  const meta = new Cursor(cursor.take(cursor.packed()));
  const nulls = cursor.take((count + 7) >> 3);
  const columns = Array.from(types, (type, index) => {
    const nullable = (((nulls[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
    return { ...mappedType(type, meta), nullable };
  });
  const { id, schema, name } = head;
  return { id, schema, name, columns, metadata: tableMetadata(cursor, columns, mariadb) };
}

type MappedType = Omit<MappedColumn, 'nullable'>;

function mappedType(type: number, meta: Cursor): MappedType {
  const plain = (size: number): MappedType => ({ type, size, scale: 0 });
  switch (type) {
    case TYPE.varchar:
    case TYPE.varString:
    case TYPE.varcharCompressed:
      return plain(meta.uint16());
    case TYPE.blob:
    case TYPE.blobCompressed:
    case TYPE.geometry:
    case TYPE.json:
    case TYPE.vector:
    case TYPE.float:
    case TYPE.double:
    case TYPE.timestamp2:
    case TYPE.datetime2:
    case TYPE.time2:
      return plain(meta.uint8());
    case TYPE.bit: {
      const bits = meta.uint8();
      return plain(meta.uint8() * 8 + bits);
    }
    case TYPE.decimal: {
      const size = meta.uint8();
      return { type, size, scale: meta.uint8() };
    }
    case TYPE.string:
    case TYPE.enumeration:
    case TYPE.set:
      return stringType(meta.uint8(), meta.uint8());
    default:
      return plain(0);
  }
}

/** Two bits of lengths beyond 255 stand inverted in the type's byte (`Field_string::do_save_field_metadata`). */
function stringType(first: number, second: number): MappedType {
  if ((first & 0x30) !== 0x30)
    return { type: TYPE.string, size: second | (((first & 0x30) ^ 0x30) << 4), scale: 0 };
  return { type: first, size: second, scale: 0 };
}

const FIELD = {
  signedness: 1,
  defaultCharset: 2,
  columnCharset: 3,
  columnName: 4,
  setLabels: 5,
  enumLabels: 6,
  simplePrimaryKey: 8,
  primaryKeyWithPrefix: 9,
  labelDefaultCharset: 10,
  labelColumnCharset: 11,
} as const;

const NUMERIC: ReadonlySet<number> = new Set([
  TYPE.tiny,
  TYPE.short,
  TYPE.int24,
  TYPE.long,
  TYPE.longlong,
  TYPE.float,
  TYPE.double,
  TYPE.decimal,
]);
const TEXTUAL: ReadonlySet<number> = new Set([
  TYPE.string,
  TYPE.varString,
  TYPE.varchar,
  TYPE.blob,
  TYPE.varcharCompressed,
  TYPE.blobCompressed,
]);

function tableMetadata(
  cursor: Cursor,
  columns: readonly MappedColumn[],
  mariadb: boolean,
): TableMetadata {
  const found: { -readonly [Field in keyof TableMetadata]: TableMetadata[Field] } = {};
  const collations = new Map<number, number>();
  const labels = new Map<number, readonly Buffer[]>();
  const indexes = (wanted: (type: number) => boolean): readonly number[] =>
    columns.flatMap(({ type }, index) => (wanted(type) ? [index] : []));
  const isNumber = (type: number): boolean => NUMERIC.has(type) || (mariadb && type === TYPE.year);
  const isText = (type: number): boolean =>
    TEXTUAL.has(type) || (mariadb && type === TYPE.geometry);
  const isLabel = (type: number): boolean => type === TYPE.enumeration || type === TYPE.set;
  while (cursor.left() > 0) {
    const field = cursor.uint8();
    const part = new Cursor(cursor.take(cursor.packed()));
    if (field === FIELD.signedness) {
      found.unsigned = unsignedColumns(part, indexes(isNumber));
    } else if (field === FIELD.defaultCharset || field === FIELD.columnCharset) {
      readCollations(part, indexes(isText), field, collations);
    } else if (field === FIELD.labelDefaultCharset || field === FIELD.labelColumnCharset) {
      readCollations(part, indexes(isLabel), field, collations);
    } else if (field === FIELD.columnName) {
      const names: string[] = [];
      while (part.left() > 0) names.push(part.text(part.packed()));
      found.names = names;
    } else if (field === FIELD.setLabels || field === FIELD.enumLabels) {
      const wanted = field === FIELD.setLabels ? TYPE.set : TYPE.enumeration;
      for (const index of indexes((type) => type === wanted)) labels.set(index, readLabels(part));
    } else if (field === FIELD.simplePrimaryKey || field === FIELD.primaryKeyWithPrefix) {
      found.primaryKey = keyColumns(part, field === FIELD.primaryKeyWithPrefix);
    }
  }
  if (collations.size > 0) found.collations = collations;
  if (labels.size > 0) found.labels = labels;
  return found;
}

function unsignedColumns(part: Cursor, numeric: readonly number[]): ReadonlySet<number> {
  const bits = part.take(part.left());
  return new Set(numeric.filter((_, at) => (((bits[at >> 3] ?? 0) >> (7 - (at & 7))) & 1) === 1));
}

function readCollations(
  part: Cursor,
  wanted: readonly number[],
  field: number,
  into: Map<number, number>,
): void {
  if (field === FIELD.columnCharset || field === FIELD.labelColumnCharset) {
    for (const index of wanted) into.set(index, part.packed());
    return;
  }
  const usual = part.packed();
  for (const index of wanted) into.set(index, usual);
  while (part.left() > 0) {
    const index = wanted[part.packed()];
    const collation = part.packed();
    if (index !== undefined) into.set(index, collation);
  }
}

function readLabels(part: Cursor): readonly Buffer[] {
  const count = part.packed();
  return Array.from({ length: count }, () => part.take(part.packed()));
}

function keyColumns(part: Cursor, withPrefix: boolean): ReadonlySet<number> {
  const found = new Set<number>();
  while (part.left() > 0) {
    found.add(part.packed());
    if (withPrefix) part.packed();
  }
  return found;
}
