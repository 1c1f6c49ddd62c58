import { spawnSync } from 'node:child_process';
import { hasPostgres } from '../../src/demo/private-postgres.ts';
import { hasMariadb } from './mariadb-programs.ts';
import { hasPgBouncer } from './private-pgbouncer.ts';

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

/** True when there is no installed MariaDB server; see `missing`. */
export function missingMariadb(): boolean {
  return missing('a MariaDB server', hasMariadb());
}

/** True when sysbench, which writes traffic of its own on MariaDB, is not installed; see `missing`. */
export function missingSysbench(): boolean {
  return missing('sysbench', spawnSync('sysbench', ['--version']).error === undefined);
}

/** True when PgBouncer is not installed; see `missing`. */
export function missingPgBouncer(): boolean {
  return missing('PgBouncer', hasPgBouncer());
}
