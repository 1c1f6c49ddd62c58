import { ChangeoverError } from '../../errors/index.ts';
import type { StorePressure } from '../../store/index.ts';
import type { PostgresSession } from './postgres-session.ts';
import { createStandbyLag } from './postgres-standby-lag.ts';

/** Other roles' sessions are shown without state unless one may read all statistics: they would be counted as idle. */
const HIDDEN = "query = '<insufficient privilege>' OR state = 'disabled'";

const ACTIVE = `SELECT
    count(*) FILTER (WHERE backend_type = 'client backend' AND state IN ('active', 'fastpath function call')),
    count(*) FILTER (WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND (${HIDDEN}))
  FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid()`;

/**
 * Physical standbys, connected or (with a slot) away: one that is away falls behind as well. Not consumers of logical decoding, base backups and
 * receivers that replay nothing. First column: details are hidden from this role.
 */
const STANDBYS = `SELECT r.state IS NULL, r.replay_lsn - '0/0'::pg_lsn, extract(epoch FROM r.replay_lag) * 1000
  FROM pg_catalog.pg_stat_replication r
  LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid
  WHERE s.slot_type IS DISTINCT FROM 'logical'
    AND (r.state IS NULL OR r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL)
  UNION ALL
  SELECT false, restart_lsn - '0/0'::pg_lsn, NULL FROM pg_catalog.pg_replication_slots
  WHERE slot_type = 'physical' AND NOT active AND restart_lsn IS NOT NULL`;

/** After the standbys, so that none is ahead of it. Refused on a standby: its own lag is not to be had from itself. */
const CURRENT = `SELECT pg_catalog.pg_current_wal_lsn() - '0/0'::pg_lsn`;

/** How busy a PostgreSQL server is, from its statistics views. */
export function createPostgresPressure(session: PostgresSession): StorePressure {
  const lag = createStandbyLag();
  return {
    async activeConnections(timeoutMs) {
      const { rows } = await session.query(ACTIVE, [], { timeoutMs, what: 'running connections' });
      const [active, hidden] = rows[0] ?? [];
      if (Number(hidden) > 0) throw unseen('pg_stat_activity');
      return Number(active);
    },

    async replicationLagMs(timeoutMs) {
      const [standbys, current] = await session.run([{ text: STANDBYS }, { text: CURRENT }], {
        timeoutMs,
        what: 'replication lag',
      });
      const rows = standbys?.rows ?? [];
      if (rows.some(([hidden]) => hidden === 't')) throw unseen('pg_stat_replication');
      const positions = rows.map(([, replayed, measured]) => ({
        replayed: BigInt(replayed ?? 0),
        measuredMs: measured == null ? null : Number(measured),
      }));
      const now = session.runtime.clock.monotonic();
      return lag.observe(now, BigInt(current?.rows[0]?.[0] ?? 0), positions);
    },

    async measure(query, timeoutMs) {
      const options = { timeoutMs, what: 'throttle query', oneSnapshot: { lockFirst: [] } };
      const [result] = await session.run([{ text: query }], options);
      const rows = result?.rows ?? [];
      const text = rows[0]?.[0];
      if (rows.length !== 1 || rows[0]?.length !== 1 || text == null)
        throw noNumber(`${rows.length} rows of ${rows[0]?.length ?? 0} columns, or NULL`);
      if (text === 't' || text === 'f') return text === 't';
      const number = text.trim() === '' ? Number.NaN : Number(text);
      if (!Number.isFinite(number)) throw noNumber('a text');
      return number;
    },
  };
}

function unseen(view: string): ChangeoverError {
  return new ChangeoverError(
    'STORE_REJECTED',
    `${view} hides sessions of other roles from this one: GRANT pg_read_all_stats to it.`,
  );
}

function noNumber(what: string): ChangeoverError {
  return new ChangeoverError(
    'STORE_REJECTED',
    `The throttle query has to answer one number, or true or false; it answered ${what}.`,
  );
}
