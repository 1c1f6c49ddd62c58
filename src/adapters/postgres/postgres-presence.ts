import { sqlStateOf } from './postgres-errors.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresSession } from './postgres-session.ts';
import { quoteLiteral } from './postgres-text.ts';

/** Whether our schema is in the database. Known presence is remembered until something of ours is missing; absence never is. */
export interface PostgresPresence {
  /** What is known without asking. */
  readonly known: boolean;
  /** Asks unless it is known to be there. */
  check(): Promise<boolean>;
  found(installed: boolean): void;
  /** True when the error says that our schema, or something in it, is not there; then it is forgotten. */
  isMissing(error: unknown): boolean;
}

/** One column: not null when our schema is there. */
export function presenceQuery(layout: PostgresLayout): string {
  return `SELECT to_regclass(${quoteLiteral(layout.guard)})`;
}

const MISSING = new Set(['3F000', '42P01', '42883', '42704']);

export function createPostgresPresence(
  session: PostgresSession,
  layout: PostgresLayout,
): PostgresPresence {
  let known = false;
  return {
    get known() {
      return known;
    },
    async check() {
      if (known) return true;
      const { rows } = await session.query(presenceQuery(layout), [], {
        what: 'look for our schema',
      });
      known = rows[0]?.[0] !== null;
      return known;
    },
    found(installed) {
      known = installed;
    },
    isMissing(error) {
      if (!MISSING.has(sqlStateOf(error) ?? '')) return false;
      known = false;
      return true;
    },
  };
}
