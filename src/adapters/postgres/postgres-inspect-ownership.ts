import type { Finding, InspectPlan } from '../../store/index.ts';
import type { CatalogTable } from './postgres-catalog.ts';
import { finding } from './postgres-finding.ts';
import { guardTriggerName } from './postgres-guard-triggers.ts';
import { quoteIdentifier } from './postgres-text.ts';
import type { WriteParts } from './postgres-write.ts';

/**
 * Tables of others, the partitions included. `start` creates the guard's triggers on every table of either store and disables them, which only an owner may: it fails
 * for those that carry none yet. With triggers of an earlier start it is the write switch that fails.
 */
export async function ownershipFindings(
  { session, layout }: WriteParts,
  table: CatalogTable,
): Promise<readonly Finding[]> {
  const { rows } = await session.query(
    `WITH RECURSIVE tables(oid) AS (
      SELECT $1::oid UNION SELECT i.inhrelid FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)
     SELECT CASE WHEN c.oid = $1::oid THEN $3::text ELSE format('"%s"."%s"', n.nspname, c.relname) END, current_user,
       EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = $2)
     FROM tables t JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'f') AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY c.oid <> $1::oid, 1`,
    [table.oid, guardTriggerName(layout), table.quoted],
    { what: `inspection of the owner of ${table.quoted}` },
  );
  return rows.map(([quoted, user, guarded]) =>
    finding(
      'ownership',
      guarded === 't' ? 'warn' : 'fail',
      `"${user}" does not own ${quoted}: ${
        guarded === 't'
          ? 'guard and outbox triggers cannot be switched on and off'
          : 'start cannot make the triggers of the guard, which are created and disabled'
      }.`,
      `ALTER TABLE ${quoted} OWNER TO ${quoteIdentifier(user ?? '')}, or GRANT the owning role to ${quoteIdentifier(user ?? '')}`,
    ),
  );
}

/** What `backfill.deferIndexes` needs: whoever takes an index down has to be able to make it again. */
export async function deferralFindings(
  { session }: WriteParts,
  table: CatalogTable,
  { deferIndexes = 'none' }: InspectPlan,
): Promise<readonly Finding[]> {
  if (deferIndexes === 'none') return [];
  const { rows } = await session.query(
    `SELECT current_user, n.nspname, pg_has_role(c.relowner, 'USAGE'), has_schema_privilege(n.oid, 'CREATE')
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::oid`,
    [table.oid],
    { what: `inspection of the indexes of ${table.quoted}` },
  );
  const [user = '', schema, owns, creates] = (rows[0] ?? []).map((value) => value ?? '');
  const otherwise = `or leave backfill.deferIndexes at 'none'`;
  if (owns !== 't') {
    return [
      finding(
        'defer-indexes',
        'fail',
        `backfill.deferIndexes is '${deferIndexes}', and "${user}" does not own ${table.quoted}: its indexes cannot be taken down.`,
        `ALTER TABLE ${table.quoted} OWNER TO ${quoteIdentifier(user)}, ${otherwise}`,
      ),
    ];
  }
  if (creates === 't') return [];
  return [
    finding(
      'defer-indexes',
      'warn',
      `backfill.deferIndexes is '${deferIndexes}', and "${user}" may not create indexes in schema ${quoteIdentifier(schema ?? '')}: those of ${table.quoted} stay up during the copy.`,
      `GRANT CREATE ON SCHEMA ${quoteIdentifier(schema ?? '')} TO ${quoteIdentifier(user)}, ${otherwise}`,
    ),
  ];
}
