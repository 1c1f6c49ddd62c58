import { ChangeoverError } from '../../errors/index.ts';
import type { InstalledObject, StoreSetup } from '../../store/index.ts';
import {
  captureStatements,
  recordChangeFunction,
  uncaptureStatements,
} from './postgres-capture.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import { ddl } from './postgres-ddl.ts';
import { deferIndexes, restoreAllIndexes, restoreIndexes } from './postgres-deferred.ts';
import { sqlStateOf } from './postgres-errors.ts';
import { createPostgresFacts } from './postgres-facts.ts';
import { installGuardTriggers } from './postgres-guard-triggers.ts';
import { inspectPostgres } from './postgres-inspect.ts';
import { dropStreams, streamObjects } from './postgres-log-objects.ts';
import { installRogueTriggers } from './postgres-rogues.ts';
import { enterFunction, SCHEMA_FORMAT, tableStatements } from './postgres-schema.ts';
import type { PostgresTransaction, Statement } from './postgres-session.ts';
import { quoteIdentifier, quoteLiteral } from './postgres-text.ts';
import type { WriteParts } from './postgres-write.ts';

const texts = (list: readonly string[]): readonly Statement[] => list.map((text) => ({ text }));

/** Preflight, installation and removal in PostgreSQL. DDL runs in one transaction each, with short lock timeouts and jittered retries. */
export function createPostgresSetup(parts: WriteParts): StoreSetup {
  const { session, catalog, layout, presence } = parts;

  const resolved = (): Promise<readonly CatalogCollection[]> =>
    Promise.all(catalog.collections.map((name) => catalog.collection(name)));

  const setup: StoreSetup = {
    inspect: (role, plan) => inspectPostgres(parts, role, plan),
    facts: createPostgresFacts(parts),

    async install(role, epoch) {
      catalog.forget();
      const collections = await resolved();
      await ddl(parts, 'installation', async (transaction) => {
        const statements = [
          ...tableStatements(layout),
          // A number below those of an earlier installation would be stale at the other side's fences for ever: begin with the time in µs.
          `SELECT setval(${quoteLiteral(layout.version)}, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) FROM ${layout.version} WHERE NOT is_called`,
          enterFunction(layout),
          ...recordChangeFunction(layout, collections),
        ];
        await transaction.run(texts(statements));
        await installGuardTriggers(transaction, layout, catalog);
        await checkFormat(parts, transaction);
        await transaction.query(
          `UPDATE ${layout.guard} SET role = $1, epoch = $2::int WHERE role = 'idle'`,
          [role, String(epoch)],
        );
        // What it is, which is not always what was asked for: an installation that is there keeps its role.
        const { rows } = await transaction.query(`SELECT role FROM ${layout.guard}`);
        if (rows[0]?.[0] === 'follower') await installRogueTriggers(transaction, layout, catalog);
      });
      presence.found(true);
    },

    async upgrade() {
      if (!(await presence.check())) return;
      const newest = [layout.logCheckpoint, layout.deferred, layout.fenceDeleted];
      const look = `SELECT ${newest.map((table) => `to_regclass(${quoteLiteral(table)}) IS NOT NULL`).join(' AND ')}`;
      const { rows } = await session.query(look, [], { what: 'look for our tables' });
      await checkFormat(parts, session);
      if (rows[0]?.[0] === 't') return;
      await ddl(parts, 'upgrade', async (transaction) => {
        await transaction.run(texts(tableStatements(layout)));
      });
    },

    async installCapture(name) {
      const collection = await catalog.collection(name);
      await ddl(parts, `capture of "${name}"`, async (transaction) => {
        await transaction.run(texts(captureStatements(layout, collection)));
      });
    },

    async removeCapture(name) {
      const collection = await catalog.collection(name);
      if (!(await presence.check())) return;
      await ddl(parts, `end of capture of "${name}"`, async (transaction) => {
        await transaction.run(texts(uncaptureStatements(layout, collection)));
      });
    },

    forgetTables: () => catalog.forget(),

    objects: () => objects(parts),

    async uninstall() {
      await dropStreams(parts);
      // What was taken down for a copy is not ours to lose.
      await restoreAllIndexes(parts);
      await ddl(parts, 'removal', async (transaction) => {
        for (const { table, name } of await triggers(parts, transaction)) {
          await transaction.query(`DROP TRIGGER IF EXISTS ${quoteIdentifier(name)} ON ${table}`);
        }
        await transaction.query(`DROP SCHEMA IF EXISTS ${layout.quotedSchema} CASCADE`);
      });
      presence.found(false);
    },

    async countUpTo(name, max) {
      const { root } = await catalog.collection(name);
      const { rows } = await session.query(
        `SELECT count(*) FROM (SELECT 1 FROM ${root.quoted} LIMIT $1::bigint) t`,
        [String(max)],
        { what: `count of "${name}"` },
      );
      return Number(rows[0]?.[0] ?? 0);
    },

    truncate: async (name) => truncate(parts, await catalog.collection(name)),

    deferIndexes: async (name, which) => deferIndexes(parts, await catalog.collection(name), which),

    restoreIndexes: (name) => restoreIndexes(parts, name),

    async afterBulkLoad(name) {
      const { root, children } = await catalog.collection(name);
      for (const { quoted } of [root, ...children]) {
        await session.query(`ANALYZE ${quoted}`, [], { timeoutMs: 300_000, what: 'ANALYZE' });
      }
    },
  };
  return setup;
}

async function checkFormat(
  { layout }: WriteParts,
  transaction: Pick<PostgresTransaction, 'query'>,
): Promise<void> {
  const { rows } = await transaction.query(`SELECT format, migration, side FROM ${layout.meta}`);
  const [format, migration, side] = rows[0] ?? [];
  if (Number(format) === SCHEMA_FORMAT && migration === layout.migration && side === layout.side) {
    return;
  }
  if (Number(format) > SCHEMA_FORMAT) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `Schema ${layout.quotedSchema} was set up by a newer version of this library (format ${format}, here ${SCHEMA_FORMAT}): install that version here as well.`,
    );
  }
  throw new ChangeoverError(
    'LEFTOVERS_FOUND',
    `Schema ${layout.quotedSchema} is of format ${format} for migration "${migration}" (${side}); this version needs format ${SCHEMA_FORMAT} for "${layout.migration}" (${layout.side}). Finish it with the version that began it, or remove it (changeover abort).`,
  );
}

interface InstalledTrigger {
  readonly table: string;
  readonly name: string;
}

/** Triggers on anybody's tables that call a function of ours. */
async function triggers(
  { layout }: WriteParts,
  transaction: Pick<PostgresTransaction, 'query'>,
): Promise<readonly InstalledTrigger[]> {
  const { rows } = await transaction.query(
    `SELECT format('%I.%I', n.nspname, c.relname), t.tgname
     FROM pg_catalog.pg_trigger t
     JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
     JOIN pg_catalog.pg_namespace o ON o.oid = p.pronamespace AND o.nspname = $1
     JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY 1, 2`,
    [layout.schema],
  );
  return rows.map(([table, name]) => ({ table: table ?? '', name: name ?? '' }));
}

const kinds: Readonly<Record<string, InstalledObject['kind']>> = { r: 'table', S: 'sequence' };

async function objects(parts: WriteParts): Promise<readonly InstalledObject[]> {
  const { session, layout } = parts;
  const [schemas, relations, functions] = await session.run(
    [
      `SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = $1`,
      `SELECT c.relkind, format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'S') ORDER BY 2`,
      `SELECT p.oid::regprocedure FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 ORDER BY 1`,
    ].map((text) => ({ text, values: [layout.schema] })),
    { what: 'list of our objects' },
  );
  const found: InstalledObject[] = [];
  for (const [name] of schemas?.rows ?? []) found.push({ kind: 'schema', name: name ?? '' });
  for (const [kind, name] of relations?.rows ?? []) {
    found.push({ kind: kinds[kind ?? ''] ?? 'table', name: name ?? '' });
  }
  for (const [name] of functions?.rows ?? []) found.push({ kind: 'function', name: name ?? '' });
  for (const { table, name } of await triggers(parts, session)) {
    found.push({ kind: 'trigger', name: `${name} on ${table}` });
  }
  const { slots, publications } = await streamObjects(parts);
  for (const name of slots) found.push({ kind: 'slot', name });
  for (const name of publications) found.push({ kind: 'publication', name });
  return found;
}

/**
 * Empties the collection's tables with its fences and chunks, as a door session (no capture). Refused where this store is the
 * authority: that would destroy the only copy.
 */
async function truncate(parts: WriteParts, collection: CatalogCollection): Promise<void> {
  const { layout, presence } = parts;
  const installed = await presence.check();
  const tables = [...collection.children, collection.root].map(({ quoted }) => quoted);
  const attempt = (statements: readonly string[]): Promise<void> =>
    ddl(parts, `emptying of "${collection.collection}"`, async (transaction) => {
      if (installed) {
        await transaction.query(`SELECT pg_advisory_xact_lock_shared(${layout.roleLock})`);
        const { rows } = await transaction.query(`SELECT role, epoch FROM ${layout.guard}`);
        const [role, epoch] = rows[0] ?? [];
        if (role === 'authority' || role === 'sealed') {
          throw new ChangeoverError(
            'AUTHORITY_FENCED',
            `"${collection.collection}" is not emptied: this store is ${role}.`,
          );
        }
        await transaction.query(
          `SELECT set_config('changeover.mark', $1, true), set_config('changeover.owner', $2, true)`,
          [`door:${epoch}`, layout.schema],
        );
        for (const table of [layout.fence, layout.chunk]) {
          await transaction.query(`DELETE FROM ${table} WHERE collection = $1`, [
            collection.collection,
          ]);
        }
      }
      await transaction.run(texts(statements));
    });
  try {
    await attempt([`TRUNCATE ${[...new Set(tables)].join(', ')}`]);
  } catch (error) {
    // Other tables refer to these: TRUNCATE would need CASCADE, which empties them as well. Row by row their rows decide.
    if (sqlStateOf(error) !== '0A000') throw error;
    await attempt(tables.map((table) => `DELETE FROM ${table}`));
  }
}
