import { ChangeoverError } from '../../errors/index.ts';
import type { GuardRole, GuardState } from '../../store/index.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { SqlResult } from './mysql-session.ts';
import { literal, quoteLiteral } from './mysql-text.ts';

/** What a change means for foreign writers. */
export interface ForeignPlan {
  /** What becomes of `admission`; null: it stays. */
  readonly admission: 'open' | 'shut' | null;
  /** `make`: triggers are prepared, without effect yet. `need`: they have to be there. `drop`: all of them go. */
  readonly triggers: 'make' | 'need' | 'drop' | null;
  /** The attempt in whose name triggers are made. */
  readonly maker: string;
}

/** Role, epoch, attempt. */
export const look = (guard: string): string =>
  `SELECT role, epoch, attempt FROM ${guard} WHERE one = 1`;

/** Whether foreign writers are let in. */
export const isOpen = (layout: MysqlLayout): string =>
  `SELECT open FROM ${layout.admission} WHERE one = 1`;

/** Both rows in one statement: under table locks each statement commits by itself. */
export function set(
  { guard, admission }: MysqlLayout,
  { role, epoch, attempt }: GuardState,
  open: boolean | null,
): string {
  // No aliases: under LOCK TABLES they would be other tables.
  const row = `${guard}.role = ${quoteLiteral(role)}, ${guard}.epoch = ${Math.trunc(epoch)}, ${guard}.attempt = ${literal(attempt)}`;
  if (open === null) return `UPDATE ${guard} SET ${row} WHERE ${guard}.one = 1`;
  return `UPDATE ${guard} JOIN ${admission} ON ${admission}.one = ${guard}.one SET ${row}, ${admission}.open = ${open ? 1 : 0} WHERE ${guard}.one = 1`;
}

/** What `look` found. */
export function stateIn(rows: SqlResult['rows'] | undefined): GuardState {
  const [role, epoch, attempt] = rows?.[0] ?? [];
  if (role == null) throw new ChangeoverError('BUG', 'The guard has no row.');
  return { role: role as GuardRole, epoch: Number(epoch), attempt: attempt ?? null };
}

/** Whether nothing differs. */
export const same = (a: GuardState, b: GuardState): boolean =>
  a.role === b.role && a.epoch === b.epoch && a.attempt === b.attempt;
