import { ChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import { type ModifiedFinding, type ModifiedRows, modifiedFindings } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { keyOrder, keyParameters, ordered } from './postgres-key-sql.ts';

const TIME = /^(timestamp|date)/;

/** An index that begins with the column, whole and valid: what a range over it needs. */
const INDEXED = `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  WHERE i.indrelid = $1::oid AND a.attname = $2 AND i.indisvalid AND i.indpred IS NULL)`;

/**
 * `now()` is when a transaction began: one that is open may commit rows with a time as old as itself, whether it has written yet or not. Prepared ones, too. The second
 * column: somebody's age is hidden from this role.
 */
const OPEN = `SELECT coalesce(extract(epoch FROM max(clock_timestamp() - x.begun)) * 1000, 0),
    coalesce(bool_or(x.hidden), false)
  FROM (SELECT xact_start, query = '<insufficient privilege>' FROM pg_catalog.pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
    UNION ALL SELECT prepared, false FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()) AS x(begun, hidden)`;

/** See `ModifiedRows`. */
export function createPostgresModified({ session, catalog }: PostgresStoreParts): ModifiedRows {
  const what = (collection: string): { readonly what: string } => ({
    what: `modification times of "${collection}"`,
  });
  return {
    async check(name, column) {
      const collection = await catalog.collection(name);
      const found = findingOf(collection, column);
      if (found) return [found];
      const { oid, quoted } = collection.root;
      const { rows } = await session.query(INDEXED, [oid, column], what(name));
      return rows[0]?.[0] === 't' ? [] : [modifiedFindings.noIndex(quoted, column)];
    },

    async horizon(name, column) {
      const collection = await catalog.collection(name);
      const { quoted, castType } = columnOf(collection, column);
      // A time of the future would be a mark that nothing reaches for as long: the store's clock is its end.
      const newest = `SELECT max(t.${quoted}) FROM ${collection.root.quoted} t WHERE t.${quoted} <= now()::${castType}`;
      const [open, found] = await session.run([{ text: OPEN }, { text: newest }], what(name));
      const [ageMs, hidden] = open?.rows[0] ?? [];
      const openMs = hidden === 't' ? null : Math.max(0, Number(ageMs ?? 0));
      return { newest: found?.rows[0]?.[0] ?? null, openMs };
    },

    async keys(name, column, { from, backMs, until, after }, limit) {
      const collection = await catalog.collection(name);
      const at = columnOf(collection, column);
      const { key, quoted } = collection.root;
      const time = `t.${at.quoted}`;
      const values = [from, String(backMs / 1_000), until];
      const conditions = [
        `${time} >= $1::${at.castType} - make_interval(secs => $2::double precision)`,
        `${time} <= $3::${at.castType}`,
      ];
      if (after !== null) {
        const own = key.map((part) => ordered(part, 't')).join(', ');
        // The first narrows the index, the second does the rest.
        conditions.push(
          `${time} >= $4::${at.castType}`,
          `(${time}, ${own}) > ($4::${at.castType}, ${keyParameters(key, 5).join(', ')})`,
        );
        values.push(after.at, ...after.key);
      }
      const names = key.map((part) => `t.${part.quoted}`).join(', ');
      const { rows } = await session.query(
        `SELECT ${time}, ${names} FROM ${quoted} t WHERE ${conditions.join(' AND ')} ORDER BY ${time}, ${keyOrder(key, 't')} LIMIT ${Math.trunc(limit)}`,
        values,
        what(name),
      );
      return rows.map(([value, ...parts]) => ({ at: value ?? '', key: parts as Key }));
    },
  };
}

function findingOf({ root }: CatalogCollection, name: string): ModifiedFinding | null {
  const column = root.allColumns.find((one) => one.name === name);
  if (!column) return modifiedFindings.missing(root.quoted, name);
  return TIME.test(column.castType)
    ? null
    : modifiedFindings.noTime(root.quoted, name, column.type);
}

function columnOf(collection: CatalogCollection, name: string): CatalogColumn {
  const finding = findingOf(collection, name);
  if (finding) throw new ChangeoverError('CONFIG_INVALID', `${finding.text}. ${finding.fix}`);
  return collection.root.allColumns.find((one) => one.name === name) as CatalogColumn;
}
