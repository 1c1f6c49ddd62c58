import { hasPostgres } from '../../src/demo/private-postgres.ts';

/**
 * For `test.skipIf(missing('...', found))`: true when a requirement is absent and the test may be
 * skipped. In CI nothing may be missing, so there it throws instead, which fails the file.
 */
export function missing(requirement: string, found: boolean): boolean {
  if (found) return false;
  const ci = process.env['CI'];
  if (ci !== undefined && ci !== '' && ci !== 'false') {
    throw new Error(`${requirement} is missing, and in CI nothing may be skipped for that`);
  }
  return true;
}

/** True when there is no installed PostgreSQL (with psql, pgbench, contrib); see `missing`. */
export function missingSystemPostgres(): boolean {
  return missing('a PostgreSQL server of the system', hasPostgres('system'));
}
