import type { DataRecord, Row, Scalar } from '../record/index.ts';

/** Columns of the legacy table → kind of contact point. */
const contactKinds = ['email', 'phone', 'mobile', 'fax'] as const;

/** Kind of address → prefix of its columns in the legacy table. */
const addressKinds = [
  { kind: 'billing', prefix: '' },
  { kind: 'delivery', prefix: 'ship_' },
] as const;

/** A legacy row as the modern aggregate. Exact: `modernToLegacy` gives the same row back. */
export function legacyToModern(legacy: DataRecord): DataRecord {
  const text = (column: string): Scalar => scalar(legacy, column);
  const id = text('id');
  const name = text('name') ?? '';
  const blank = name.indexOf(' ');
  const [balance, currency] = splitMoney(text('balance'));
  return {
    id,
    given_name: blank < 0 ? name : name.slice(0, blank),
    family_name: blank < 0 ? null : name.slice(blank + 1),
    balance,
    currency,
    // As the store spells it: any other spelling would have to be asked for at each comparison.
    newsletter: text('newsletter') === 'J' ? 't' : 'f',
    born_on: toIsoDate(text('birthday')),
    tags: `{${text('tags') ?? ''}}`,
    note: text('note'),
    created_at: withZone(text('created_at')),
    changed_at: withZone(text('changed_at')),
    status: text('deleted') === 'Y' ? 'closed' : 'active',
    closed_at: withZone(text('deleted_at')),
    revision: text('revision'),
    addresses: addressKinds.flatMap(({ kind, prefix }) => addressRow(legacy, id, kind, prefix)),
    contact_points: contactKinds.flatMap((kind) => {
      const value = text(kind);
      return value === null ? [] : [{ customer_id: id, kind, value }];
    }),
  };
}

/** The modern aggregate as a legacy row, for the reverse direction after the write switch. */
export function modernToLegacy(modern: DataRecord): DataRecord {
  const text = (column: string): Scalar => scalar(modern, column);
  const family = text('family_name');
  const address = (kind: string): Row | undefined => childOf(modern, 'addresses', kind);
  const balance = text('balance');
  const legacy: Record<string, Scalar> = {
    id: text('id'),
    name: family === null ? text('given_name') : `${text('given_name')} ${family}`,
    balance: balance === null ? null : `${balance} ${text('currency')}`,
    newsletter: /^t/i.test(text('newsletter') ?? '') ? 'J' : 'N',
    birthday: toGermanDate(text('born_on')),
    tags: (text('tags') ?? '{}').slice(1, -1),
    note: text('note'),
    created_at: withoutZone(text('created_at')),
    changed_at: withoutZone(text('changed_at')),
    deleted: text('status') === 'closed' ? 'Y' : 'N',
    deleted_at: withoutZone(text('closed_at')),
    revision: text('revision'),
  };
  for (const { kind, prefix } of addressKinds) {
    const row = address(kind);
    legacy[`${prefix}street`] = row?.['street'] ?? null;
    legacy[`${prefix}zip`] = row?.['postcode'] ?? null;
    legacy[`${prefix}city`] = row?.['city'] ?? null;
    legacy[`${prefix}country`] = row?.['country'] ?? null;
  }
  for (const kind of contactKinds) {
    legacy[kind] = childOf(modern, 'contact_points', kind)?.['value'] ?? null;
  }
  return legacy;
}

function scalar(record: DataRecord, column: string): Scalar {
  const value = record[column] ?? null;
  if (value !== null && typeof value !== 'string') throw new Error(`${column} is not a column`);
  return value;
}

function childOf(record: DataRecord, child: string, kind: string): Row | undefined {
  const rows = record[child];
  return Array.isArray(rows)
    ? (rows as readonly Row[]).find((row) => row['kind'] === kind)
    : undefined;
}

/** No row when nothing of the address is known, so that the way back is exact. */
function addressRow(legacy: DataRecord, id: Scalar, kind: string, prefix: string): readonly Row[] {
  const [street, postcode, city, country] = ['street', 'zip', 'city', 'country'].map((column) =>
    scalar(legacy, `${prefix}${column}`),
  ) as [Scalar, Scalar, Scalar, Scalar];
  if (street === null && postcode === null && city === null && country === null) return [];
  return [{ customer_id: id, kind, street, postcode, city, country }];
}

function splitMoney(money: Scalar): readonly [Scalar, Scalar] {
  if (money === null) return [null, null];
  const match = /^(-?\d+(?:\.\d+)?) ([A-Z]{3})$/.exec(money);
  if (!match) throw new Error('a balance is not of the form "1234.50 EUR"');
  return [match[1] as string, match[2] as string];
}

function toIsoDate(birthday: Scalar): Scalar {
  if (birthday === null) return null;
  const match = /^(\d\d)\.(\d\d)\.(\d{4})$/.exec(birthday);
  if (!match) throw new Error('a birthday is not of the form DD.MM.YYYY');
  return `${match[3]}-${match[2]}-${match[1]}`;
}

function toGermanDate(date: Scalar): Scalar {
  if (date === null) return null;
  const [year, month, day] = date.split('-');
  return `${day}.${month}.${year}`;
}

/** The legacy timestamps have no zone and are meant to be UTC. */
function withZone(timestamp: Scalar): Scalar {
  return timestamp === null ? null : `${timestamp}+00`;
}

function withoutZone(timestamp: Scalar): Scalar {
  return timestamp === null ? null : timestamp.replace(/(\+00(:00)?|Z)$/, '');
}
