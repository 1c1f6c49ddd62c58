import type { GrantPlan } from '../../store/index.ts';
import { quoteTable } from './postgres-catalog-query.ts';
import { displayAddress, type PostgresOptions } from './postgres-connections.ts';
import { quoteIdentifier, quoteLiteral } from './postgres-text.ts';

/**
 * The statements that make a role which may do what the migration does in every phase, and nothing else. Nothing is contacted: who owns the tables is looked up by
 * the statements themselves. For a superuser, or somebody who may grant all this, in the database of the store.
 */
export function postgresGrants(options: PostgresOptions, plan: GrantPlan): readonly string[] {
  const { username, pathname } = new URL(displayAddress(options));
  const given = decodeURIComponent(username);
  // An administrator's address has been used so far: the fresh role is not to be one.
  const name = given === '' || given === 'postgres' ? 'changeover' : given;
  const role = quoteIdentifier(name);
  const database = quoteIdentifier(decodeURIComponent(pathname.slice(1)) || given);
  const tables = plan.tables.map((table) => `${quoteLiteral(quoteTable(table))}::regclass`);
  return [
    plan.logged
      ? `-- REPLICATION: to read the log. On Amazon RDS leave it out, and: GRANT rds_replication TO ${role};\nCREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'choose-one';`
      : `CREATE ROLE ${role} LOGIN PASSWORD 'choose-one';`,
    `-- our schema${plan.logged ? ' and the publication' : ''}\nGRANT CREATE ON DATABASE ${database} TO ${role};`,
    `-- the rights of those who own the tables: only an owner may enable and disable triggers${plan.logged ? ', and publish a table' : ''}${plan.defersIndexes ? ', and take indexes down' : ''}
DO $grants$
DECLARE
  found record;
BEGIN
  FOR found IN
    WITH RECURSIVE tables(oid) AS (
      SELECT unnest(ARRAY[${tables.join(', ')}])::oid
      UNION SELECT i.inhrelid FROM tables t JOIN pg_inherits i ON i.inhparent = t.oid)
    SELECT DISTINCT r.rolname, r.rolsuper, n.nspname
    FROM tables t JOIN pg_class c ON c.oid = t.oid JOIN pg_roles r ON r.oid = c.relowner JOIN pg_namespace n ON n.oid = c.relnamespace
  LOOP
    IF found.rolsuper THEN
      RAISE EXCEPTION 'Tables in schema % belong to superuser %: give them an owner that is none (ALTER TABLE ... OWNER TO ...), or the migration would have all its rights.', found.nspname, found.rolname;
    END IF;
    EXECUTE format('GRANT USAGE${plan.defersIndexes ? ', CREATE' : ''} ON SCHEMA %I TO %I', found.nspname, ${quoteLiteral(name)});
    EXECUTE format('GRANT %I TO %I', found.rolname, ${quoteLiteral(name)});
  END LOOP;
END
$grants$;`,
    `-- worth having, not needed: without it idle transactions of others are not told from busy ones\n-- GRANT pg_read_all_stats TO ${role};`,
  ];
}
