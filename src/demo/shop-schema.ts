/**
 * The two models of the demo shop.
 *
 * Legacy: one wide table, the name in one column, up to two addresses and four ways of contact inline, money as text
 * (`1234.50 EUR`), yes/no as `J`/`N`, birthdays as `DD.MM.YYYY`, timestamps without zone that are meant to be UTC, soft deletes.
 * Modern: `customers` with its `addresses` and `contact_points`, exact types.
 */
export const legacyDdl = `
CREATE TABLE customers (
  id           bigint PRIMARY KEY,
  name         text NOT NULL,
  email        text,
  phone        text,
  mobile       text,
  fax          text,
  street       text,
  zip          text,
  city         text,
  country      char(2),
  ship_street  text,
  ship_zip     text,
  ship_city    text,
  ship_country char(2),
  balance      text,
  newsletter   char(1) NOT NULL DEFAULT 'N' CHECK (newsletter IN ('J', 'N')),
  birthday     text,
  tags         text NOT NULL DEFAULT '',
  note         text,
  created_at   timestamp NOT NULL,
  changed_at   timestamp NOT NULL,
  deleted      char(1) NOT NULL DEFAULT 'N' CHECK (deleted IN ('Y', 'N')),
  deleted_at   timestamp,
  revision     bigint NOT NULL DEFAULT 0
)`;

export const modernDdl = `
CREATE TABLE customers (
  id          bigint PRIMARY KEY,
  given_name  text NOT NULL,
  family_name text,
  balance     numeric,
  currency    char(3),
  newsletter  boolean NOT NULL,
  born_on     date,
  tags        text[] NOT NULL,
  note        text,
  created_at  timestamptz NOT NULL,
  changed_at  timestamptz NOT NULL,
  status      text NOT NULL CHECK (status IN ('active', 'closed')),
  closed_at   timestamptz,
  revision    bigint NOT NULL,
  CHECK ((balance IS NULL) = (currency IS NULL)),
  CHECK ((status = 'closed') = (closed_at IS NOT NULL))
);
CREATE TABLE addresses (
  customer_id bigint NOT NULL REFERENCES customers (id),
  kind        text NOT NULL CHECK (kind IN ('billing', 'delivery')),
  street      text,
  postcode    text,
  city        text,
  country     char(2),
  PRIMARY KEY (customer_id, kind)
);
CREATE TABLE contact_points (
  customer_id bigint NOT NULL REFERENCES customers (id),
  kind        text NOT NULL CHECK (kind IN ('email', 'phone', 'mobile', 'fax')),
  value       text NOT NULL,
  PRIMARY KEY (customer_id, kind)
)`;

/** The columns of the legacy table, in order. Every record that the demo writes has all of them. */
export const legacyColumns = [
  'id',
  'name',
  'email',
  'phone',
  'mobile',
  'fax',
  'street',
  'zip',
  'city',
  'country',
  'ship_street',
  'ship_zip',
  'ship_city',
  'ship_country',
  'balance',
  'newsletter',
  'birthday',
  'tags',
  'note',
  'created_at',
  'changed_at',
  'deleted',
  'deleted_at',
  'revision',
] as const;

export type LegacyColumn = (typeof legacyColumns)[number];

/** A row of the legacy table, each value as exact text; timestamps as `YYYY-MM-DD HH:MM:SS.ffffff`. */
export type LegacyCustomer = Readonly<Record<LegacyColumn, string | null>>;
