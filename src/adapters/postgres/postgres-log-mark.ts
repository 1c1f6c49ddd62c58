import type { PostgresLayout } from './postgres-schema.ts';

/**
 * Prefix of the message by which a transaction of our door is told in this store's own log, and left out, so that nothing travels in a circle; its content is
 * the migration. Left before the first row change (`postgres-door-entry.ts`), outside of savepoints that may be rolled back.
 */
export const DOOR_PREFIX = 'changeover';

/** Prefix of the message that `ChangeSource.challenge` leaves; its content is `challengeText`. */
export const CHALLENGE_PREFIX = 'changeover-challenge';

/** Challenges of several migrations share one log. */
export function challengeText(layout: PostgresLayout, token: string): string {
  return `${layout.schema} ${token}`;
}

/** The token of a challenge of this side of this migration; null: somebody else's. */
export function challengeToken(layout: PostgresLayout, content: string): string | null {
  const own = `${layout.schema} `;
  return content.startsWith(own) ? content.slice(own.length) : null;
}
