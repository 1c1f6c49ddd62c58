import { ChangeoverError } from '../../errors/index.ts';
import type { LogColumn } from '../../log/index.ts';
import type { TextDecoding } from './binlog-charsets.ts';
import type { RowTable } from './binlog-rows.ts';
import { type MappedColumn, type TableMap, TYPE } from './binlog-table-map.ts';
import { columnDecoder } from './binlog-values.ts';
import { hidesLabel, labelsIn } from './mysql-column-type.ts';
import { type FormColumn, isSameForm, plainType, typeText } from './mysql-log-forms.ts';
import type { PublishedTable } from './mysql-log-tables.ts';

/** Character sets of the server. */
export interface LogCharsets {
  /** Name of the set of a collation; null: bytes. */
  charsetOf(collation: number): string | null;
  decoding(charset: string): TextDecoding;
}

/** Sets that a table map names, or a form; all have to be loaded before `compileTable`. */
export function charsetsOf(
  map: TableMap,
  form: readonly (FormColumn | null)[] | null,
  charsets: Pick<LogCharsets, 'charsetOf'>,
): readonly string[] {
  const collations = [...(map.metadata.collations?.values() ?? [])];
  const named = collations.map((collation) => charsets.charsetOf(collation));
  return [...new Set([...named, ...(form ?? []).map((column) => column?.charset ?? null)])].filter(
    (charset) => charset !== null,
  );
}

/** Whether this form of the catalog, or of an earlier look at it, describes the rows behind this map. With names in the map that is certain, without them as far as types tell. */
export function fits(map: TableMap, form: readonly FormColumn[]): boolean {
  const { names } = map.metadata;
  return (
    form.length === map.columns.length &&
    map.columns.every((mapped, index) => {
      const column = form[index];
      if (column === undefined || !isSameForm(column, mapped)) return false;
      return names === undefined || names[index] === column.name;
    })
  );
}

/**
 * Everything that is needed to read the rows behind a table map. What the map says itself (`binlog_row_metadata=FULL`) counts; the rest comes from a
 * form that fits.
 *
 * @param form one that `fits`, or for a map with names what is known of single columns (null: nothing)
 */
export function compileTable(
  map: TableMap,
  published: PublishedTable,
  form: readonly (FormColumn | null)[] | null,
  charsets: LogCharsets,
): RowTable {
  const { metadata } = map;
  const names = metadata.names ?? form?.map((column) => column?.name ?? '');
  if (names === undefined) throw unknownForm(published);
  const columns: LogColumn[] = [];
  const places: number[] = [];
  const watched = new Set<number>();
  const decoders = map.columns.map((mapped, index) => {
    const column = form?.[index] ?? null;
    const meaning = meaningOf(mapped, index, map, column, charsets);
    const name = names[index] ?? '';
    const key = metadata.primaryKey?.has(index) ?? column?.key ?? false;
    if (column?.generated) places.push(-1);
    else {
      const type = typeText(mapped, meaning.unsigned, meaning.text !== null, meaning.plain);
      places.push(columns.push({ name, type, key }) - 1);
      if (key || published.watched.has(name)) watched.add(index);
    }
    return columnDecoder(mapped, meaning);
  });
  return { log: { ...published.spelled, columns }, decoders, places, watched };
}

function meaningOf(
  mapped: MappedColumn,
  index: number,
  { metadata }: TableMap,
  column: FormColumn | null,
  charsets: LogCharsets,
) {
  const collation = metadata.collations?.get(index);
  const charset =
    collation === undefined ? (column?.charset ?? null) : charsets.charsetOf(collation);
  const text = charset === null ? null : charsets.decoding(charset);
  const isLabel = mapped.type === TYPE.enumeration || mapped.type === TYPE.set;
  const logged = metadata.labels?.get(index);
  const labels =
    logged?.map((label) => text?.(label, 0, label.length) ?? label.toString('utf8')) ??
    (isLabel && column !== null ? catalogLabels(column) : []);
  const unsigned =
    metadata.unsigned?.has(index) ?? (column !== null && /\bunsigned\b/i.test(column.declared));
  const plain = column === null ? null : plainType(column);
  return { unsigned, text: isGeometryLike(mapped) ? null : text, labels, plain };
}

function catalogLabels({ declared, charset }: FormColumn): readonly (string | null)[] {
  const hidden = (label: string): boolean => hidesLabel(label, charset);
  return labelsIn(declared).map((label) => (hidden(label) ? null : label));
}

const isGeometryLike = ({ type }: MappedColumn): boolean =>
  type === TYPE.geometry || type === TYPE.vector || type === TYPE.json;

/** For a map with names whose form is not the known one: what is known of columns of the same name and type; what stands later in `form` counts. */
export function knownColumns(
  map: TableMap,
  form: readonly FormColumn[],
): readonly (FormColumn | null)[] {
  const byName = new Map(form.map((column) => [column.name, column]));
  return map.columns.map((mapped, index) => {
    const column = byName.get(map.metadata.names?.[index] ?? '');
    return column !== undefined && isSameForm(column, mapped) ? column : null;
  });
}

/** The rows cannot be told apart from the catalog any more. */
export function unknownForm({ schema, name }: PublishedTable): ChangeoverError {
  return new ChangeoverError(
    'SCHEMA_CHANGED',
    `Rows of ${schema}.${name} in the binary log have another form than the table has now (and had when capture began), and the log does not name their columns. Take the change of the table back if it was made after these rows, and set binlog_row_metadata=FULL on the server, with which such changes are followed.`,
    { data: { table: `${schema}.${name}` } },
  );
}
