/**
 * Global setup of the projects that need a database: one private server for the whole run. The
 * tests learn its address through `provide`/`inject`; `databases.ts` is what they use.
 *
 * `CHANGEOVER_TEST_POSTGRES` chooses the server: `system`, `embedded`, or a connection string of
 * a superuser on a server of yours with wal_level = logical. Default: the system's, which brings
 * contrib and pgbench, else the embedded one.
 */
import type { TestProject } from 'vitest/node';
import { hasPostgres, startPrivatePostgres } from '../../src/demo/private-postgres.ts';

export interface SharedPostgres {
  /** Connection string of a superuser, database `postgres`. */
  readonly url: string;
  readonly version: string;
  /** Where the server's programs are, undefined for a server that was not started by us. */
  readonly binDir: string | undefined;
}

declare module 'vitest' {
  export interface ProvidedContext {
    postgres: SharedPostgres;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const choice = process.env['CHANGEOVER_TEST_POSTGRES'];
  if (choice?.includes('://')) {
    project.provide('postgres', { url: choice, version: 'given', binDir: undefined });
    return async () => {};
  }
  const fallback = hasPostgres('system') ? 'system' : 'embedded';
  const source = choice === 'system' || choice === 'embedded' ? choice : fallback;
  const server = await startPrivatePostgres({ source });
  const { version, binDir } = server;
  project.provide('postgres', { url: server.url(), version, binDir });
  return () => server.stop();
}
