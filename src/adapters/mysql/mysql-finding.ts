import type { Finding } from '../../store/index.ts';
import type { mysqlFindings } from './mysql-finding-table.ts';

/** Ids are stable, and stand in the table that the reference is made of. */
export type MysqlFindingId = keyof typeof mysqlFindings;

/** Nothing to do. */
export const pass = (id: MysqlFindingId, message: string): Finding => ({
  id: `mysql/${id}`,
  verdict: 'pass',
  message,
  fix: '',
});

/** A finding that needs something done; ids are stable. */
export const finding = (
  id: MysqlFindingId,
  verdict: 'warn' | 'fail' | 'unknown',
  message: string,
  fix: string,
): Finding => ({ id: `mysql/${id}`, verdict, message, fix });
