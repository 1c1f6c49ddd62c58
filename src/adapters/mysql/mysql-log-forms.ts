import type { Scalar } from '../../record/index.ts';
import { type MappedColumn, TYPE } from './binlog-table-map.ts';
import type { PlainType } from './binlog-values.ts';

/** A column as the catalog has it; kept as JSON beside the stream. */
export interface FormColumn {
  readonly name: string;
  /** `int`, `varchar`. */
  readonly dataType: string;
  /** `int(10) unsigned`, `enum('a','b')`. */
  readonly declared: string;
  readonly charset: string | null;
  readonly nullable: boolean;
  readonly generated: boolean;
  readonly key: boolean;
  readonly precision: number | null;
  readonly scale: number | null;
  readonly fraction: number | null;
}

/** Answers lines that `formOf` reads. */
export function formStatement(where: string): string {
  return `SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.CHARACTER_SET_NAME, c.IS_NULLABLE, c.EXTRA, c.COLUMN_KEY,
      c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION
    FROM information_schema.COLUMNS c WHERE ${where} ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION`;
}

const number = (text: Scalar | undefined): number | null => (text == null ? null : Number(text));

export function formColumn(line: readonly Scalar[]): FormColumn {
  const text = (index: number): string => line[index] ?? '';
  return {
    name: text(2),
    dataType: text(3).toLowerCase(),
    declared: text(4),
    charset: line[5] ?? null,
    nullable: text(6) === 'YES',
    // Not DEFAULT_GENERATED: that is a default with an expression (MySQL).
    generated: /\b(VIRTUAL|STORED|PERSISTENT)\b/i.test(text(7)),
    key: text(8) === 'PRI',
    precision: number(line[9]),
    scale: number(line[10]),
    fraction: number(line[11]),
  };
}

/** Types in the log by type in the catalog. */
const LOGGED: Readonly<Record<string, readonly number[]>> = {
  tinyint: [TYPE.tiny],
  smallint: [TYPE.short],
  mediumint: [TYPE.int24],
  int: [TYPE.long],
  bigint: [TYPE.longlong],
  float: [TYPE.float],
  double: [TYPE.double],
  decimal: [TYPE.decimal],
  bit: [TYPE.bit],
  date: [TYPE.date, TYPE.newDate],
  time: [TYPE.time2, TYPE.time],
  datetime: [TYPE.datetime2, TYPE.datetime],
  timestamp: [TYPE.timestamp2, TYPE.timestamp],
  year: [TYPE.year],
  char: [TYPE.string],
  binary: [TYPE.string],
  varchar: [TYPE.varchar, TYPE.varString, TYPE.varcharCompressed],
  varbinary: [TYPE.varchar, TYPE.varString, TYPE.varcharCompressed],
  enum: [TYPE.enumeration],
  set: [TYPE.set],
  json: [TYPE.json, TYPE.blob],
  uuid: [TYPE.string],
  inet4: [TYPE.string],
  inet6: [TYPE.string],
  vector: [TYPE.vector, TYPE.varchar],
};
const BLOB_BYTES: Readonly<Record<string, number>> = {
  tinyblob: 1,
  tinytext: 1,
  blob: 2,
  text: 2,
  mediumblob: 3,
  mediumtext: 3,
  longblob: 4,
  longtext: 4,
};
const GEOMETRY =
  /^(geometry|point|linestring|polygon|multipoint|multilinestring|multipolygon|geometrycollection|geomcollection)$/;

/** Whether this catalog column can be this column of a table map. Names are not in the map: two columns of one type cannot be told apart. */
export function isSameForm(form: FormColumn, mapped: MappedColumn): boolean {
  const { dataType } = form;
  if (form.nullable !== mapped.nullable) return false;
  const blobBytes = BLOB_BYTES[dataType];
  if (blobBytes !== undefined)
    return (
      mapped.size === blobBytes &&
      (mapped.type === TYPE.blob || mapped.type === TYPE.blobCompressed)
    );
  if (GEOMETRY.test(dataType)) return mapped.type === TYPE.geometry;
  if (!(LOGGED[dataType] ?? []).includes(mapped.type)) return false;
  switch (mapped.type) {
    case TYPE.decimal:
      return form.precision === mapped.size && form.scale === mapped.scale;
    case TYPE.bit:
      return form.precision === mapped.size;
    case TYPE.time2:
    case TYPE.datetime2:
    case TYPE.timestamp2:
      return (form.fraction ?? 0) === mapped.size;
    default:
      return true;
  }
}

/** MariaDB's types that the log holds as bytes. */
export function plainType(form: FormColumn): PlainType | null {
  const { dataType } = form;
  return dataType === 'uuid' || dataType === 'inet4' || dataType === 'inet6' ? dataType : null;
}

const TYPE_TEXTS: ReadonlyMap<number, string> = new Map([
  [TYPE.tiny, 'tinyint'],
  [TYPE.short, 'smallint'],
  [TYPE.int24, 'mediumint'],
  [TYPE.long, 'int'],
  [TYPE.longlong, 'bigint'],
  [TYPE.float, 'float'],
  [TYPE.double, 'double'],
  [TYPE.date, 'date'],
  [TYPE.newDate, 'date'],
  [TYPE.time, 'time'],
  [TYPE.datetime, 'datetime'],
  [TYPE.timestamp, 'timestamp'],
  [TYPE.year, 'year'],
  [TYPE.enumeration, 'enum'],
  [TYPE.set, 'set'],
  [TYPE.json, 'json'],
  [TYPE.geometry, 'geometry'],
  [TYPE.vector, 'vector'],
]);
const BLOB_TEXTS = ['tiny', '', 'medium', 'long'] as const;

/**
 * What `LogColumn.type` says. Made only of what every kind of table map tells, so that it stays the same when the server's settings change; lengths of
 * texts and labels are left out: more of them lose nothing.
 */
export function typeText(
  mapped: MappedColumn,
  unsigned: boolean,
  text: boolean,
  plain: PlainType | null,
): string {
  const { type, size, scale } = mapped;
  const fraction = size > 0 ? `(${size})` : '';
  const sign = unsigned ? ' unsigned' : '';
  switch (type) {
    case TYPE.decimal:
      return `decimal(${size},${scale})${sign}`;
    case TYPE.bit:
      return `bit(${size})`;
    case TYPE.time2:
      return `time${fraction}`;
    case TYPE.datetime2:
      return `datetime${fraction}`;
    case TYPE.timestamp2:
      return `timestamp${fraction}`;
    case TYPE.string:
      return plain ?? (text ? 'char' : `binary(${size})`);
    case TYPE.varchar:
    case TYPE.varString:
    case TYPE.varcharCompressed:
      return text ? 'varchar' : 'varbinary';
    case TYPE.blob:
    case TYPE.blobCompressed:
      return `${BLOB_TEXTS[size - 1] ?? ''}${text ? 'text' : 'blob'}`;
    default:
      return `${TYPE_TEXTS.get(type) ?? `type ${type}`}${type === TYPE.year ? '' : sign}`;
  }
}

/** `typeText` for a column of which only the catalog is known. */
export function formTypeText(form: FormColumn): string {
  const { dataType, precision, scale, fraction } = form;
  const sign = /\bunsigned\b/i.test(form.declared) && dataType !== 'year' ? ' unsigned' : '';
  if (GEOMETRY.test(dataType)) return 'geometry';
  switch (dataType) {
    case 'decimal':
      return `decimal(${precision},${scale})${sign}`;
    case 'bit':
      return `bit(${precision})`;
    case 'time':
    case 'datetime':
    case 'timestamp':
      return fraction ? `${dataType}(${fraction})` : dataType;
    case 'binary':
      return /^binary\(\d+\)/i.exec(form.declared)?.[0].toLowerCase() ?? 'binary(1)';
    default:
      return `${dataType}${sign}`;
  }
}
