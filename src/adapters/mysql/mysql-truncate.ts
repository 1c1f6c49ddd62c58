import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import { cut } from './mysql-connect.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { errnoOf } from './mysql-errors.ts';
import { flyUntil } from './mysql-flight.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

const TRUNCATE_MS = 300_000;
const ATTEMPTS_MAX = 30;
/** Refused because other tables refer to this one, or because the user lacks DROP. */
const BY_ROWS: ReadonlySet<number> = new Set([1701, 1142, 1227, 1100]);

/**
 * Empties the collection's tables with its fences and chunks. Refused where this store is the authority: that would destroy the only copy. TRUNCATE commits by
 * itself, so all is done under table locks, the guard's included: its role cannot change in between.
 *
 * Where other tables refer to these, TRUNCATE is refused; then row by row, in one transaction as a door session, and their rows decide.
 */
export async function truncateCollection(
  parts: MysqlStoreParts,
  collection: CatalogCollection,
): Promise<void> {
  const { clock, random } = parts.session.runtime;
  const installed = await parts.presence.check();
  for (let attempt = 1; ; attempt += 1) {
    try {
      await truncateUnderLocks(parts, collection, installed);
      return;
    } catch (error) {
      if (BY_ROWS.has(errnoOf(error) ?? 0)) {
        await deleteRows(parts, collection, installed);
        return;
      }
      if (!isChangeoverError(error, 'STORE_CONFLICT') || attempt >= ATTEMPTS_MAX) throw error;
      await clock.sleep(random.next() * 100 * Math.min(attempt, 5));
    }
  }
}

function checkRole(collection: CatalogCollection, result: SqlResult | undefined): void {
  const role = result?.rows[0]?.[0];
  if (role !== 'authority' && role !== 'sealed') return;
  throw new ChangeoverError(
    'AUTHORITY_FENCED',
    `"${collection.collection}" is not emptied: this store is ${role}.`,
  );
}

const tablesOf = ({ root, children }: CatalogCollection): readonly string[] => [
  ...new Set([...children, root].map(({ quoted }) => quoted)),
];

/** Fences go last, chunks first: what is stopped in between has at most fences too many. */
function truncateUnderLocks(
  { session, layout }: MysqlStoreParts,
  collection: CatalogCollection,
  installed: boolean,
): Promise<void> {
  const tables = tablesOf(collection);
  const what = `emptying of "${collection.collection}"`;
  const own = installed
    ? [`${layout.guard} READ`, `${layout.fence} WRITE`, `${layout.chunk} WRITE`]
    : [];
  const name = quoteLiteral(collection.collection);
  return session.alone(
    async (client) => {
      const run = (statements: readonly string[]): Promise<readonly SqlResult[]> =>
        flyUntil(client, statements, TRUNCATE_MS, session.runtime.clock, what, () => cut(client));
      await run(['SET SESSION lock_wait_timeout = 1']);
      await run([`LOCK TABLES ${[...own, ...tables.map((one) => `${one} WRITE`)].join(', ')}`]);
      if (installed) {
        const [role] = await run([`SELECT role FROM ${layout.guard}`]);
        checkRole(collection, role);
        await run([`DELETE FROM ${layout.chunk} WHERE collection = ${name}`]);
      }
      for (const table of tables) await run([`TRUNCATE TABLE ${table}`]);
      if (installed) await run([`DELETE FROM ${layout.fence} WHERE collection = ${name}`]);
    },
    { timeoutMs: TRUNCATE_MS, what },
  );
}

async function deleteRows(
  { session, layout }: MysqlStoreParts,
  collection: CatalogCollection,
  installed: boolean,
): Promise<void> {
  const name = quoteLiteral(collection.collection);
  // The mark of the guard's own epoch, which cannot be known before it is locked.
  const epoch = installed
    ? Number((await session.query(`SELECT epoch FROM ${layout.guard}`)).rows[0]?.[0])
    : 0;
  await session.transaction(
    async (transaction) => {
      if (installed) {
        checkRole(
          collection,
          await transaction.query(
            `SELECT role FROM ${layout.guard} WHERE one = 1 LOCK IN SHARE MODE`,
          ),
        );
        await transaction.run([
          `DELETE FROM ${layout.fence} WHERE collection = ${name}`,
          `DELETE FROM ${layout.chunk} WHERE collection = ${name}`,
        ]);
      }
      await transaction.run(tablesOf(collection).map((table) => `DELETE FROM ${table}`));
    },
    {
      timeoutMs: TRUNCATE_MS,
      mark: `door:${epoch}`,
      what: `emptying of "${collection.collection}"`,
    },
  );
}
