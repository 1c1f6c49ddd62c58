import pg from 'pg';
import { messageOf } from '../../errors/index.ts';
import type { Side } from '../../migration/index.ts';
import type { Finding, StoreSign } from '../../store/index.ts';
import type { PgBouncerConsole } from './pgbouncer-console.ts';
import { describeEndpoint, type Endpoint } from './pgbouncer-file.ts';
import type { pgbouncerFindings } from './pgbouncer-finding-table.ts';

/** Who logs in to look through a line. */
export interface PgBouncerLogin {
  readonly user: string;
  readonly password?: string;
}

/** The database behind which the line of one side stands all the time, to be looked through before traffic is led there. */
export const lookName = (database: string, side: Side): string =>
  `changeover_look_${side}_${database}`;

/** Beside the line of a database: the lines of both sides, one connection each. */
export const lookLines = (
  database: string,
  lines: Readonly<Record<Side, string>>,
): readonly (readonly [string, string])[] =>
  (['source', 'target'] as const).map((side) => [
    lookName(database, side),
    /\bpool_size\s*=/.test(lines[side]) ? lines[side] : `${lines[side]} pool_size=1`,
  ]);

/** What is looked for. */
export interface PgBouncerLook {
  readonly name: string;
  readonly admin: string;
  readonly login: PgBouncerLogin | undefined;
  readonly side: Side;
  /** Database → where its line for the side leads. */
  readonly ends: ReadonlyMap<string, Endpoint>;
  readonly sign: StoreSign;
  readonly ms: number;
}

/**
 * Does the line of each database for one side lead to the store of that side? An address can look right and be another database, on which there is no guard: so each line
 * is looked through, by a connection like the application's.
 */
export async function lookThrough(
  console: PgBouncerConsole,
  look: PgBouncerLook,
): Promise<readonly Finding[]> {
  const { name, side, ends } = look;
  const known = await console.databases(look.ms);
  const found = [...ends].map(async ([database, end]): Promise<Finding> => {
    const line = `The line of "${database}" of ${name} for the ${side} (${describeEndpoint(end)})`;
    if (!known.has(lookName(database, side)))
      return finding(
        'not-looked',
        'warn',
        `${line} was not looked through: its file has no line "${lookName(database, side)}" yet.`,
        'Nothing to do: a switch writes it, and looks before it begins. To look now, replace the file with the text of finding `pgbouncer/file` and RELOAD.',
      );
    try {
      if (await answers(look, database))
        return finding('same-store', 'pass', `${line} leads to the ${side}.`, '');
    } catch (error) {
      return finding(
        'no-look',
        'unknown',
        `${line} cannot be looked through: ${messageOf(error)}.`,
        'Name a user whom PgBouncer and both servers let in, such as the application’s, in `login`; or start the server.',
      );
    }
    return finding(
      'other-store',
      'fail',
      `${line} leads to another database than the ${side} of this migration: what would be written there is guarded by nobody, and lost.`,
      'Correct `databases`: both have to lead to one database, as PgBouncer sees it.',
    );
  });
  return Promise.all(found);
}

async function answers(
  { admin, login, side, sign, ms }: PgBouncerLook,
  database: string,
): Promise<boolean> {
  const url = new URL(admin);
  url.pathname = `/${encodeURIComponent(lookName(database, side))}`;
  if (login !== undefined) {
    url.username = encodeURIComponent(login.user);
    url.password = encodeURIComponent(login.password ?? '');
  }
  const client = new pg.Client({
    connectionString: url.href,
    connectionTimeoutMillis: ms,
    query_timeout: ms,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<unknown[]>({ text: sign.question, rowMode: 'array' });
    return rows[0]?.[0] === true;
  } finally {
    void client.end().catch(() => {});
  }
}

const finding = (
  id: keyof typeof pgbouncerFindings,
  verdict: Finding['verdict'],
  message: string,
  fix: string,
): Finding => ({ id: `pgbouncer/${id}`, verdict, message, fix });
