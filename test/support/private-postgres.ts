import { afterAll } from 'vitest';
import {
  type PrivatePostgres,
  type PrivatePostgresOptions,
  startPrivatePostgres,
} from '../../src/demo/private-postgres.ts';
import { sharedPostgres } from './databases.ts';

/**
 * A server for this file alone, for tests that kill, freeze or configure it. Same programs as
 * the shared one unless `source` says otherwise. Stopped at the end of the surrounding block:
 * call it at the top of a file, in `describe` or in a `beforeAll`.
 */
export function useServer(options: PrivatePostgresOptions = {}): Promise<PrivatePostgres> {
  const source = sharedPostgres().binDir?.includes('node_modules') ? 'embedded' : 'any';
  const starting = startPrivatePostgres({ source, ...options });
  // A failed start is reported where it is awaited.
  starting.catch(() => {});
  afterAll(async () => {
    const server = await starting.catch(() => undefined);
    await server?.stop();
  });
  return starting;
}
