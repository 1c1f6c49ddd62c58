import type { Finding } from '../../store/index.ts';
import type { postgresFindings } from './postgres-finding-table.ts';

/** Ids are stable, and stand in the table that the reference is made of. */
export type PostgresFindingId = keyof typeof postgresFindings;

/** Nothing to do. */
export const pass = (id: PostgresFindingId, message: string): Finding => ({
  id: `postgres/${id}`,
  verdict: 'pass',
  message,
  fix: '',
});

/** A finding that needs something done; ids are stable. */
export const finding = (
  id: PostgresFindingId,
  verdict: 'warn' | 'fail' | 'unknown',
  message: string,
  fix: string,
): Finding => ({ id: `postgres/${id}`, verdict, message, fix });
