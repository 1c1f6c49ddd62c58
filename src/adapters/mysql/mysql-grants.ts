import type { GrantPlan } from '../../store/index.ts';
import { addressOf, type MysqlOptions } from './mysql-options.ts';
import { mysqlLayout } from './mysql-schema.ts';
import { quoteIdentifier, quoteLiteral } from './mysql-text.ts';

/** Databases in grants are patterns: `_` is a wildcard. */
const pattern = (database: string): string => quoteIdentifier(database.replace(/[_%]/g, '\\$&'));

/**
 * The statements that make a user who may do what the migration does in every phase, and nothing else. Nothing is contacted. For an administrator; the tables have
 * to be there.
 */
export function mysqlGrants(options: MysqlOptions, plan: GrantPlan): readonly string[] {
  const { user: given = '', database = '' } = addressOf(options);
  // An administrator's address has been used so far: the fresh user is not to be one.
  const user = given === '' || given === 'root' ? 'changeover' : given;
  const who = `${quoteLiteral(user)}@'%'`;
  const tables = plan.tables.map((table) => {
    const dot = table.indexOf('.');
    return { database: dot < 0 ? database : table.slice(0, dot), name: table.slice(dot + 1) };
  });
  const own = mysqlLayout(plan.migration, plan.side).database;
  return [
    `CREATE USER ${who} IDENTIFIED BY 'choose-one';`,
    ...(plan.logged
      ? [
          `-- the log, and where it stands\nGRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO ${who};`,
        ]
      : []),
    `-- the tables; TRIGGER: the guard; ALTER: the switch raises AUTO_INCREMENT (leave it out of tables without one)\n${tables
      .map(
        (one) =>
          `GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER, ALTER ON ${quoteIdentifier(one.database)}.${quoteIdentifier(one.name)} TO ${who};`,
      )
      .join('\n')}`,
    `-- the guard waits for writers that do not know of us; this one is of databases only\n${[
      ...new Set(tables.map((one) => one.database)),
    ]
      .map((one) => `GRANT LOCK TABLES ON ${pattern(one)}.* TO ${who};`)
      .join('\n')}`,
    `-- our own database\nGRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, EXECUTE, CREATE ROUTINE, LOCK TABLES ON ${pattern(own)}.* TO ${who};`,
    '-- beside a binary log triggers are made only after this, or with SUPER; in the configuration file as well\nSET GLOBAL log_bin_trust_function_creators = 1;',
    ...(plan.logged
      ? [
          `-- a table that one of these refers to with ON DELETE or ON UPDATE, and that is not among them (check names it):\n-- GRANT SELECT, TRIGGER ON … TO ${who};`,
        ]
      : []),
  ];
}
