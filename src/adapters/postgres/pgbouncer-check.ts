import { messageOf } from '../../errors/index.ts';
import type { Side } from '../../migration/index.ts';
import type { Finding } from '../../store/index.ts';
import type { PgBouncerConsole, ShownDatabase } from './pgbouncer-console.ts';
import { describeEndpoint, type Endpoint } from './pgbouncer-file.ts';
import type { pgbouncerFindings } from './pgbouncer-finding-table.ts';

/** What a PgBouncer has to be like. */
export interface WantedPgBouncer {
  readonly name: string;
  readonly authority: Side;
  /** Database → where it has to lead now. */
  readonly wanted: ReadonlyMap<string, Endpoint>;
  /** Of each command. */
  readonly ms: number;
}

type Row = Readonly<Record<string, unknown>>;

/** Clients that wait longer are thrown out; a switch that is undone may take about so long. */
const WAIT_SECONDS_MIN = 15;

/** Can it be paused, may we, and where does it lead? Changes nothing. */
export async function inspectPgBouncer(
  console: PgBouncerConsole,
  about: WantedPgBouncer,
): Promise<readonly Finding[]> {
  const { name, wanted, ms } = about;
  const [settings = [], pools = []] = await console.run(['SHOW CONFIG', 'SHOW POOLS'], ms);
  const setting = (key: string): string =>
    String(settings.find((row) => row['key'] === key)?.['value'] ?? '');
  const databases = await console.databases(ms);
  const findings: Finding[] = [];
  for (const [database, endpoint] of wanted) {
    const shown = databases.get(database);
    if (shown === undefined) {
      findings.push(
        fail(
          'database',
          `${name} has no database "${database}".`,
          'Correct `databases`, or include the file and RELOAD.',
        ),
      );
      continue;
    }
    findings.push(
      placeOf(shown, endpoint, about),
      modeOf(shown, setting('pool_mode'), pools, name),
      await permission(console, shown, about),
    );
  }
  if (await isPausedAsAWhole(console, ms))
    findings.push(fail('all-paused', allPaused(name), 'Ask who did it; RESUME.'));
  const waits = Number(setting('query_wait_timeout'));
  if (waits > 0 && waits < WAIT_SECONDS_MIN)
    findings.push(
      warn(
        'query-wait-timeout',
        `${name} throws clients out that wait for ${waits} s (query_wait_timeout); a switch that is undone may take as long.`,
        `query_wait_timeout = ${WAIT_SECONDS_MIN * 2}`,
      ),
    );
  const retry = Number(setting('server_login_retry'));
  if (retry > 1)
    findings.push(
      warn(
        'server-login-retry',
        `After one failed login to a server ${name} refuses every client for ${retry} s (server_login_retry).`,
        'server_login_retry = 1',
      ),
    );
  return findings;
}

/** A paused one is somebody else's pause, or what a switch left: we would let go what a person holds. */
function placeOf(
  shown: ShownDatabase,
  wanted: Endpoint,
  { name, authority }: WantedPgBouncer,
): Finding {
  const { name: database } = shown;
  if (shown.paused)
    return fail(
      'paused',
      `"${database}" of ${name} is paused.`,
      `If no change of authority is under way: changeover switch-writes --recover, or RESUME ${database}; a worker does it for a change of authority that ended.`,
    );
  const [there, here] = [describeEndpoint(shown), describeEndpoint(wanted)];
  if (there !== here)
    return fail(
      'elsewhere',
      `"${database}" of ${name} leads to ${there}, not to the ${authority} at ${here}.`,
      'changeover switch-writes --recover points it there; or correct `databases`.',
    );
  return pass('place', `"${database}" of ${name} leads to the ${authority}.`);
}

function modeOf(
  shown: ShownDatabase,
  byDefault: string,
  pools: readonly Row[],
  name: string,
): Finding {
  const { name: database, poolMode } = shown;
  const own = pools.filter((pool) => pool['database'] === database);
  const users = own.filter((pool) => pool['pool_mode'] === 'session').map((pool) => pool['user']);
  const session = (poolMode ?? byDefault) === 'session';
  if (!session && users.length === 0)
    return pass(
      'pooling',
      `"${database}" of ${name} is in ${poolMode ?? byDefault} pooling: PAUSE waits for transactions.`,
    );
  const who = session ? '' : ` for ${users.join(', ')}`;
  return fail(
    'session-pooling',
    `"${database}" of ${name} is in session pooling${who}: PAUSE would wait until every client has gone away.`,
    `pool_mode = transaction for "${database}", where the application can do with it; otherwise stop the application for the switch.`,
  );
}

/**
 * RESUME of a name that nobody has, which is refused for either of two reasons. Of the database itself it could let go what a switch has begun to hold since
 * we looked: workers look every few seconds.
 */
async function permission(
  console: PgBouncerConsole,
  { name: database }: ShownDatabase,
  { name, ms }: WantedPgBouncer,
): Promise<Finding> {
  const allowed = pass('admin', `We may pause and resume "${database}" of ${name}.`);
  try {
    await console.run(['RESUME "may changeover resume"'], ms);
    return allowed;
  } catch (error) {
    if (/no such database|is not paused/.test(messageOf(error))) return allowed;
    return fail(
      'admin',
      `We may not pause "${database}". ${messageOf(error)}`,
      'Name the user of `admin` in admin_users of pgbouncer.ini.',
    );
  }
}

/** What a person has to be told: nothing of ours does that, and nothing of ours takes it back. */
export const allPaused = (name: string): string =>
  `All of ${name} is paused or suspended (PAUSE or SUSPEND without a name), by somebody else: no client comes through, whatever is let go here. RESUME without a name ends it.`;

/** SHOW DATABASES does not tell it, and SHOW STATE does not exist before 1.19: a pause of a name that nobody has is refused for one reason or the other. */
export async function isPausedAsAWhole(console: PgBouncerConsole, ms: number): Promise<boolean> {
  try {
    await console.run(['PAUSE "may changeover pause"'], ms);
    return false;
  } catch (error) {
    return /already suspended\/paused/.test(messageOf(error));
  }
}

type Id = keyof typeof pgbouncerFindings;

const pass = (id: Id, message: string): Finding => ({
  id: `pgbouncer/${id}`,
  verdict: 'pass',
  message,
  fix: '',
});
const fail = (id: Id, message: string, fix: string): Finding => ({
  id: `pgbouncer/${id}`,
  verdict: 'fail',
  message,
  fix,
});
const warn = (id: Id, message: string, fix: string): Finding => ({
  id: `pgbouncer/${id}`,
  verdict: 'warn',
  message,
  fix,
});
