import { ChangeoverError } from '../errors/index.ts';

/**
 * One exact column value: the store's own text form, or null. Nothing passes through a lossy JavaScript
 * type: int8, numeric, microsecond timestamps, jsonb, bytea ("\x…"), arrays and infinity stay text.
 */
export type Scalar = string | null;

/** One row: column name → exact value. */
export type Row = Readonly<Record<string, Scalar>>;

/**
 * A record of a collection: the root row's columns and, for aggregates, one array of rows per child name.
 * `{ id: '7', name: 'Ada', addresses: [{ id: '1', city: 'Łódź' }] }`
 */
export type DataRecord = Readonly<Record<string, Scalar | readonly Row[]>>;

/** What an application may hand in where a record is expected; `toRecord` makes it exact. */
export type LooseValue =
  | string
  | number
  | bigint
  | boolean
  | Date
  | Uint8Array
  | null
  | undefined
  | object;
export type LooseRecord = Readonly<Record<string, LooseValue>>;

/**
 * The exact text of an application value: true → 'true', 12n → '12', Date → ISO 8601 with 'Z', bytes → '\x…',
 * other objects and arrays → JSON. Numbers that are not safe integers and cannot round trip are refused.
 */
export function toScalar(value: LooseValue): Scalar {
  if (value === null || value === undefined) return null;
  switch (typeof value) {
    case 'string':
      return value;
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'number':
      return numberText(value);
    default:
      break;
  }
  if (value instanceof Date) return dateText(value);
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  return JSON.stringify(value);
}

function numberText(value: number): string {
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new ChangeoverError(
      'VALUE_INVALID',
      'An integer beyond 2^53 was given as a JavaScript number.',
    );
  }
  if (value === Number.POSITIVE_INFINITY) return 'Infinity';
  if (value === Number.NEGATIVE_INFINITY) return '-Infinity';
  return Object.is(value, -0) ? '-0' : String(value);
}

function dateText(value: Date): string {
  if (Number.isNaN(value.getTime()))
    throw new ChangeoverError('VALUE_INVALID', 'An invalid Date was given.');
  return value.toISOString();
}

/** An exact record of what an application handed in. `children` names the fields that are arrays of rows. */
export function toRecord(input: LooseRecord, children: readonly string[] = []): DataRecord {
  const record: Record<string, Scalar | readonly Row[]> = {};
  for (const [field, value] of Object.entries(input)) {
    if (value === undefined) continue;
    record[field] = children.includes(field) ? toRows(field, value) : toScalar(value);
  }
  return record;
}

function toRows(field: string, value: LooseValue): readonly Row[] {
  if (!Array.isArray(value)) {
    throw new ChangeoverError(
      'VALUE_INVALID',
      `Field "${field}" is a child collection and must be an array of rows.`,
    );
  }
  return value.map((row: LooseRecord) => toRecord(row) as Row);
}
