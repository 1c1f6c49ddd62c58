import type { Finding } from '../../store/index.ts';
import type { CatalogTable } from './postgres-catalog.ts';
import { finding } from './postgres-finding.ts';
import { quoteIdentifier } from './postgres-text.ts';
import type { WriteParts } from './postgres-write.ts';

/** What the authority's triggers have done arrives as changes; the same triggers here would do it again. Those of foreign keys are internal. */
export async function triggerFindings(
  { session, layout }: WriteParts,
  { oid, quoted }: CatalogTable,
): Promise<readonly Finding[]> {
  const { rows } = await session.query(
    `SELECT g.tgname FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
      WHERE g.tgrelid = $1::oid AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 28 <> 0
        AND p.pronamespace <> coalesce(pg_catalog.to_regnamespace($2)::oid, 0) ORDER BY 1`,
    [oid, layout.quotedSchema],
    { what: `inspection of ${quoted}` },
  );
  return rows.map(([name]) =>
    finding(
      'trigger',
      'warn',
      `Trigger ${quoteIdentifier(name ?? '')} of ${quoted} runs for the door's writes as well: what the other side's triggers have done arrives as changes, and would be done again.`,
      `ALTER TABLE ${quoted} DISABLE TRIGGER ${quoteIdentifier(name ?? '')} until the switch of writes, and ENABLE it then; or begin its function with: IF current_setting('changeover.mark', true) LIKE 'door%' THEN RETURN NEW; END IF (BEFORE … DELETE: RETURN OLD)`,
    ),
  );
}
