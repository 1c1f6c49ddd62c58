import type { Collection } from '../../src/migration/index.ts';
import { itemsCollection } from './engine-fixture.ts';

/** A table with indexes of many kinds; its own target. */
export const parcelsDdl = {
  source: `CREATE TABLE parcels (id bigint PRIMARY KEY, code text NOT NULL, place text, weight int NOT NULL)`,
  target: `CREATE TABLE parcels (id bigint, code text NOT NULL, place text, weight int NOT NULL,
      CONSTRAINT "parcels' key" PRIMARY KEY (id) WITH (fillfactor = 91));
    CREATE INDEX "by place" ON parcels (place COLLATE "C" DESC NULLS LAST) INCLUDE (weight) WITH (fillfactor = 70);
    CREATE INDEX heavy ON parcels (weight) WHERE weight > 500;
    CREATE INDEX lowered ON parcels (lower(code) text_pattern_ops, (weight * 2));
    CREATE INDEX words ON parcels USING gin (to_tsvector('simple', coalesce(place, '')));
    ALTER INDEX lowered ALTER COLUMN 2 SET STATISTICS 321;
    COMMENT ON INDEX "by place" IS 'it''s by place';
    COMMENT ON CONSTRAINT "parcels' key" ON parcels IS 'the key';
    ALTER TABLE parcels CLUSTER ON "by place"`,
} as const;

/** More that is unique in the target. */
export const parcelsUnique =
  'ALTER TABLE parcels ADD CONSTRAINT one_code UNIQUE (code); CREATE UNIQUE INDEX place_code ON parcels (place, code)';

export function parcelsSeed(count: number): string {
  return `INSERT INTO parcels SELECT i, 'P' || i, CASE WHEN i % 7 > 0 THEN 'Płace ' || i % 50 END, i % 1000 FROM generate_series(1, ${count}) i`;
}

/** Everything about the indexes of a table that is to be as it was. */
export const indexFacts = `SELECT c.relname, pg_get_indexdef(c.oid) AS definition, obj_description(c.oid, 'pg_class') AS comment, i.indisclustered,
    i.indisprimary, i.indisvalid, c.reloptions, con.conname, con.contype, obj_description(con.oid, 'pg_constraint') AS constraint_comment,
    ARRAY(SELECT a.attstattarget FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY a.attnum) AS statistics
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_constraint con ON con.conindid = c.oid
  WHERE i.indrelid = 'parcels'::regclass ORDER BY 1`;

/** `transformed`: through JavaScript, as records; else as bytes. */
export function parcels(
  path: 'bytes' | 'transformed',
  overrides: Partial<Collection> = {},
): Collection {
  const shape = { table: 'parcels', key: ['id'] };
  return itemsCollection({
    name: 'parcels',
    source: shape,
    target: shape,
    identity: path === 'bytes',
    forward: (record) => ({ ...record }),
    ...overrides,
  });
}
