import { quoteLiteral } from './mysql-text.ts';

/**
 * What differs between MariaDB and MySQL, as declared facts: nothing else asks which of the two a server is.
 *
 * MariaDB 10.6 … 11 is tested against real servers. **MySQL (8.0 or newer) is written from its documentation and has not been run.**
 */
export interface MysqlFlavour {
  readonly name: 'mariadb' | 'mysql';
  /** `10.11.19`. */
  readonly version: string;
  /** major × 10 000 + minor × 100 + patch: 101119. */
  readonly number: number;
  /** Behind a SELECT: shares the rows. With ` SKIP LOCKED` or ` NOWAIT` behind it where wanted. */
  readonly shareLock: 'LOCK IN SHARE MODE' | 'FOR SHARE';
  /** Where the binlog stands now: file and offset in the first two columns. */
  readonly binlogStatus: string;
  /** Assignments behind `SET SESSION` that end any statement after so long, on the server; empty: only reads can be limited, and KILL has to do it. */
  statementLimit(ms: number): readonly string[];
  /** Assignments behind `SET SESSION` by which the server ends an abandoned transaction after so long. */
  idleLimit(ms: number): readonly string[];
  /** Behind `SET SESSION` when the transaction is over; empty where the limit only counts inside transactions. */
  readonly idleReset: readonly string[];
  /** Settings of a new session beyond those that both have. */
  readonly sessionSettings: readonly string[];
  /** True when trailing blanks count in comparisons under this collation. */
  noPad(collation: string): boolean;
  /** Asks which transactions lie before a place of the binlog, by GTID; null: nothing tells it. */
  readonly gtidsQuery: ((file: string, offset: number) => string) | null;
  /** A consistent snapshot says where in the binlog it stands (`binlog_snapshot_file`, `binlog_snapshot_position`). */
  readonly binlogSnapshot: boolean;
  /** The JSON type is one of its own (MySQL), not a checked text (MariaDB). */
  readonly nativeJson: boolean;
}

const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000));

/** MySQL: the older collations all pad; those of Unicode 9 (`utf8mb4_0900_…`) and `binary` do not. */
const mysqlNoPad = (collation: string): boolean =>
  collation === 'binary' || collation.includes('_0900_');
const mariadbNoPad = (collation: string): boolean =>
  collation === 'binary' || collation.includes('_nopad_') || collation.includes('_0900_');

/** @param banner what `SELECT VERSION()` answers: `10.11.19-MariaDB-log`, `8.0.36`, `5.5.5-10.6.4-MariaDB` (behind a proxy) */
export function flavourOf(banner: string): MysqlFlavour {
  const isMariadb = /mariadb/i.test(banner);
  const [, major = '0', minor = '0', patch = '0'] =
    /(\d+)\.(\d+)\.(\d+)/.exec(isMariadb ? banner.replace(/^5\.5\.5-/, '') : banner) ?? [];
  const version = `${major}.${minor}.${patch}`;
  const number = Number(major) * 10_000 + Number(minor) * 100 + Number(patch);
  return isMariadb ? mariadb(version, number) : mysql(version, number);
}

function mariadb(version: string, number: number): MysqlFlavour {
  return {
    name: 'mariadb',
    version,
    number,
    shareLock: 'LOCK IN SHARE MODE',
    binlogStatus: 'SHOW MASTER STATUS',
    statementLimit: (ms) => [`max_statement_time = ${Math.max(1, Math.ceil(ms)) / 1000}`],
    idleLimit: (ms) => [`idle_transaction_timeout = ${seconds(ms)}`],
    idleReset: [],
    // Long IN lists would become joins with a materialised table, in any order.
    sessionSettings: ['in_predicate_conversion_threshold = 0'],
    noPad: mariadbNoPad,
    gtidsQuery: (file, offset) => `SELECT BINLOG_GTID_POS(${quoteLiteral(file)}, ${offset})`,
    binlogSnapshot: true,
    nativeJson: false,
  };
}

/** From the documentation; not run. `max_execution_time` only ends reads: the session's KILL does the rest. */
function mysql(version: string, number: number): MysqlFlavour {
  return {
    name: 'mysql',
    version,
    number,
    shareLock: 'FOR SHARE',
    // The old name went with 8.4; the new one came with 8.2.
    binlogStatus: number >= 80_200 ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS',
    statementLimit: (ms) => [`max_execution_time = ${Math.max(1, Math.ceil(ms))}`],
    idleLimit: (ms) => [`wait_timeout = ${seconds(ms)}`],
    idleReset: ['wait_timeout = DEFAULT'],
    // Estimates would be those of yesterday.
    sessionSettings: ['information_schema_stats_expiry = 0'],
    noPad: mysqlNoPad,
    gtidsQuery: null,
    binlogSnapshot: false,
    nativeJson: true,
  };
}
