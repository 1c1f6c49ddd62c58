import { createHash } from 'node:crypto';
import { type LegacyColumn, type LegacyCustomer, legacyColumns } from './shop-schema.ts';

/**
 * One digest for one customer, whoever holds it: the application's ledger (here, in JavaScript), the legacy table and the modern
 * tables (below, in SQL). Written for the judge and shared with nothing that it judges, above all not with the transforms.
 *
 * Form: for each legacy column in order `-` for NULL, else `bytes:text`, each followed by a comma; md5 of the whole.
 */
export function digestOfCustomer(customer: LegacyCustomer): string {
  const text = legacyColumns.map((column) => {
    const value = timestampColumns.has(column) ? microseconds(customer[column]) : customer[column];
    return value === null ? '-,' : `${Buffer.byteLength(value)}:${value},`;
  });
  return createHash('md5').update(text.join('')).digest('hex');
}

const timestampColumns: ReadonlySet<LegacyColumn> = new Set([
  'created_at',
  'changed_at',
  'deleted_at',
]);

/** The server leaves out trailing zeros of the fraction. */
function microseconds(timestamp: string | null): string | null {
  if (timestamp === null) return null;
  const [whole, fraction = ''] = timestamp.split('.');
  return `${whole}.${fraction.padEnd(6, '0')}`;
}

const legacyTimestamp = (column: string): string =>
  `to_char(l.${column}, 'YYYY-MM-DD HH24:MI:SS.US')`;
const modernTimestamp = (column: string): string =>
  `to_char(c.${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`;

/** Legacy column → expression over `customers l`. */
const legacyExpressions: Readonly<Record<LegacyColumn, string>> = {
  ...(Object.fromEntries(legacyColumns.map((column) => [column, `l.${column}::text`])) as Record<
    LegacyColumn,
    string
  >),
  created_at: legacyTimestamp('created_at'),
  changed_at: legacyTimestamp('changed_at'),
  deleted_at: legacyTimestamp('deleted_at'),
};

/** Legacy column → expression over the modern tables, joined as in `modernFrom`. */
const modernExpressions: Readonly<Record<LegacyColumn, string>> = {
  id: 'c.id::text',
  name: "CASE WHEN c.family_name IS NULL THEN c.given_name ELSE c.given_name || ' ' || c.family_name END",
  email: 'email.value',
  phone: 'phone.value',
  mobile: 'mobile.value',
  fax: 'fax.value',
  street: 'billing.street',
  zip: 'billing.postcode',
  city: 'billing.city',
  country: 'billing.country::text',
  ship_street: 'delivery.street',
  ship_zip: 'delivery.postcode',
  ship_city: 'delivery.city',
  ship_country: 'delivery.country::text',
  balance: "c.balance::text || ' ' || c.currency::text",
  newsletter: "CASE c.newsletter WHEN true THEN 'J' WHEN false THEN 'N' END",
  birthday: "to_char(c.born_on, 'DD.MM.YYYY')",
  tags: "array_to_string(c.tags, ',')",
  note: 'c.note',
  created_at: modernTimestamp('created_at'),
  changed_at: modernTimestamp('changed_at'),
  deleted: "CASE c.status WHEN 'closed' THEN 'Y' WHEN 'active' THEN 'N' END",
  deleted_at: modernTimestamp('closed_at'),
  revision: 'c.revision::text',
};

const contactJoins = ['email', 'phone', 'mobile', 'fax']
  .map(
    (kind) =>
      `LEFT JOIN contact_points ${kind} ON ${kind}.customer_id = c.id AND ${kind}.kind = '${kind}'`,
  )
  .join('\n');
const addressJoins = ['billing', 'delivery']
  .map(
    (kind) =>
      `LEFT JOIN addresses ${kind} ON ${kind}.customer_id = c.id AND ${kind}.kind = '${kind}'`,
  )
  .join('\n');
const modernFrom = `customers c\n${contactJoins}\n${addressJoins}`;

function digestSql(expressions: Readonly<Record<LegacyColumn, string>>): string {
  const parts = legacyColumns.map((column) => {
    const value = expressions[column];
    return `COALESCE(octet_length(${value})::text || ':' || (${value}), '-') || ','`;
  });
  return `md5(${parts.join(' || ')})`;
}

function columnsSql(expressions: Readonly<Record<LegacyColumn, string>>): string {
  return legacyColumns.map((column) => `${expressions[column]} AS ${column}`).join(', ');
}

/** (id, digest, revision) of every customer, for each of the two models. */
export const snapshotSql = {
  source: `SELECT l.id::text, ${digestSql(legacyExpressions)}, l.revision::text FROM customers l`,
  target: `SELECT c.id::text, ${digestSql(modernExpressions)}, c.revision::text FROM ${modernFrom}`,
} as const;

/** One customer in legacy columns, for each of the two models; $1 is the id. */
export const customerSql = {
  source: `SELECT ${columnsSql(legacyExpressions)} FROM customers l WHERE l.id = $1`,
  target: `SELECT ${columnsSql(modernExpressions)} FROM ${modernFrom} WHERE c.id = $1`,
} as const;
