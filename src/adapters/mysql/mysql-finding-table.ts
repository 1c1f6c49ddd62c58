import type { FindingEntry } from '../../store/index.ts';

/** Every finding of `check` about a MySQL or MariaDB store: `finding` and `pass` take no other id. */
export const mysqlFindings = {
  connection: {
    meaning: 'The server was asked, or could not be. Without it nothing else is looked at.',
    fix: 'Correct the url (host, port, database, user, password), or start the server.',
  },
  server: {
    meaning: 'The settings of the server could not be looked at.',
    fix: 'Remove the cause of the error and check again.',
  },
  version: {
    meaning: 'Older than MariaDB 10.6 or MySQL 8.0: refused, statements are missing.',
    fix: 'Upgrade the server.',
  },
  flavour: {
    meaning:
      'MySQL itself is supported by its documentation; this release was tested on MariaDB only.',
    fix: 'Rehearse the whole migration on a copy first.',
  },
  'read-only': {
    meaning:
      'The server is read-only (a replica, or set so), or transactions of this user are. A migration writes to both sides.',
    fix: 'Point the url at the primary, or SET GLOBAL read_only = 0.',
  },
  replica: {
    meaning:
      'The server replicates from another one: what is written here does not reach that one, and what it sends is not held by the guard.',
    fix: 'Point the url at the primary; or end the replication first.',
  },
  'flush-at-commit': {
    meaning: 'A crash of the server loses acknowledged writes, here and in the journal alike.',
    fix: 'SET GLOBAL innodb_flush_log_at_trx_commit = 1',
  },
  'sync-binlog': {
    meaning: 'After a crash of the host the binary log and InnoDB may tell different stories.',
    fix: 'SET GLOBAL sync_binlog = 1',
  },
  'create-triggers': {
    meaning:
      'With a binary log, only users with SUPER may make triggers; guard and outbox need them.',
    fix: 'SET GLOBAL log_bin_trust_function_creators = 1, and in the configuration file.',
  },
  galera: {
    meaning:
      'Locks of a Galera node hold on this node only: the guard could not keep writers on others out.',
    fix: 'Let every writer use one node, and take it out of the cluster for the switch.',
  },
  'prepared-transactions': {
    meaning: 'Prepared XA transactions hold their locks, across the switch as well.',
    fix: 'Commit or roll them back before the switch (XA RECOVER lists them).',
  },
  connections: {
    meaning:
      'Few connections are left, of the server or of the user. Each process that uses the library opens up to `poolMax` a store.',
    fix: 'Raise max_connections (or MAX_USER_CONNECTIONS), or lower poolMax.',
  },
  'packet-size': {
    meaning:
      'max_allowed_packet is small: a record that is larger than that, or a page of a copy, is refused.',
    fix: 'SET GLOBAL max_allowed_packet = 67108864, and in the configuration file.',
  },
  'idle-limit': {
    meaning:
      'wait_timeout is short: the server ends connections of the pool that are idle for a moment, and a statement may meet one that has just gone.',
    fix: 'SET GLOBAL wait_timeout = 28800',
  },
  'lock-wait': {
    meaning: 'innodb_lock_wait_timeout is so short that writes fail which would only have waited.',
    fix: 'SET GLOBAL innodb_lock_wait_timeout = 50',
  },
  privileges: {
    meaning: 'Privileges could not be looked at.',
    fix: 'Remove the cause of the error and check again.',
  },
  'own-database': {
    meaning: 'The user may not make and use the database of the library.',
    fix: 'The GRANT that the finding prints; `changeover check --grants` prints all.',
  },
  privilege: {
    meaning: 'The user lacks a privilege on a table.',
    fix: 'The GRANT that the finding prints; `changeover check --grants` prints all.',
  },
  'lock-privilege': {
    meaning: 'Without LOCK TABLES the guard cannot wait for writers that do not use the library.',
    fix: 'GRANT LOCK TABLES ON the database.',
  },
  'alter-privilege': {
    meaning: 'Without ALTER the write switch cannot set AUTO_INCREMENT, and is given up.',
    fix: 'GRANT ALTER ON the table.',
  },
  'defer-indexes': {
    meaning: '`backfill.deferIndexes` has no effect: InnoDB keeps its indexes up during the copy.',
    fix: "Leave it at 'none'.",
  },
  table: {
    meaning:
      'A table of the configuration, or one of its columns, is not there, or could not be looked at.',
    fix: 'Create it, or correct the name in the configuration.',
  },
  'no-key': {
    meaning:
      'The columns of the key have no unique index, admit NULL, or cannot be looked up exactly (FLOAT).',
    fix: 'Declare a primary key, or a unique index on the key columns, which are NOT NULL.',
  },
  kind: {
    meaning: 'What the configuration names is a view, or is system-versioned.',
    fix: 'Name the table that holds the rows; ALTER TABLE … DROP SYSTEM VERSIONING.',
  },
  engine: {
    meaning:
      'The table has no transactions (MyISAM, Aria, MEMORY …): rows and fence could not commit together.',
    fix: 'ALTER TABLE … ENGINE = InnoDB',
  },
  'key-collation': {
    meaning: "In a key column different texts are equal ('Ada' and 'ADA'): two records may be one.",
    fix: 'Spell keys in one way, or ALTER TABLE … COLLATE utf8mb4_bin.',
  },
  'not-null': {
    meaning:
      'A column is NOT NULL without default, and the shape of the collection does not carry it: inserts fail.',
    fix: 'Add it to the columns, or give it a default.',
  },
  'foreign-key': {
    meaning:
      'A table refers to one whose changes may come later: those that come too early are tried again.',
    fix: 'Backfill the referred table first, or drop the constraint until the switch.',
  },
  cascade: {
    meaning: 'A foreign key changes rows inside InnoDB, which neither triggers nor the log see.',
    fix: 'Capture from the log (triggers of ours then name the rows), or drop the action for the time of the migration.',
  },
  'cascade-privilege': {
    meaning:
      'A change in another table changes rows of the migration inside InnoDB, and the user may not put a trigger there.',
    fix: 'GRANT SELECT, TRIGGER ON that table.',
  },
  'child-index': {
    meaning:
      'No index of a child table begins with the parent: each change reads and locks the whole table.',
    fix: 'CREATE INDEX on the columns of the parent.',
  },
  trigger: {
    meaning:
      "A trigger of the application stands on a table of the follower: what the other side's triggers have done arrives as changes, and would be done again.",
    fix: 'Let it begin with IF @changeover_owner IS NULL THEN … END IF, or drop it until the switch.',
  },
  truncate: {
    meaning: 'TRUNCATE fires no trigger: without capture from the log it is not seen.',
    fix: 'DELETE the rows instead, or capture from the log.',
  },
  log: {
    meaning: 'The settings of the binary log could not be looked at.',
    fix: 'Remove the cause of the error and check again.',
  },
  'log-bin': { meaning: 'The binary log is off.', fix: 'Set log_bin and server_id, and restart.' },
  'log-format': {
    meaning: 'Changes are logged as statements: which rows they changed cannot be known.',
    fix: 'SET GLOBAL binlog_format = ROW, and let the applications connect anew.',
  },
  'log-image': {
    meaning: 'Rows are logged in part.',
    fix: 'SET GLOBAL binlog_row_image = FULL, and let the applications connect anew.',
  },
  'log-partial-json': {
    meaning: 'Parts of JSON values are logged only.',
    fix: "SET GLOBAL binlog_row_value_options = ''",
  },
  'log-order': {
    meaning: 'Transactions become visible in another order than they are logged.',
    fix: 'SET GLOBAL binlog_order_commits = ON',
  },
  'log-compression': {
    meaning: 'Compressed transactions cannot be read.',
    fix: 'SET GLOBAL binlog_transaction_compression = OFF',
  },
  'log-metadata': {
    meaning: 'Names of columns are not in the log; a change of a table is noticed later.',
    fix: 'SET GLOBAL binlog_row_metadata = FULL',
  },
  'log-labels': {
    meaning:
      'A label of an ENUM or SET cannot be known from the catalog, and the log has its number only.',
    fix: 'SET GLOBAL binlog_row_metadata = FULL',
  },
  'server-id': { meaning: 'server_id is 0: nobody may read the log.', fix: 'SET GLOBAL server_id' },
  'log-replica': {
    meaning: 'A replica that does not log what it replicates.',
    fix: 'Set log_slave_updates and restart, or end the replication first.',
  },
  'log-expiry': {
    meaning: 'Binary logs are removed before a weekend is over: what was not read by then is lost.',
    fix: 'SET GLOBAL binlog_expire_logs_seconds = 604800',
  },
  'log-filter': {
    meaning: 'Databases are left out of the binary log.',
    fix: 'Take binlog_do_db and binlog_ignore_db away.',
  },
  'log-privilege': {
    meaning: 'The user may not read the log, or ask where it stands.',
    fix: 'GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
  },
} as const satisfies Readonly<Record<string, FindingEntry>>;
