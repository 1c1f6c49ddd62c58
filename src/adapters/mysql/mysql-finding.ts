import type { Finding } from '../../store/index.ts';

/** Nothing to do. */
export const pass = (id: string, message: string): Finding => ({
  id: `mysql/${id}`,
  verdict: 'pass',
  message,
  fix: '',
});

/** A finding that needs something done; ids are stable. */
export const finding = (
  id: string,
  verdict: 'warn' | 'fail' | 'unknown',
  message: string,
  fix: string,
): Finding => ({ id: `mysql/${id}`, verdict, message, fix });
