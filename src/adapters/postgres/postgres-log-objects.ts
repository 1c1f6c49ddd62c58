import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { LogStart } from '../../log/index.ts';
import { quoteTable } from './postgres-catalog-query.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { sqlStateOf } from './postgres-errors.ts';
import type { SqlResult } from './postgres-flight.ts';
import { publishingProblems } from './postgres-inspect-log.ts';
import {
  checkLog,
  factsStatement,
  type LogFacts,
  loggedTables,
  readLogFacts,
  type SlotFacts,
  toLogFacts,
} from './postgres-log-facts.ts';
import { positionAt } from './postgres-lsn.ts';
import type { PostgresLayout } from './postgres-schema.ts';
import type { PostgresTransaction } from './postgres-session.ts';
import { quoteIdentifier } from './postgres-text.ts';

const LOOK_MS = 20;
/** A walsender or backend that was told to end is waited for so long. */
const END_MS = 15_000;
/** For looking and tidying up after a failure, whatever is left of the caller's time. */
const TIDY_MS = 5_000;

/** Streams of this migration on this side: `changeover_<migration>_<s|t>_<epoch>`, as a pattern of PostgreSQL. */
function streamPattern({ migration, side }: PostgresLayout): string {
  const name = `changeover_${migration}`.replace(/[^a-zA-Z0-9_]/g, '\\$&');
  return `^${name}_${side === 'source' ? 's' : 't'}_[0-9]+$`;
}

/** Names of slots and publications of ours in this database. */
export async function streamObjects(parts: PostgresStoreParts): Promise<{
  readonly slots: readonly string[];
  readonly publications: readonly string[];
}> {
  const values = [streamPattern(parts.layout)];
  const [slots, publications] = await parts.session.run(
    [
      {
        text: `SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name ~ $1 AND database = current_database() ORDER BY 1`,
        values,
      },
      {
        text: `SELECT pubname FROM pg_catalog.pg_publication WHERE pubname ~ $1 ORDER BY 1`,
        values,
      },
    ],
    { what: 'list of our streams' },
  );
  const names = (rows: readonly (readonly (string | null)[])[] | undefined): readonly string[] =>
    (rows ?? []).map(([name]) => name ?? '');
  return { slots: names(slots?.rows), publications: names(publications?.rows) };
}

export async function streamsOf(parts: PostgresStoreParts): Promise<readonly string[]> {
  const { slots, publications } = await streamObjects(parts);
  return [...new Set([...slots, ...publications])].sort();
}

/**
 * Publication first, then slot: what is decoded has to have been written under a publication that existed. Removed the other way round, so a publication without
 * a slot is a leftover of either, and used again; a slot without its publication is somebody else's doing.
 *
 * A slot is created in an ordinary session, not in a walsender: there `statement_timeout` ends the wait for running transactions, on the server, also when
 * this process is gone by then; and what is cancelled leaves no slot. Several processes take turns by an advisory lock, whose holder has no transaction number and is
 * therefore not waited for itself.
 */
export async function installStream(
  parts: PostgresStoreParts,
  stream: string,
  lockTimeoutMs: number,
): Promise<LogStart> {
  const { clock } = parts.session.runtime;
  const until = clock.monotonic() + lockTimeoutMs;
  const problems = await publishingProblems(parts);
  // A table that publishes updates but has no identity refuses them: the application would get the error.
  if (problems.length > 0) throw new ChangeoverError('LOG_UNSUPPORTED', problems.join(' '));
  for (;;) {
    const facts = await readLogFacts(parts, stream);
    const present = startOf(facts, stream);
    if (present) return present;
    const left = (): number => Math.max(1, until - clock.monotonic());
    if (until - clock.monotonic() <= 0) throw await tooLate(parts, stream, lockTimeoutMs);
    await publish(parts, stream, left());
    await createSlot(parts, stream, left(), lockTimeoutMs);
  }
}

/** null: the slot is not there, or not ready. */
function startOf(facts: LogFacts, stream: string): LogStart | null {
  const { slot, identity } = facts;
  if (slot === null || isBeingCreated(slot)) return null;
  if (!slot.usable) {
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `There is a slot "${stream}" on this server already, of another database or plugin (names of slots are the whole server's): give the migration another name, or drop the slot.`,
      { data: { stream } },
    );
  }
  checkLog(facts, stream, null);
  if (identity === null || slot.confirmed === null) return null;
  return { identity, position: positionAt(slot.confirmed - 1n) };
}

function isBeingCreated({ usable, confirmed, reader }: SlotFacts): boolean {
  return usable && confirmed === null && reader !== null;
}

/** Waits for its turn, then looks: what an earlier one did is seen. The look is first in the answer. */
async function takeTurn(
  parts: PostgresStoreParts,
  stream: string,
  transaction: PostgresTransaction,
  lockMs: number,
): Promise<LogFacts> {
  const lock = String(BigInt.asIntN(64, parts.layout.roleLock ^ 4n));
  const [, , facts] = await transaction.run([
    {
      text: `SELECT set_config('lock_timeout', $1, true)`,
      values: [String(Math.max(1, Math.floor(lockMs)))],
    },
    { text: `SELECT pg_advisory_xact_lock($1::bigint)`, values: [lock] },
    factsStatement(parts, stream),
  ]);
  return toLogFacts(facts as SqlResult);
}

async function publish(parts: PostgresStoreParts, stream: string, leftMs: number): Promise<void> {
  const name = quoteIdentifier(stream);
  const tables = loggedTables(parts).map(quoteTable).join(', ');
  try {
    await parts.session.transaction(
      async (transaction) => {
        const { slot, publication } = await takeTurn(parts, stream, transaction, leftMs);
        if (slot !== null || isWhole(publication)) return;
        await transaction.query(`DROP PUBLICATION IF EXISTS ${name}`);
        await transaction.query(
          `CREATE PUBLICATION ${name} FOR TABLE ${tables} WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`,
        );
      },
      { timeoutMs: leftMs, what: `publication "${stream}"` },
    );
  } catch (error) {
    throw unsupported(error, {
      '42501': 'CREATE on the database and ownership of the tables',
    });
  }
}

function isWhole(publication: LogFacts['publication']): boolean {
  return publication?.complete === true && publication.missing.length === 0;
}

async function createSlot(
  parts: PostgresStoreParts,
  stream: string,
  leftMs: number,
  lockTimeoutMs: number,
): Promise<void> {
  let backend: string | null = null;
  try {
    await parts.session.transaction(
      async (transaction) => {
        const { slot, publication } = await takeTurn(parts, stream, transaction, leftMs);
        if (slot !== null || !isWhole(publication)) return;
        backend = (await transaction.query('SELECT pg_backend_pid()')).rows[0]?.[0] ?? null;
        await transaction.query(
          `SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')`,
          [stream],
        );
      },
      { timeoutMs: leftMs, what: `slot "${stream}"` },
    );
  } catch (error) {
    const late = isChangeoverError(error, 'DEADLINE_EXCEEDED', 'STORE_CONFLICT');
    // Who is in the way has to be asked before it is tidied up, which takes time.
    const reported = late ? await tooLate(parts, stream, lockTimeoutMs) : error;
    await tidyUp(parts, stream, backend).catch(() => {});
    throw unsupported(reported, {
      '42501': 'the attribute REPLICATION (ALTER ROLE … REPLICATION)',
      '55000': 'wal_level = logical, which takes a restart of the server',
      '53400': 'a free slot (max_replication_slots)',
    });
  }
}

/** Ends our own attempt where it still runs (the connection was cut, the server goes on), and drops a publication that is of no use. */
async function tidyUp(
  parts: PostgresStoreParts,
  stream: string,
  backend: string | null,
): Promise<void> {
  await parts.session.query(
    `SELECT pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND active_pid = $2::int`,
    [stream, backend],
    { timeoutMs: TIDY_MS, what: `end of the creation of slot "${stream}"` },
  );
  await parts.session.transaction(
    async (transaction) => {
      const { slot } = await takeTurn(parts, stream, transaction, TIDY_MS);
      if (slot === null)
        await transaction.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(stream)}`);
    },
    { timeoutMs: TIDY_MS, what: `removal of publication "${stream}"` },
  );
}

function unsupported(error: unknown, needs: Readonly<Record<string, string>>): unknown {
  const needed = needs[sqlStateOf(error) ?? ''];
  if (!(error instanceof ChangeoverError) || needed === undefined) return error;
  return new ChangeoverError(
    'LOG_UNSUPPORTED',
    `${error.message.replace(/^[A-Z_]+: /, '')} Capture from the log needs ${needed}.`,
    { data: error.data },
  );
}

/** Names the oldest transaction: a slot begins only when every transaction that ran before it has ended. */
async function tooLate(
  { session }: PostgresStoreParts,
  stream: string,
  lockTimeoutMs: number,
): Promise<ChangeoverError> {
  const { rows } = await session.query(
    `SELECT pid, ceil(extract(epoch FROM clock_timestamp() - xact_start)), coalesce(nullif(application_name, ''), 'no name'), state
     FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1`,
    [],
    { timeoutMs: TIDY_MS, what: 'look for the oldest transaction' },
  );
  const [pid, seconds, application, state] = rows[0] ?? [];
  const oldest = pid
    ? ` The oldest that is still open: process ${pid} (${application}), for ${seconds} s, ${state}.`
    : '';
  return new ChangeoverError(
    'STORE_CONFLICT',
    `Stream "${stream}" was not created within ${lockTimeoutMs} ms: a slot waits until every transaction that is open has ended. Nothing was left behind.${oldest}`,
    { data: { stream, pid: pid ? Number(pid) : null } },
  );
}

/** Ends whoever reads, or creates, the slot, and waits until it has let go. STORE_CONFLICT when it does not. */
export async function endReader(
  { session }: PostgresStoreParts,
  stream: string,
  withinMs: number,
): Promise<void> {
  const { clock } = session.runtime;
  const until = clock.monotonic() + withinMs;
  for (;;) {
    const { rows } = await session.query(
      `SELECT active_pid, pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots
       WHERE slot_name = $1 AND active_pid IS NOT NULL AND active_pid <> pg_backend_pid()`,
      [stream],
      { timeoutMs: Math.max(TIDY_MS, withinMs), what: `end of the reader of "${stream}"` },
    );
    const [pid] = rows[0] ?? [];
    if (!pid) return;
    if (clock.monotonic() >= until) {
      throw new ChangeoverError(
        'STORE_CONFLICT',
        `Process ${pid} does not let go of slot "${stream}" within ${withinMs} ms.`,
        { data: { stream, pid: Number(pid) } },
      );
    }
    await clock.sleep(LOOK_MS);
  }
}

/** Slot and publication go, with whoever reads. Idempotent. */
export async function dropStream(parts: PostgresStoreParts, stream: string): Promise<void> {
  const { session } = parts;
  const { clock } = session.runtime;
  const until = clock.monotonic() + END_MS;
  for (;;) {
    await endReader(parts, stream, END_MS);
    try {
      await session.query(
        `SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots
         WHERE slot_name = $1 AND database = current_database()`,
        [stream],
        { what: `removal of slot "${stream}"` },
      );
      break;
    } catch (error) {
      // Taken again in between, or already gone.
      const again = ['55006', '42704'].includes(sqlStateOf(error) ?? '');
      if (!again || clock.monotonic() >= until) throw error;
      await clock.sleep(LOOK_MS);
    }
  }
  await session.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(stream)}`, [], {
    what: `removal of publication "${stream}"`,
  });
}

/** All streams of this migration on this side. */
export async function dropStreams(parts: PostgresStoreParts): Promise<void> {
  for (const stream of await streamsOf(parts)) await dropStream(parts, stream);
}
