import { errnoOf } from './mysql-errors.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** Whether our database is on the server. Known presence is remembered until something of ours is missing; absence never is. */
export interface MysqlPresence {
  /** What is known without asking. */
  readonly known: boolean;
  /** Asks unless it is known to be there. */
  check(): Promise<boolean>;
  found(installed: boolean): void;
  /** True when the error says that our database, or something in it, is not there; then it is forgotten. */
  isMissing(error: unknown): boolean;
}

/** One column: not null when our tables are there. */
export function presenceQuery(layout: MysqlLayout): string {
  return `SELECT (SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${quoteLiteral(layout.database)} AND TABLE_NAME = 'guard')`;
}

/**
 * No such database, table, procedure. A user without privileges on it is told "denied" (1142, 1370) where nothing is there, and where something is: that is
 * not taken for missing.
 */
const MISSING = new Set([1008, 1049, 1146, 1305]);

export function createMysqlPresence(session: MysqlSession, layout: MysqlLayout): MysqlPresence {
  let known = false;
  return {
    get known() {
      return known;
    },
    async check() {
      if (known) return true;
      const { rows } = await session.query(presenceQuery(layout), {
        what: 'look for our database',
      });
      known = rows[0]?.[0] !== null;
      return known;
    },
    found(installed) {
      known = installed;
    },
    isMissing(error) {
      if (!MISSING.has(errnoOf(error) ?? 0)) return false;
      known = false;
      return true;
    },
  };
}
