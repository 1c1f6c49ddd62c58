import type { FindingEntry } from '../../store/index.ts';

/** Every finding of `check` about a PostgreSQL store: `finding` and `pass` take no other id. */
export const postgresFindings = {
  connection: {
    meaning: 'The server was asked, or could not be. Without it nothing else is looked at.',
    fix: 'Correct the url (host, port, database, user, password), or start the server.',
  },
  version: {
    meaning:
      'Older than PostgreSQL 14: refused, functions are missing. Newer than the newest tried: a warning.',
    fix: 'Upgrade the server; or rehearse the whole migration on a copy first.',
  },
  'read-only': {
    meaning:
      'The server is a standby, or transactions are read-only by default (`default_transaction_read_only` of role, database or server). A migration writes to both sides.',
    fix: 'Point the url at the primary, as a role whose transactions may write.',
  },
  pooler: {
    meaning:
      'Connections end at a pooler (PgBouncer), and the store was not told: prepared statements and settings of a session would be lost or reach somebody else.',
    fix: 'Give the address of the server itself, or `pooler: true` in the options of the store.',
  },
  encoding: {
    meaning: 'The database is not in UTF8: characters that it lacks are refused.',
    fix: 'Move to a database in UTF8.',
  },
  'synchronous-commit': {
    meaning: 'A crash of the server loses acknowledged writes, here and in the journal alike.',
    fix: 'ALTER DATABASE … SET synchronous_commit = on',
  },
  'prepared-transactions': {
    meaning:
      'Prepared transactions are possible: one that stays open holds its locks across the switch.',
    fix: 'See that pg_prepared_xacts is empty before the switch.',
  },
  connections: {
    meaning:
      'Few connections are left, of the server, the database or the role. Each process that uses the library opens up to `poolMax` a store.',
    fix: 'Raise max_connections (or CONNECTION LIMIT), or lower poolMax.',
  },
  'session-limits': {
    meaning:
      'A limit of role, database or server ends what the library waits for, or leaves open on purpose: a short `lock_timeout` (below 1 s) or `transaction_timeout` (below a minute). `statement_timeout` and `idle_in_transaction_session_timeout` do not matter: the library sets its own.',
    fix: 'ALTER ROLE … SET lock_timeout = 0; the same with transaction_timeout.',
  },
  schema: {
    meaning:
      'The schema of the library exists and belongs to somebody else, or could not be looked at.',
    fix: 'ALTER SCHEMA … OWNER TO …',
  },
  'create-privilege': {
    meaning: 'The role may not make the schema of the library.',
    fix: 'GRANT CREATE ON DATABASE … TO …; `changeover check --grants` prints all.',
  },
  table: {
    meaning:
      'A table of the configuration, or one of its columns, is not there, or could not be looked at.',
    fix: 'Create it, or correct the name in the configuration.',
  },
  'no-key': {
    meaning: 'The columns of the key have no unique index, or admit NULL.',
    fix: 'Declare a primary key, or a unique index on the key columns, which are NOT NULL.',
  },
  privilege: {
    meaning: 'The role lacks a privilege on a table.',
    fix: 'The GRANT that the finding prints; `changeover check --grants` prints all.',
  },
  'row-security': {
    meaning:
      'Row-level security applies to the role. Who sees only some rows would copy some, compare some, and prove a copy that is none. The library asks the server to refuse such reads (`row_security = off`), so the migration would stop.',
    fix: 'ALTER ROLE … BYPASSRLS, for the role of the migration alone.',
  },
  ownership: {
    meaning:
      'The role does not own a table or a partition: triggers of the guard are made, enabled and disabled, which only an owner may.',
    fix: 'GRANT the owning role to the role of the migration.',
  },
  'defer-indexes': {
    meaning:
      '`backfill.deferIndexes` cannot be done here: somebody else owns the table, or indexes cannot be made again.',
    fix: "Grant what is missing, or leave it at 'none'.",
  },
  kind: {
    meaning: 'What the configuration names is no table (a view, a foreign table).',
    fix: 'Name the table that holds the rows.',
  },
  inheritance: {
    meaning:
      'Tables inherit from it (INHERITS): their rows show in it, but keys and triggers do not reach them.',
    fix: 'Turn them into partitions, or migrate each table by itself.',
  },
  partitions: {
    meaning: 'TRUNCATE of a single partition is not captured.',
    fix: 'Delete the rows instead, or truncate the partitioned table.',
  },
  unlogged: {
    meaning:
      'The table is UNLOGGED: a crash of the server empties it, and the log does not hold its rows.',
    fix: 'ALTER TABLE … SET LOGGED',
  },
  'key-collation': {
    meaning: 'A key column treats different texts as equal: two records would be one.',
    fix: 'Give the column a deterministic collation (for citext: type text).',
  },
  'key-spelling': {
    meaning:
      'The type of a key column has several texts for one value (1.0 and 1.00); keys go by their text.',
    fix: 'Write each value in one way only, or give the column another type (numeric: with a scale).',
  },
  'key-order': {
    meaning: 'Keys are text and the database does not order bytewise: each scan sorts the table.',
    fix: 'CREATE INDEX CONCURRENTLY … (key COLLATE "C")',
  },
  'not-null': {
    meaning:
      'A column is NOT NULL without default, and the shape of the collection does not carry it: inserts fail.',
    fix: 'Add it to the columns, or give it a default.',
  },
  trigger: {
    meaning:
      "A trigger of the application stands on a table of the follower: what the other side's triggers have done arrives as changes, and would be done again.",
    fix: 'ALTER TABLE … DISABLE TRIGGER … until the switch of writes; or let it do nothing while changeover.mark is set.',
  },
  'foreign-key': {
    meaning:
      'A table refers to one whose changes may come later: those that come too early wait and are tried again.',
    fix: 'Put the referred collection first, or make the constraint deferrable.',
  },
  cascade: {
    meaning:
      'A foreign key changes rows by itself, which the chosen capture does not see, or does twice.',
    fix: 'Capture "outbox" or "log", or drop the action for the time of the migration.',
  },
  log: {
    meaning: 'The settings for capture from the log could not be looked at.',
    fix: 'Remove the cause of the error and check again.',
  },
  'log-connection': {
    meaning:
      'A replication connection cannot be opened: pg_hba.conf, a pooler in between, the rights of a provider.',
    fix: 'Give the address of the server itself, and let the role replicate.',
  },
  'wal-level': {
    meaning: 'wal_level is not logical: the log does not hold row changes.',
    fix: "ALTER SYSTEM SET wal_level = 'logical', then restart the server (Amazon RDS: rds.logical_replication = 1).",
  },
  'replication-slots': {
    meaning: 'All replication slots are in use; one is needed, and another one during a switch.',
    fix: 'Drop what is not used, or raise max_replication_slots and restart.',
  },
  'wal-senders': {
    meaning:
      'All replication connections are in use; one is needed, and another one during a switch.',
    fix: 'Drop what is not used, or raise max_wal_senders and restart.',
  },
  'replication-attribute': {
    meaning: 'The role may not read the log.',
    fix: 'ALTER ROLE … REPLICATION (Amazon RDS: GRANT rds_replication).',
  },
  'publication-privilege': {
    meaning: 'The role may not create a publication in the database.',
    fix: 'GRANT CREATE ON DATABASE … TO …',
  },
  'publication-owner': {
    meaning: 'A table can be published only by its owner.',
    fix: 'GRANT the owning role to the role of the migration.',
  },
  'wal-retention': {
    meaning:
      'How much log is kept for a worker that stands still. With a limit (max_slot_wal_keep_size) the log may be lost, without one the disk may fill.',
    fix: 'Make it more than the server writes in the longest time that the worker may stand still.',
  },
  'idle-slot-timeout': {
    meaning:
      'A worker that stands still for longer than idle_replication_slot_timeout has lost its log.',
    fix: 'ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()',
  },
  'synchronous-standbys': {
    meaning:
      'synchronous_standby_names has "*": our reader may be taken for a synchronous standby.',
    fix: 'Name the standbys instead of using "*".',
  },
  'generated-column': {
    meaning: 'The shape names a generated column, which the log does not hold.',
    fix: 'Leave the column out of the configuration, or declare capture "outbox".',
  },
  'replica-identity': {
    meaning: 'The log tells old rows by columns that do not say which record it was.',
    fix: 'ALTER TABLE … REPLICA IDENTITY FULL',
  },
  'partition-identity': {
    meaning: 'A partition tells old rows otherwise than the partitioned table.',
    fix: 'Give both the same replica identity.',
  },
  'partition-detach': {
    meaning:
      'Rows that come or go with ATTACH, DETACH, DROP or TRUNCATE of a single partition are not in the log.',
    fix: 'Do none of these during the migration.',
  },
} as const satisfies Readonly<Record<string, FindingEntry>>;
