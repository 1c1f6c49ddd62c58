-- The new model. People, with one row per address and per way to reach them; orders with their items.
CREATE SCHEMA sales;

CREATE TABLE sales.person (
  id integer PRIMARY KEY,
  full_name text NOT NULL,
  given_name text NOT NULL,
  company text,
  support_rep_id integer
);

CREATE TABLE sales.address (
  person_id integer NOT NULL REFERENCES sales.person (id) ON DELETE CASCADE,
  kind text NOT NULL CHECK (kind IN ('home')),
  street text,
  city text,
  region text,
  country text,
  postal_code text,
  PRIMARY KEY (person_id, kind)
);

CREATE TABLE sales.contact (
  person_id integer NOT NULL REFERENCES sales.person (id) ON DELETE CASCADE,
  channel text NOT NULL CHECK (channel IN ('phone', 'fax', 'email')),
  value text NOT NULL,
  PRIMARY KEY (person_id, channel)
);

CREATE TABLE sales.purchase (
  id integer PRIMARY KEY,
  person_id integer NOT NULL REFERENCES sales.person (id),
  ordered_at timestamptz NOT NULL,
  bill_to jsonb NOT NULL,
  total_cents bigint NOT NULL
);

CREATE TABLE sales.purchase_item (
  id integer PRIMARY KEY,
  purchase_id integer NOT NULL REFERENCES sales.purchase (id) ON DELETE CASCADE,
  track_id integer NOT NULL,
  unit_price_cents bigint NOT NULL,
  quantity integer NOT NULL
);
CREATE INDEX ON sales.purchase_item (purchase_id);
CREATE INDEX ON sales.purchase (person_id);
