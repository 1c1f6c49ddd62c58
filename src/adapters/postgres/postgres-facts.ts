import type { StoreFacts, TableLimits } from '../../store/index.ts';
import type { CatalogTable } from './postgres-catalog.ts';
import type { WriteParts } from './postgres-write.ts';

/** What PostgreSQL tells of itself to whoever compares two stores. */
export function createPostgresFacts({ session, catalog }: WriteParts): StoreFacts {
  return {
    async now() {
      const { rows } = await session.query(
        'SELECT extract(epoch FROM clock_timestamp()) * 1000',
        [],
        { what: 'a look at the clock', timeoutMs: 10_000 },
      );
      return Number(rows[0]?.[0]);
    },

    async limits(name) {
      const { root, children } = await catalog.collection(name);
      const looks = [
        { field: null, table: root },
        ...children.map((child) => ({ field: child.field, table: child as CatalogTable })),
      ];
      const results = await session.run(
        looks.flatMap(({ table: { oid } }) => [
          { text: CHECKS, values: [oid] },
          { text: BYTES, values: [oid] },
        ]),
        { what: `limits of "${name}"` },
      );
      return looks.map(({ field, table }, index): TableLimits => {
        const bytes = results[index * 2 + 1]?.rows[0]?.[0];
        return {
          field,
          table: table.quoted,
          notNull: table.columns.filter(({ notNull }) => notNull).map((column) => column.name),
          unique: table.uniqueIndexes.filter(
            (one) => one.arbiter && one.name !== table.keyIndex.name,
          ),
          checks: (results[index * 2]?.rows ?? []).map(([check, condition]) => ({
            name: check ?? '',
            condition: condition ?? '',
          })),
          bytes: bytes == null ? null : Number(bytes),
        };
      });
    },

    async space() {
      const { rows } = await session.query(LOG_GROWTH, [], { what: 'a look at the log' });
      const rate = rows[0]?.[0];
      return {
        freeBytes: null,
        unread: 'PostgreSQL does not tell over SQL how much room its disk has',
        logBytesPerHour: rate == null ? null : Number(rate),
      };
    },
  };
}

const CHECKS = `SELECT k.conname, pg_catalog.pg_get_expr(k.conbin, k.conrelid)
  FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1::oid AND k.contype = 'c' ORDER BY k.conname`;

// A partitioned table is as large as its partitions.
const BYTES = `SELECT pg_catalog.pg_total_relation_size($1::oid) + coalesce((
  SELECT sum(pg_catalog.pg_total_relation_size(relid)) FROM pg_catalog.pg_partition_tree($1::oid) WHERE relid <> $1::oid), 0)`;

// Less than a minute tells nothing.
const LOG_GROWTH = `SELECT round(wal_bytes / (extract(epoch FROM clock_timestamp() - stats_reset) / 3600))
  FROM pg_catalog.pg_stat_wal WHERE stats_reset < clock_timestamp() - interval '1 minute'`;
