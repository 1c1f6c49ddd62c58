import { isChangeoverError } from '../../errors/index.ts';
import type { StoreFacts, TableLimits } from '../../store/index.ts';
import type { CatalogTable } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { quoteLiteral } from './mysql-text.ts';

/** What MySQL and MariaDB tell of themselves to whoever compares two stores. */
export function createMysqlFacts({ session, catalog }: MysqlStoreParts): StoreFacts {
  return {
    async now() {
      const { rows } = await session.query('SELECT ROUND(UNIX_TIMESTAMP(SYSDATE(6)) * 1000)', {
        what: 'a look at the clock',
        timeoutMs: 10_000,
      });
      return Number(rows[0]?.[0]);
    },

    async limits(name) {
      const { root, children, flavour } = await catalog.collection(name);
      const looks = [
        { field: null, table: root },
        ...children.map((child) => ({ field: child.field, table: child as CatalogTable })),
      ];
      const checks = flavour.name === 'mariadb' ? mariadbChecks : mysqlChecks;
      const results = await session.run(
        looks.flatMap(({ table }) => [checks(table), bytes(table)]),
        { what: `limits of "${name}"` },
      );
      return looks.map(({ field, table }, index): TableLimits => {
        const size = results[index * 2 + 1]?.rows[0]?.[0];
        return {
          field,
          table: table.quoted,
          notNull: table.columns.filter(({ notNull }) => notNull).map((column) => column.name),
          unique: table.uniqueIndexes.filter(
            (one) => one.whole && one.name !== table.keyIndex.name,
          ),
          checks: (results[index * 2]?.rows ?? []).map(([check, condition]) => ({
            name: check ?? '',
            condition: condition ?? '',
          })),
          bytes: size == null ? null : Number(size),
        };
      });
    },

    async space() {
      const growth = await session.query(
        `SHOW GLOBAL STATUS WHERE Variable_name IN ('Binlog_bytes_written', 'Uptime')`,
        { what: 'a look at the log' },
      );
      const status = new Map(growth.rows.map(([key, value]) => [key, Number(value)]));
      const [written, uptime = 0] = [status.get('Binlog_bytes_written'), status.get('Uptime')];
      const known = written !== undefined && uptime > 60;
      return {
        ...(await freeSpace(session)),
        logBytesPerHour: known ? Math.round((written / uptime) * 3_600) : null,
      };
    },
  };
}

const place = ({ database, name }: CatalogTable, schema: string, table: string): string =>
  `${schema} = ${quoteLiteral(database)} AND ${table} = ${quoteLiteral(name)}`;

/** What makes a text a JSON column is no limit of its own. */
const NOT_JSON = `k.CHECK_CLAUSE NOT LIKE 'json\\_valid(%'`;

const mariadbChecks = (table: CatalogTable): string =>
  `SELECT k.CONSTRAINT_NAME, k.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS k
    WHERE ${place(table, 'k.CONSTRAINT_SCHEMA', 'k.TABLE_NAME')} AND ${NOT_JSON} ORDER BY 1`;

const mysqlChecks = (table: CatalogTable): string =>
  `SELECT k.CONSTRAINT_NAME, k.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS k
    JOIN information_schema.TABLE_CONSTRAINTS c ON c.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = k.CONSTRAINT_NAME
    WHERE ${place(table, 'c.TABLE_SCHEMA', 'c.TABLE_NAME')} ORDER BY 1`;

const bytes = (table: CatalogTable): string =>
  `SELECT t.DATA_LENGTH + t.INDEX_LENGTH FROM information_schema.TABLES t WHERE ${place(table, 't.TABLE_SCHEMA', 't.TABLE_NAME')}`;

/** MariaDB tells it with its plugin DISKS, to users with FILE. */
async function freeSpace(
  session: MysqlStoreParts['session'],
): Promise<{ readonly freeBytes: number | null; readonly unread: string }> {
  try {
    const { rows } = await session.query(
      `SELECT d.Available * 1024 FROM information_schema.DISKS d
        WHERE LEFT(@@datadir, CHAR_LENGTH(d.Path)) = d.Path ORDER BY CHAR_LENGTH(d.Path) DESC LIMIT 1`,
      { what: 'a look at the disk' },
    );
    const free = rows[0]?.[0];
    if (free != null) return { freeBytes: Number(free), unread: '' };
    return { freeBytes: null, unread: 'no disk of information_schema.DISKS holds its data' };
  } catch (error) {
    // Neither plugin nor privilege: which of the two makes no difference to the reader. A server that is away is told by others as well.
    if (!isChangeoverError(error, 'STORE_REJECTED')) throw error;
    return {
      freeBytes: null,
      unread:
        "it is told only by MariaDB's plugin DISKS (INSTALL SONAME 'disks'), to users with FILE",
    };
  }
}
