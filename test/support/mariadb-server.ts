/**
 * A MariaDB server of our own for tests: a free port on the loopback address, its own socket and
 * temporary data folder, gone with the process that started it (also after SIGKILL, see
 * `watchdog.ts`). It never reads /etc/mysql and never touches a server that runs already.
 *
 * States: running --kill, shutdown, crash--> down --start--> running; any --stop--> stopped (final).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/demo/free-port.ts';
import { freezeTree, killTree, signalProcess, thawTree } from '../../src/demo/process-tree.ts';
import { startWatchdog, type Watchdog } from '../../src/demo/watchdog.ts';
import { mariadbAccount, mariadbPrograms } from './mariadb-programs.ts';

const HOST = '127.0.0.1';
const USER = 'root';
/** With characters that have to be escaped in a connection string, so that a test would notice. */
const PASSWORD = 'chänge@over/1';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
const PORT_ATTEMPTS_MAX = 5;

export interface PrivateMariadbOptions {
  /**
   * Settings of the server (`binlog_format: 'STATEMENT'`); they win over the defaults. `null`
   * takes a default away (`log_bin: null` is a server without a binary log). Names are those of
   * the command line: the time zone is `default_time_zone`.
   */
  readonly settings?: Readonly<Record<string, string | null>>;
  /** `true` waits for the disk at every commit. Default `false`: survives kill -9 of the server
   * (the kernel keeps what it was handed at each commit), not a power failure. */
  readonly durable?: boolean;
}

export interface PrivateMariadb {
  readonly host: string;
  /** Stays the same across `kill()` and `start()`. */
  readonly port: number;
  /** May do everything, from any address; `password` is its password. */
  readonly user: string;
  readonly password: string;
  readonly socketPath: string;
  readonly dataDir: string;
  readonly logPath: string;
  /** For example `10.11.19`. */
  readonly version: string;
  /** Undefined while the server is down. */
  readonly pid: number | undefined;
  /** A connection string; without a database unless one is named. Default user: root. */
  url(database?: string, user?: { readonly name: string; readonly password: string }): string;
  /** Runs statements as root on a connection of its own; all values as text (HEX() for bytes). */
  query<Row extends object = Record<string, string | null>>(
    sql: string,
    parameters?: readonly (string | number | null)[],
    database?: string,
  ): Promise<Row[]>;
  /** Creates an empty utf8mb4 database and returns its connection string. */
  createDatabase(name: string): Promise<string>;
  /** Creates a user with just these privileges (each a `GRANT ... ON ...` without `TO`). */
  createUser(
    name: string,
    grants: readonly string[],
  ): Promise<{ readonly name: string; readonly password: string }>;
  /**
   * Starts it again on the same data and port after `kill()`, `shutdown()` or a crash.
   *
   * @param settings override the settings of the first start, from now on.
   */
  start(settings?: Readonly<Record<string, string | null>>): Promise<void>;
  /** `shutdown()` and `start()`. */
  restart(settings?: Readonly<Record<string, string | null>>): Promise<void>;
  /** Orderly end that keeps the data for `start()`. Does nothing when it is down. */
  shutdown(): Promise<void>;
  /** SIGKILL; returns when the server is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void;
  /** Undoes `pause()`. */
  resume(): void;
  /** Ends it for good and removes its files. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a server and waits until it accepts connections; throws with the server's own words. */
export async function startPrivateMariadb(
  options: PrivateMariadbOptions = {},
): Promise<PrivateMariadb> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-mariadb-'));
  await chmod(folder, 0o755);
  const watchdog = startWatchdog(folder, join(folder, 'data'), false);
  try {
    const server = new Server(folder, watchdog, options);
    await server.open();
    return server;
  } catch (error) {
    watchdog.release();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class Server implements PrivateMariadb {
  readonly host = HOST;
  readonly user = USER;
  readonly password = PASSWORD;
  readonly dataDir: string;
  readonly logPath: string;
  readonly socketPath: string;
  readonly version: string;
  readonly #programs = mariadbPrograms();
  readonly #account = mariadbAccount();
  readonly #folder: string;
  readonly #watchdog: Watchdog;
  readonly #durable: boolean;
  readonly #serverId = randomInt(1, 2 ** 31);
  #settings: Readonly<Record<string, string | null>>;
  #port = 0;
  #process: ChildProcess | undefined;
  #stopped: Promise<void> | undefined;

  constructor(folder: string, watchdog: Watchdog, options: PrivateMariadbOptions) {
    this.#folder = folder;
    this.#watchdog = watchdog;
    this.#durable = options.durable ?? false;
    this.#settings = options.settings ?? {};
    this.dataDir = join(folder, 'data');
    this.logPath = join(folder, 'mariadb.log');
    this.socketPath = join(folder, 'mariadb.sock');
    this.version = this.#programs.version;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  url(database = '', user = { name: USER, password: PASSWORD }): string {
    const who = `${encodeURIComponent(user.name)}:${encodeURIComponent(user.password)}`;
    return `mysql://${who}@${HOST}:${this.#port}/${encodeURIComponent(database)}`;
  }

  /** First start: data folder, port, server. */
  async open(): Promise<void> {
    await mkdir(this.dataDir, { mode: 0o700 });
    if (this.#account) {
      await chown(this.#folder, this.#account.uid, this.#account.gid);
      await chown(this.dataDir, this.#account.uid, this.#account.gid);
    }
    this.#initialise();
    writeFileSync(join(this.#folder, 'init.sql'), FIRST_USERS, { mode: 0o644 });
    for (let attempt = 1; ; attempt += 1) {
      this.#port = await freePort(HOST);
      try {
        return await this.start();
      } catch (error) {
        // Between our look at the port and the server's, somebody else took it.
        const collision = /Can't start server: Bind on TCP/.test(this.#logTail());
        if (!collision || attempt >= PORT_ATTEMPTS_MAX) throw error;
        writeFileSync(this.logPath, '');
      }
    }
  }

  async start(settings: Readonly<Record<string, string | null>> = {}): Promise<void> {
    if (this.#stopped) throw new Error('this private MariaDB was stopped for good');
    this.#settings = { ...this.#settings, ...settings };
    if (this.#process) return;
    this.#writeSettings();
    const logStart = statSync(this.logPath, { throwIfNoEntry: false })?.size ?? 0;
    const child = this.#spawn(this.#programs.server, [
      `--defaults-file=${join(this.#folder, 'my.cnf')}`,
    ]);
    const { pid } = child;
    if (pid === undefined) throw this.#failure('could not be started');
    this.#process = child;
    this.#watchdog.watch(pid);
    child.once('exit', () => {
      this.#process = undefined;
      this.#watchdog.watch(0);
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!this.#isReady(logStart)) {
      if (this.#process !== child) throw this.#failure('ended while it was starting');
      if (Date.now() > deadline) {
        await this.kill();
        throw this.#failure(`was not ready after ${START_TIMEOUT_MS} ms`);
      }
      await sleep(POLL_MS);
    }
  }

  async restart(settings: Readonly<Record<string, string | null>> = {}): Promise<void> {
    await this.shutdown();
    await this.start(settings);
  }

  async shutdown(): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) return;
    const gone = ended(child);
    signalProcess(child.pid, 'SIGTERM');
    thawTree(child.pid);
    if (await within(gone, STOP_TIMEOUT_MS)) return;
    killTree(child.pid);
    await gone;
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) return;
    const gone = ended(child);
    killTree(child.pid);
    await gone;
  }

  pause(): void {
    if (this.pid !== undefined) freezeTree(this.pid);
  }

  resume(): void {
    if (this.pid !== undefined) thawTree(this.pid);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stopForGood();
    return this.#stopped;
  }

  async query<Row extends object>(
    sql: string,
    parameters: readonly (string | number | null)[] = [],
    database = '',
  ): Promise<Row[]> {
    const { createConnection } = await import('mysql2/promise');
    const connection = await createConnection({
      uri: this.url(database),
      multipleStatements: true,
      typeCast: (field) => field.string(),
    });
    try {
      const [rows] = await connection.query(sql, [...parameters]);
      return (Array.isArray(rows) ? rows : []) as Row[];
    } finally {
      await connection.end();
    }
  }

  async createDatabase(name: string): Promise<string> {
    await this.query(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4`);
    return this.url(name);
  }

  async createUser(
    name: string,
    grants: readonly string[],
  ): Promise<{ readonly name: string; readonly password: string }> {
    const user = { name, password: `${name}-password` };
    await this.query(`CREATE USER '${name}'@'%' IDENTIFIED BY '${user.password}'`);
    for (const grant of grants) await this.query(`${grant} TO '${name}'@'%'`);
    return user;
  }

  async #stopForGood(): Promise<void> {
    // Its data is removed anyway: an orderly end would only cost time.
    await this.kill();
    this.#watchdog.release();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #initialise(): void {
    const { status, stdout, stderr } = spawnSync(
      this.#programs.install,
      [
        '--no-defaults',
        `--datadir=${this.dataDir}`,
        `--tmpdir=${this.#folder}`,
        '--auth-root-authentication-method=normal',
        '--skip-test-db',
        '--skip-name-resolve',
        '--innodb-log-file-size=16M',
        '--innodb-flush-method=nosync',
      ],
      {
        cwd: this.#folder,
        encoding: 'utf8',
        ...(this.#account ? { uid: this.#account.uid, gid: this.#account.gid } : {}),
      },
    );
    if (status === 0) return;
    writeFileSync(this.logPath, `${stdout}\n${stderr}`);
    throw this.#failure('could not create its data folder (mariadb-install-db)');
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const log = openSync(this.logPath, 'a');
    try {
      const child = spawn(program, args, {
        // A session of its own: Ctrl-C in the terminal is for us, we end the server in order.
        detached: true,
        cwd: this.#folder,
        env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
        stdio: ['ignore', log, log],
        ...(this.#account ? { uid: this.#account.uid, gid: this.#account.gid } : {}),
      });
      // The caller sees it as a missing pid; without a listener it would end our process.
      child.on('error', () => {});
      child.unref();
      return child;
    } finally {
      closeSync(log);
    }
  }

  #writeSettings(): void {
    const settings: Record<string, string | null> = {
      datadir: this.dataDir,
      // Its temporary tables are named by its process number: a server of another container with the same number and folder takes them away, and it crashes.
      tmpdir: this.#folder,
      port: String(this.#port),
      socket: this.socketPath,
      pid_file: join(this.#folder, 'mariadb.pid'),
      bind_address: HOST,
      skip_name_resolve: 'ON',
      init_file: join(this.#folder, 'init.sql'),
      server_id: String(this.#serverId),
      log_bin: 'binlog',
      binlog_format: 'ROW',
      binlog_row_image: 'FULL',
      binlog_row_metadata: 'FULL',
      character_set_server: 'utf8mb4',
      max_connections: '200',
      max_allowed_packet: '64M',
      innodb_buffer_pool_size: '128M',
      innodb_log_file_size: '64M',
      innodb_buffer_pool_dump_at_shutdown: 'OFF',
      innodb_buffer_pool_load_at_startup: 'OFF',
      performance_schema: 'OFF',
      // 2: written at every commit, synchronised once a second. A killed process loses nothing.
      ...(this.#durable
        ? { innodb_flush_log_at_trx_commit: '1', sync_binlog: '1' }
        : {
            innodb_flush_log_at_trx_commit: '2',
            sync_binlog: '0',
            innodb_flush_method: 'nosync',
          }),
      ...this.#settings,
    };
    const lines = Object.entries(settings)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(join(this.#folder, 'my.cnf'), `[mariadbd]\n${lines.join('')}`, { mode: 0o644 });
  }

  /** It says so after it has executed its first statements and listens. */
  #isReady(logStart: number): boolean {
    return readFileSync(this.logPath).subarray(logStart).includes('ready for connections');
  }

  #logTail(): string {
    try {
      return readFileSync(this.logPath, 'utf8').slice(-4_000);
    } catch {
      return '';
    }
  }

  #failure(what: string): Error {
    return new Error(`a private MariaDB ${this.version} ${what}:\n${this.#logTail()}`);
  }
}

/** Executed at every start, hence OR REPLACE. The nameless user would win over ours by its host. */
const FIRST_USERS = [
  `CREATE OR REPLACE USER '${USER}'@'%' IDENTIFIED BY '${PASSWORD}';`,
  `GRANT ALL PRIVILEGES ON *.* TO '${USER}'@'%' WITH GRANT OPTION;`,
  `DROP USER IF EXISTS '${USER}'@'127.0.0.1';`,
  `DROP USER IF EXISTS ''@'localhost';`,
  '',
].join('\n');

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    // Its handle counts again while somebody waits for it.
    child.ref();
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
}

async function within(promise: Promise<void>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const first = await Promise.race([promise.then(() => true), late]);
  timer.abort();
  return first;
}
