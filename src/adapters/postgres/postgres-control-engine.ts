import { Kysely, PostgresDialect, sql } from 'kysely';
import { ChangeoverError, messageOf } from '../../errors/index.ts';
import { type Runtime, withDeadline } from '../../runtime/index.ts';
import type { ControlTables, SqlControlEngine } from '../sql-control/index.ts';
import { createControlListener } from './postgres-control-listener.ts';
import { controlDeadlineMs, createControlPool } from './postgres-control-pool.ts';
import { sqlStateOf, toChangeoverError } from './postgres-errors.ts';

/** NAMEDATALEN - 1: longer channel names are refused. */
const channelMax = 63;

/** A schema in a PostgreSQL database, for a fleet of any number of hosts. Time is the server's. */
export function createPostgresControlEngine(
  url: string,
  display: string,
  schema: string,
  runtime: Runtime,
): SqlControlEngine {
  const { clock, random } = runtime;
  const channel = `changeover:${schema}`.slice(0, channelMax);
  const db = new Kysely<ControlTables>({
    dialect: new PostgresDialect({ pool: createControlPool(url, clock) }),
  }).withSchema(schema);
  const listener = createControlListener(url, channel, runtime);

  /** A call consists of several round trips; together they may take twice the deadline of one. */
  const within = async <T>(what: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await withDeadline(clock, 2 * controlDeadlineMs, what, call());
    } catch (error) {
      throw toControlError(error, display, what);
    }
  };

  const now = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;
  const state = sql.id(schema, 'migration_state');
  const audit = sql.id(schema, 'audit');

  return {
    display,
    clock,
    random,
    run: (what, operation) => within(what, () => operation(db)),
    transaction: (what, operation) => within(what, () => db.transaction().execute(operation)),
    now: () => now,
    auditId: 'identity',
    async lockSchema(tx) {
      // Two CREATE SCHEMA IF NOT EXISTS at once collide in the catalog; the lock ends with the transaction.
      await sql`select pg_advisory_xact_lock(hashtextextended(${channel}, 0))`.execute(tx);
      await sql`create schema if not exists ${sql.id(schema)}`.execute(tx);
    },
    async hasSchema(database) {
      const { rows } = await sql<{ found: boolean }>`
        select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                       where n.nspname = ${schema} and c.relname = 'format') as found`.execute(
        database,
      );
      return rows[0]?.found === true;
    },
    changeState: (next, { actor, action, reason, detail }) =>
      within('changing the state', async () => {
        const { migration, version } = next;
        const { rows } = await sql`
          with changed as (
            update ${state} set version = ${version}, state = ${JSON.stringify(next)}
            where migration = ${migration} and version = ${version - 1} returning migration, version
          ), line as (
            insert into ${audit} (migration, state_version, at_ms, actor, action, reason, detail)
            select migration, version, ${now}, ${actor}, ${action}, ${reason}, ${JSON.stringify(detail)} from changed
          )
          select pg_notify(${channel}, migration) from changed`.execute(db);
        return rows.length === 1;
      }),
    async notify(tx, migration) {
      await sql`select pg_notify(${channel}, ${migration})`.execute(tx);
    },
    listen: (wake) => listener.listen(wake),
    isNotified: () => listener.isListening(),
    async close() {
      await listener.close();
      await db.destroy();
    },
  };
}

function toControlError(error: unknown, display: string, what: string): ChangeoverError {
  const ours = error instanceof ChangeoverError && error.code !== 'DEADLINE_EXCEEDED';
  if (ours) return error;
  const state = sqlStateOf(error);
  const data = { what, sqlState: state };
  // Privileges and objects that are not what we created: waiting does not help.
  if (state?.startsWith('42') || state === '3F000') {
    return new ChangeoverError(
      'CONFIG_INVALID',
      `${what} in the control store ${display} was refused: ${toChangeoverError(error, what).message}`,
      { data },
    );
  }
  const reason =
    error instanceof ChangeoverError
      ? `no answer within its deadline`
      : withoutPassword(messageOf(error) || String(error));
  return new ChangeoverError(
    'CONTROL_UNAVAILABLE',
    `${what} in the control store ${display} failed: ${reason}.`,
    { data },
  );
}

const withoutPassword = (text: string): string => text.replace(/\/\/[^@/\s]*@/g, '//…@');
