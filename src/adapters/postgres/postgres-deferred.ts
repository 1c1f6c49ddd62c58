/*
 * Indexes that are taken down while an empty table is filled, and put up again behind it.
 *
 * The definition is stored in our schema in the transaction that drops the index, and its row goes in the transaction that creates it
 * again: whatever dies in between, an index is either there or written down. Restoring is a loop over rows that nobody else has locked, so
 * several processes (a worker that was believed dead, `abort`) share the work.
 *
 * **A deferred key.** Without its unique index nothing can be inserted once only, so the door lets no upsert in (its ON CONFLICT names
 * an index that is not there: 42P10, STORE_UNAVAILABLE) and every change stays where it waits already, in the queue or the log. Chunks are
 * then plain COPY. A chunk that is written twice (its COMMIT was not answered, or its worker died before the checkpoint) leaves rows
 * twice; they are thinned out before the key is built. Which of two copies stays does not matter: whatever changed between their reads is a change
 * that still waits, and replaces the whole record. The table has to be empty of rows *and* fences when this begins.
 */
import { ChangeoverError } from '../../errors/index.ts';
import type { DeferredIndexes } from '../../store/index.ts';
import type { CatalogCollection, CatalogTable } from './postgres-catalog.ts';
import { ddl } from './postgres-ddl.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { sqlStateOf } from './postgres-errors.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession, PostgresTransaction } from './postgres-session.ts';
import { parseTextArray, textArray } from './postgres-text.ts';

/** An index of a large table takes long. */
const BUILD_MS = 24 * 3_600_000;
/** Indexes of one table that are built at a time. */
const BUILDERS = 2;
const OBJECT_IS_NEEDED = '2BP01';
/** So that definitions name the schema of everything, and mean it. */
const WITHOUT_PATH = `SELECT set_config('search_path', '', true)`;

/** Sorts of some million rows in memory; more where the server has more for it. */
const WITH_MEMORY = `SELECT set_config('maintenance_work_mem', '256MB', true) FROM pg_settings
  WHERE name = 'maintenance_work_mem' AND setting::int < 262144`;

type Kind = 'key' | 'secondary';

interface Found {
  readonly kind: Kind;
  /** Of the table, as `CatalogTable.quoted`. */
  readonly table: string;
  readonly name: string;
  readonly drop: string;
  readonly create: readonly string[];
}

/**
 * Takes down what may be taken down of an empty collection: plain indexes that are no constraint, with `all` the key as well where nothing
 * refers to it and nothing else is unique. What is deferred now; that of an earlier run counts. A collection that is not empty is left as it is.
 */
export async function deferIndexes(
  parts: PostgresStoreParts,
  collection: CatalogCollection,
  which: 'secondary' | 'all',
): Promise<DeferredIndexes> {
  try {
    await takeDown(parts, collection, which);
  } catch (error) {
    // A view that groups by the key, for one, needs it.
    if (which !== 'all' || sqlStateOf(error) !== OBJECT_IS_NEEDED) throw error;
    await takeDown(parts, collection, 'secondary');
  }
  return deferredNow(parts, collection.collection);
}

async function takeDown(
  parts: PostgresStoreParts,
  collection: CatalogCollection,
  which: 'secondary' | 'all',
): Promise<void> {
  const { layout } = parts;
  const tables = [collection.root, ...collection.children];
  await ddl(parts, `deferring of indexes of "${collection.collection}"`, async (transaction) => {
    const known = await transaction.query(
      `SELECT 1 FROM ${layout.deferred} WHERE collection = $1 LIMIT 1`,
      [collection.collection],
    );
    if (known.rows.length > 0) return;
    await transaction.query(
      `LOCK TABLE ${tables.map(({ quoted }) => quoted).join(', ')} IN ACCESS EXCLUSIVE MODE`,
    );
    if (!(await isBlank(transaction, layout, collection))) return;
    await transaction.query(WITHOUT_PATH);
    const found: Found[] = [];
    for (const table of tables) found.push(...(await indexesOf(transaction, table)));
    // All keys of an aggregate, or none: the door writes its tables together.
    let keyless = which === 'all';
    for (const table of tables) {
      const keys = found.filter((one) => one.kind === 'key' && one.table === table.quoted).length;
      keyless &&= keys > 0 && keys === (await countUnique(transaction, table));
    }
    for (const index of found) {
      if (index.kind === 'key' && !keyless) continue;
      await transaction.query(
        `INSERT INTO ${layout.deferred} (collection, name, kind, table_name, statements) VALUES ($1, $2, $3, $4, $5)`,
        [collection.collection, index.name, index.kind, index.table, textArray(index.create)],
      );
      await transaction.query(index.drop);
    }
  });
}

async function isBlank(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  { collection, root, children }: CatalogCollection,
): Promise<boolean> {
  const looks = [root, ...children].map(({ quoted }) => `EXISTS (SELECT 1 FROM ${quoted})`);
  const { rows } = await transaction.query(
    `SELECT ${looks.join(' OR ')} OR EXISTS (SELECT 1 FROM ${layout.fence} WHERE collection = $1)`,
    [collection],
  );
  return rows[0]?.[0] === 'f';
}

/**
 * Indexes that refuse rows. One that stayed beside a deferred key would refuse each row of a chunk that is written twice, one by one.
 */
async function countUnique(
  transaction: PostgresTransaction,
  { oid }: CatalogTable,
): Promise<number> {
  const { rows } = await transaction.query(
    'SELECT count(*) FROM pg_index WHERE indrelid = $1::oid AND (indisunique OR indisexclusion)',
    [oid],
  );
  return Number(rows[0]?.[0]);
}

/**
 * Indexes that can be made again from what the catalog says of them. Left alone: unique ones beside the key (they refuse rows), what carries an
 * exclusion constraint, the replica identity, what belongs to an extension, partitioned and inherited tables, and tables of a
 * publication (without a key the server refuses their deletes), and where we may not create what we take down.
 */
async function indexesOf(
  transaction: PostgresTransaction,
  { oid, quoted, key }: CatalogTable,
): Promise<readonly Found[]> {
  const { rows } = await transaction.query(
    `SELECT format('%I.%I', n.nspname, x.relname), quote_ident(x.relname), i.indisunique, pg_get_indexdef(i.indexrelid), quote_ident(con.conname),
      CASE con.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, quote_literal(coalesce(s.spcname, '')), i.indisclustered,
      quote_literal(obj_description(i.indexrelid, 'pg_class')), quote_literal(obj_description(con.oid, 'pg_constraint')),
      ARRAY(SELECT format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', n.nspname, x.relname, a.attnum, a.attstattarget)
        FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attnum > 0 AND a.attstattarget >= 0)
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = x.relnamespace
    JOIN pg_class t ON t.oid = i.indrelid
    LEFT JOIN pg_tablespace s ON s.oid = x.reltablespace
    LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = $1::oid AND t.relkind = 'r' AND NOT t.relispartition AND NOT t.relhassubclass
      AND NOT EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhrelid = t.oid)
      AND has_schema_privilege(n.oid, 'CREATE') AND (x.reltablespace = 0 OR has_tablespace_privilege(x.reltablespace, 'CREATE'))
      AND i.indisvalid AND i.indisready AND i.indislive AND NOT i.indisreplident AND NOT i.indisexclusion
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype IN ('e', 'x'))
      AND (i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT 1 FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = x.oid)
          AND NOT EXISTS (SELECT 1 FROM pg_publication_tables p WHERE format('%I.%I', p.schemaname, p.tablename) = $3)
          AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k)
            = (SELECT array_agg(c ORDER BY c) FROM unnest($2::text[]) c)
        OR NOT i.indisunique AND con.oid IS NULL)
    ORDER BY 1`,
    [oid, textArray(key.map(({ name }) => name)), quoted],
  );
  return rows.map((row) => foundIndex(quoted, row));
}

function foundIndex(table: string, row: readonly (string | null)[]): Found {
  const [name = '', bare, unique, definition, constraint, ...rest] = row;
  const [contype, tablespace, clustered, comment, constraintComment, statistics] = rest;
  // By way of the index: its definition has what that of the constraint leaves out (fillfactor, tablespace).
  const adopt = `ALTER TABLE ${table} ADD CONSTRAINT ${constraint} ${contype} USING INDEX ${bare}`;
  const create = [
    // The definitions do not say where it lies; empty: the database's own place.
    `SELECT set_config('default_tablespace', ${tablespace}, true)`,
    definition as string,
    ...(constraint === null ? [] : [adopt]),
    ...(clustered === 't' ? [`ALTER TABLE ${table} CLUSTER ON ${bare}`] : []),
    ...(comment === null ? [] : [`COMMENT ON INDEX ${name} IS ${comment}`]),
    ...(constraintComment === null
      ? []
      : [`COMMENT ON CONSTRAINT ${constraint} ON ${table} IS ${constraintComment}`]),
    ...parseTextArray(statistics ?? '{}').map((text) => text ?? ''),
  ];
  return {
    kind: unique === 't' ? 'key' : 'secondary',
    table,
    name: name as string,
    drop:
      constraint === null
        ? `DROP INDEX ${name}`
        : `ALTER TABLE ${table} DROP CONSTRAINT ${constraint}`,
    create,
  };
}

/** What is deferred of a collection at this moment. */
export async function deferredNow(
  { session, layout }: PostgresStoreParts,
  collection: string,
): Promise<DeferredIndexes> {
  const { rows } = await session.query(
    `SELECT count(*), coalesce(bool_or(kind = 'key'), false) FROM ${layout.deferred} WHERE collection = $1`,
    [collection],
  );
  return { indexes: Number(rows[0]?.[0] ?? 0), key: rows[0]?.[1] === 't' };
}

async function isInstalled(session: PostgresSession, layout: PostgresLayout): Promise<boolean> {
  const { rows } = await session.query('SELECT to_regclass($1) IS NOT NULL', [layout.deferred]);
  return rows[0]?.[0] === 't';
}

/** Whether the key of this collection is deferred; false where nothing of ours is installed. */
export async function isKeyDeferred(
  session: PostgresSession,
  layout: PostgresLayout,
  collection: string,
): Promise<boolean> {
  if (!(await isInstalled(session, layout))) return false;
  const { rows } = await session.query(
    `SELECT EXISTS (SELECT 1 FROM ${layout.deferred} WHERE collection = $1 AND kind = 'key')`,
    [collection],
  );
  return rows[0]?.[0] === 't';
}

/** The same inside a chunk's transaction. */
export async function isKeyless(
  transaction: PostgresTransaction,
  layout: PostgresLayout,
  collection: string,
): Promise<boolean> {
  const { rows } = await transaction.query(
    `SELECT EXISTS (SELECT 1 FROM ${layout.deferred} WHERE collection = $1 AND kind = 'key')`,
    [collection],
  );
  return rows[0]?.[0] === 't';
}

/** Creates every deferred index of the collection again; idempotent. Returns when all are there, whoever made them. */
export async function restoreIndexes(parts: PostgresStoreParts, name: string): Promise<void> {
  if (!(await isInstalled(parts.session, parts.layout))) return;
  if ((await deferredNow(parts, name)).indexes === 0) return;
  const collection = await parts.catalog.collection(name);
  const tables = [collection.root, ...collection.children];
  const thin = async (transaction: PostgresTransaction): Promise<void> => {
    const { rows } = await transaction.query(`SELECT epoch FROM ${parts.layout.guard}`);
    await transaction.query(
      `SELECT set_config('changeover.mark', $1, true), set_config('changeover.owner', $2, true)`,
      [`door:${rows[0]?.[0]}`, parts.layout.schema],
    );
    await thinOut(transaction, tables);
  };
  await restore(parts, collection.collection, thin);
}

/** The same for all collections, also for those that no configuration names any more. */
export async function restoreAllIndexes(parts: PostgresStoreParts): Promise<void> {
  const { session, layout, catalog } = parts;
  if (!(await isInstalled(session, layout))) return;
  const { rows } = await session.query(`SELECT DISTINCT collection FROM ${layout.deferred}`);
  for (const [name] of rows) {
    const known = catalog.collections.includes(name ?? '');
    if (known) await restoreIndexes(parts, name ?? '');
    else await restore(parts, name ?? '', null);
  }
}

type ThinOut = (transaction: PostgresTransaction) => Promise<void>;

async function restore(
  parts: PostgresStoreParts,
  collection: string,
  thin: ThinOut | null,
): Promise<void> {
  // The key first: what waits for it waits longest.
  while (await restoreOne(parts, collection, 'key', thin));
  const builders = Array.from({ length: BUILDERS }, async () => {
    while (await restoreOne(parts, collection, 'secondary', null));
  });
  // None is left under way when the first failure is reported.
  const ends = await Promise.allSettled(builders);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  await outwait(parts, collection);
}

/** One index, from its row to its row's end; false when there is none that nobody works on. */
async function restoreOne(
  parts: PostgresStoreParts,
  collection: string,
  kind: Kind,
  thin: ThinOut | null,
): Promise<boolean> {
  const { layout } = parts;
  const what = `restoring of the indexes of "${collection}"`;
  const attempt = (first: ThinOut | null): Promise<boolean> =>
    ddl(
      parts,
      what,
      async (transaction) => {
        const { rows } = await transaction.query(
          `SELECT name, statements, table_name FROM ${layout.deferred} WHERE collection = $1 AND kind = $2
            ORDER BY name LIMIT 1 FOR UPDATE SKIP LOCKED`,
          [collection, kind],
        );
        const [row] = rows;
        if (row === undefined) return false;
        await transaction.run([{ text: WITHOUT_PATH }, { text: WITH_MEMORY }]);
        // At once what its adoption as the key needs: a reader that came between would throw the built index away.
        if (kind === 'key')
          await transaction.query(`LOCK TABLE ${row[2]} IN ACCESS EXCLUSIVE MODE`);
        await first?.(transaction);
        for (const text of parseTextArray(row[1] ?? '{}')) await transaction.query(text ?? '');
        await transaction.query(
          `DELETE FROM ${layout.deferred} WHERE collection = $1 AND name = $2`,
          [collection, row[0] ?? ''],
        );
        return true;
      },
      { timeoutMs: BUILD_MS, lock: 'none' },
    );
  try {
    return await attempt(null);
  } catch (error) {
    if (thin === null || sqlStateOf(error) !== '23505') throw error;
    return attempt(thin);
  }
}

/** Waits for those that others are building. */
async function outwait({ session, layout }: PostgresStoreParts, collection: string): Promise<void> {
  const { clock } = session.runtime;
  const endsAt = clock.monotonic() + BUILD_MS;
  const left = `SELECT count(*) FROM ${layout.deferred} WHERE collection = $1`;
  for (;;) {
    const { rows } = await session.query(left, [collection]);
    if (rows[0]?.[0] === '0') return;
    if (clock.monotonic() > endsAt) {
      throw new ChangeoverError(
        'STORE_CONFLICT',
        `Indexes of "${collection}" are being restored by another process, for longer than a day.`,
      );
    }
    await clock.sleep(200);
  }
}

/** Leaves one row of each key, in every table of the collection. */
async function thinOut(
  transaction: PostgresTransaction,
  tables: readonly CatalogTable[],
): Promise<void> {
  for (const { quoted, key } of tables) {
    const columns = key.map((column) => column.quoted).join(', ');
    await transaction.query(`LOCK TABLE ${quoted} IN ACCESS EXCLUSIVE MODE`);
    await transaction.query(
      `DELETE FROM ${quoted} t USING (
        SELECT ctid AS place, row_number() OVER (PARTITION BY ${columns} ORDER BY ctid DESC) AS n FROM ${quoted}
      ) d WHERE t.ctid = d.place AND d.n > 1`,
    );
  }
}
