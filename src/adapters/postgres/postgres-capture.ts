import type { CatalogChild, CatalogCollection, CatalogTable } from './postgres-catalog.ts';
import { EXACT_SETTINGS } from './postgres-connections.ts';
import { FENCED_SQLSTATE } from './postgres-errors.ts';
import { keyEquals, keyLockId, keySpelling, keyText } from './postgres-key-sql.ts';
import { OWN_RECORD, ownRecordPrefix, type PostgresLayout } from './postgres-schema.ts';
import { quoteIdentifier, quoteLiteral } from './postgres-text.ts';

/** Name of the outbox triggers; the same on every table, so that they are found again. */
export function captureTrigger(layout: PostgresLayout, level: 'row' | 'truncate'): string {
  return quoteIdentifier(layout.bareName(`${layout.schema}_capture`, level));
}

/** A table with its capture function. `child` null: the root. */
interface CapturedTable {
  readonly table: CatalogTable;
  readonly functionName: string;
  readonly body: string;
}

function capturedTables(
  layout: PostgresLayout,
  collection: CatalogCollection,
): readonly CapturedTable[] {
  const name = (suffix: string): string =>
    layout.object('capture', `${collection.collection}${suffix}`);
  return [
    { table: collection.root, functionName: name(''), body: rootBody(layout, collection) },
    ...collection.children.map((child) => ({
      table: child,
      functionName: name(`_${child.field}`),
      body: childBody(layout, collection, child),
    })),
  ];
}

/**
 * Statements that install the outbox trigger on every table of the collection; idempotent. CREATE TRIGGER waits for all writers of
 * the table, so everything that commits afterwards is captured. ALWAYS: rows that logical replication applies are captured as well.
 *
 * The functions run with their owner's rights: applications need none on our schema. Settings on which the text of keys depends are
 * fixed in the function, only where there are such keys (each costs time in every row).
 */
export function captureStatements(
  layout: PostgresLayout,
  collection: CatalogCollection,
): readonly string[] {
  const settings = functionSettings(collection);
  return capturedTables(layout, collection).flatMap(({ table, functionName, body }) => {
    const rows = captureTrigger(layout, 'row');
    const truncate = captureTrigger(layout, 'truncate');
    return [
      `CREATE OR REPLACE FUNCTION ${functionName}() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER ${settings} AS $capture$${body}$capture$`,
      `REVOKE ALL ON FUNCTION ${functionName}() FROM PUBLIC`,
      `CREATE OR REPLACE TRIGGER ${rows} AFTER INSERT OR UPDATE OR DELETE ON ${table.quoted}
        FOR EACH ROW EXECUTE FUNCTION ${functionName}()`,
      `CREATE OR REPLACE TRIGGER ${truncate} BEFORE TRUNCATE ON ${table.quoted}
        FOR EACH STATEMENT EXECUTE FUNCTION ${functionName}()`,
      `ALTER TABLE ${table.quoted} ENABLE ALWAYS TRIGGER ${rows}`,
      `ALTER TABLE ${table.quoted} ENABLE ALWAYS TRIGGER ${truncate}`,
    ];
  });
}

/** Statements that remove what `captureStatements` made; idempotent. Entries in the queue stay. */
export function uncaptureStatements(
  layout: PostgresLayout,
  collection: CatalogCollection,
): readonly string[] {
  return capturedTables(layout, collection).flatMap(({ table, functionName }) => [
    `DROP TRIGGER IF EXISTS ${captureTrigger(layout, 'row')} ON ${table.quoted}`,
    `DROP TRIGGER IF EXISTS ${captureTrigger(layout, 'truncate')} ON ${table.quoted}`,
    `DROP FUNCTION IF EXISTS ${functionName}()`,
  ]);
}

function functionSettings(collection: CatalogCollection): string {
  const dependent = collection.root.key.some(({ settingsDependent }) => settingsDependent);
  const settings = ['SET search_path = pg_catalog, pg_temp'];
  if (dependent) {
    for (const name of [
      'DateStyle',
      'TimeZone',
      'IntervalStyle',
      'bytea_output',
      'extra_float_digits',
    ]) {
      settings.push(`SET ${name} = ${quoteLiteral(EXACT_SETTINGS[name] ?? '')}`);
    }
  }
  return settings.join(' ');
}

/**
 * Changes from the door (`door:`) are not captured, nor is the one record that an own write (`app:`) has journalled by itself: what foreign keys
 * and other triggers change in the same transaction is news. Both only of this very store: what another migration writes here is news, too.
 * `own_record` is null in all other sessions.
 */
const declareOwn = (layout: PostgresLayout): string => `
  own_mark text := CASE WHEN current_setting('changeover.owner', true) = ${quoteLiteral(layout.schema)} THEN current_setting('changeover.mark', true) END;
  own_record text := CASE WHEN own_mark LIKE 'app:%' THEN current_setting('${OWN_RECORD}', true) END;`;

const FROM_DOOR = `own_mark LIKE 'door:%'`;

const insertKeys = (layout: PostgresLayout, collection: string): string =>
  `INSERT INTO ${layout.queue} (collection, key) SELECT ${quoteLiteral(collection)}, `;

/** Condition that the record with this encoded key is not the journalled one. */
const isNews = (collection: string, key: string): string =>
  `own_record IS DISTINCT FROM ${quoteLiteral(ownRecordPrefix(collection))} || ${key}`;

/** AFTER ROW: the row is locked by its writer, so the number is drawn in the order of commits. */
function rootBody(layout: PostgresLayout, collection: CatalogCollection): string {
  const { root } = collection;
  const into = insertKeys(layout, collection.collection);
  const text = (row: string): string => keyText(root.key.map(({ quoted }) => `${row}.${quoted}`));
  const news = (key: string): string => isNews(collection.collection, key);
  return `
DECLARE${declareOwn(layout)}
  old_key text;
  new_key text;
BEGIN
  IF ${FROM_DOOR} THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    ${into} ${text('t')} FROM ${root.quoted} t;
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    old_key := ${text('OLD')};
  END IF;
  IF TG_OP <> 'DELETE' THEN
    new_key := ${text('NEW')};
    IF ${news('new_key')} THEN
      ${into} new_key;
    END IF;
  END IF;
  IF old_key IS NOT NULL AND old_key IS DISTINCT FROM new_key AND ${news('old_key')} THEN
    ${into} old_key;
  END IF;
  RETURN NULL;
END
`;
}

/**
 * A child's change is a change of its root: the root row is locked first, else two numbers could be drawn in one order and committed in the other. That look
 * gives the key as the root spells it, by which the queue is asked; without a root there is no record, and the child's spelling does.
 */
function childBody(
  layout: PostgresLayout,
  collection: CatalogCollection,
  child: CatalogChild,
): string {
  const { root } = collection;
  const into = insertKeys(layout, collection.collection);
  const parents = (row: string): readonly string[] =>
    child.parent.map(
      ({ quoted }, index) => `${row}.${quoted}::${root.key[index]?.castType ?? 'text'}`,
    );
  const present = (row: string): string =>
    child.parent.map(({ quoted }) => `${row}.${quoted} IS NOT NULL`).join(' AND ');
  const own = (alias: string): string =>
    keyText(root.key.map(({ quoted }) => `${alias}.${quoted}`));
  const given = (row: string): string => keyText(keySpelling(root.key, parents(row)));
  const news = (key: string): string => isNews(collection.collection, key);
  // In sessions of others the child's spelling is made only where there is no root.
  const emit = (row: string): string => `
    IF ${present(row)} AND (own_record IS NULL OR ${news(given(row))}) THEN
      SELECT ${own('t')} INTO root_key FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', parents(row))} FOR NO KEY UPDATE;
      IF root_key IS NULL THEN
        root_key := ${given(row)};
      END IF;
      IF ${news('root_key')} THEN
        ${into} root_key;
      END IF;
    END IF;`;
  const first = root.key[0]?.quoted ?? '';
  const moved = child.parent
    .map(({ quoted }) => `OLD.${quoted} IS DISTINCT FROM NEW.${quoted}`)
    .join(' OR ');
  return `
DECLARE${declareOwn(layout)}
  root_key text;
BEGIN
  IF ${FROM_DOOR} THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    ${into} k.key FROM (SELECT DISTINCT CASE WHEN r.${first} IS NULL THEN ${given('t')} ELSE ${own('r')} END AS key
      FROM ${child.quoted} t LEFT JOIN ${root.quoted} r ON ${keyEquals(root.key, 'r', parents('t'))} WHERE ${present('t')}) k;
    RETURN NULL;
  END IF;
  IF TG_OP = 'DELETE' THEN${emit('OLD')}
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF ${moved} THEN${emit('OLD')}
    END IF;
  END IF;${emit('NEW')}
  RETURN NULL;
END
`;
}

/**
 * `record_change(collection, key)`: what `recordChange` calls inside the application's own transaction. Key lock, then the root row, then
 * the number. Returns NULL and writes nothing while the store is `idle`; raises CO001 where the store is not the authority.
 */
export function recordChangeFunction(
  layout: PostgresLayout,
  collections: readonly CatalogCollection[],
): readonly string[] {
  const branches = collections.map((collection) => {
    const { root } = collection;
    const expressions = root.key.map(
      (column, index) => `wanted_key[${index + 1}]::${column.castType}`,
    );
    const text = keyText(root.key.map(({ quoted }) => `t.${quoted}`));
    return `
  WHEN ${quoteLiteral(collection.collection)} THEN
    IF array_length(wanted_key, 1) IS DISTINCT FROM ${root.key.length} OR array_position(wanted_key, NULL) IS NOT NULL THEN
      RAISE EXCEPTION 'a key of this collection has ${root.key.length} parts, none of them NULL' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock(${keyLockId(root.key, expressions, layout.keySeed(collection.collection))});
    SELECT ${text} INTO spelled FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', expressions)} FOR NO KEY UPDATE;
    spelled := coalesce(spelled, ${keyText(keySpelling(root.key, expressions))});`;
  });
  const settings = Object.entries(EXACT_SETTINGS)
    .filter(([name]) => name !== 'row_security' && name !== 'lc_monetary')
    .map(([name, value]) => `SET ${name} = ${quoteLiteral(value)}`);
  return [
    `CREATE OR REPLACE FUNCTION ${layout.recordChange}(wanted_collection text, wanted_key text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp ${settings.join(' ')} AS $record$
DECLARE
  now_role text;
  spelled text;
  drawn bigint;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(${layout.roleLock});
  SELECT g.role INTO now_role FROM ${layout.guard} g;
  IF now_role = 'idle' THEN
    RETURN NULL;
  END IF;
  IF now_role IS DISTINCT FROM 'authority' THEN
    RAISE EXCEPTION 'this store is %, not the authority', now_role USING ERRCODE = '${FENCED_SQLSTATE}';
  END IF;
  CASE wanted_collection${branches.join('')}
  ELSE
    RAISE EXCEPTION 'there is no collection "%"', wanted_collection USING ERRCODE = '42704';
  END CASE;
  INSERT INTO ${layout.queue} (collection, key) VALUES (wanted_collection, spelled) RETURNING id INTO drawn;
  RETURN drawn;
END
$record$`,
    `REVOKE ALL ON FUNCTION ${layout.recordChange}(text, text[]) FROM PUBLIC`,
    grantToWriters(layout, collections),
  ];
}

/** Whoever may write a root table today may record changes; nobody else can lock its rows through our function. */
function grantToWriters(layout: PostgresLayout, collections: readonly CatalogCollection[]): string {
  const tables = collections.map(({ root }) => `${root.oid}`).join(', ');
  return `DO $grant$
DECLARE
  writer text;
BEGIN
  FOR writer IN
    SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_class c
    CROSS JOIN LATERAL (
      SELECT grantee, privilege_type FROM aclexplode(c.relacl)
      UNION ALL
      SELECT x.grantee, x.privilege_type FROM pg_attribute t, aclexplode(t.attacl) x WHERE t.attrelid = c.oid
    ) a
    WHERE c.oid IN (${tables}) AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE')
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', ${quoteLiteral(layout.schema)}, writer);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s(text, text[]) TO %s', ${quoteLiteral(layout.recordChange)}, writer);
  END LOOP;
END
$grant$`;
}
