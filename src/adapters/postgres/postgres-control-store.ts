import type { ControlConnector } from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { createSqlControlStore } from '../sql-control/index.ts';
import { createPostgresControlEngine } from './postgres-control-engine.ts';

export interface PostgresControlOptions {
  /** `postgres://user:password@host:port/database`. Not the source's or target's own server, or it falls with that. */
  readonly url: string;
  /** Schema for our tables; made when it is missing. Default `changeover_control`. */
  readonly schema?: string;
}

/**
 * The control store in PostgreSQL, for a fleet on several hosts. Changes of state are notified; every instance polls each 750 ms as
 * well, each 250 ms while it hears no notifications. Opens lazily and comes back by itself. Errors of calls: CONTROL_UNAVAILABLE, CONFIG_INVALID (privileges, newer format).
 * Throws CONFIG_INVALID at once when `url` is no PostgreSQL address.
 */
export function postgresControl(options: PostgresControlOptions): ControlConnector {
  const schema = options.schema ?? 'changeover_control';
  const display = displayOf(options.url, schema);
  return {
    display,
    connect: async (runtime) =>
      createSqlControlStore(createPostgresControlEngine(options.url, display, schema, runtime)),
  };
}

function displayOf(url: string, schema: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw invalid('it cannot be parsed');
  }
  if (!/^postgres(ql)?:$/.test(parsed.protocol))
    throw invalid(`it begins with ${parsed.protocol}//`);
  if (schema.length > 50)
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `The control schema "${schema}" is longer than 50 characters.`,
    );
  const user = parsed.username === '' ? '' : `${decodeURIComponent(parsed.username)}@`;
  return `postgres://${user}${parsed.host}${parsed.pathname} (schema ${schema})`;
}

const invalid = (why: string): ChangeoverError =>
  new ChangeoverError(
    'CONFIG_INVALID',
    `The address of the control store is not of the form postgres://user:password@host:port/database (${why}).`,
  );
