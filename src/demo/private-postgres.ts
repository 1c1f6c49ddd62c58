/**
 * A PostgreSQL server of our own: a free port on the loopback address, its own temporary data
 * folder, no unix socket, gone with the process that started it (also after SIGKILL, see
 * `watchdog.ts`). Used by the demo and by the tests, which also kill, freeze and restart it.
 *
 * States: running --kill, shutdown, crash--> down --start--> running; any --stop--> stopped (final).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, cpSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { findPostgres, type PostgresBinaries, type PostgresSource } from './postgres-binaries.ts';
import { freezeTree, killTree, signalProcess, thawTree } from './process-tree.ts';
import { type ServerAccount, serverAccount } from './server-account.ts';
import { startWatchdog, type Watchdog } from './watchdog.ts';

export { hasPostgres, type PostgresSource } from './postgres-binaries.ts';

const HOST = '127.0.0.1';
const SUPERUSER = 'postgres';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
const ORPHANS_MS = 10_000;
const ORPHANS_POLL_MS = 100;
const PORT_ATTEMPTS_MAX = 5;

export interface PrivatePostgresOptions {
  /** Whose programs to run; default `any`. */
  readonly source?: PostgresSource;
  /** Lines for postgresql.conf. They win over the defaults; values are quoted for you. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `true` waits for the disk at every commit (fsync). Default `false`: survives kill -9 of the
   * server (the kernel keeps what it was handed), not a power failure. */
  readonly durable?: boolean;
  /** Where the data lives; an existing data folder is used as it is. Default: a temporary one. */
  readonly dataDir?: string;
  /** Default: a free one, drawn below the range of outgoing connections. */
  readonly port?: number;
  /** Leave the data behind after `stop()`. Default: true exactly when `dataDir` was given. */
  readonly keep?: boolean;
}

export interface PrivatePostgres {
  readonly host: string;
  /** Stays the same across `kill()` and `start()`. */
  readonly port: number;
  readonly user: string;
  readonly dataDir: string;
  /** Holds at least `postgres` and `initdb`; `psql` and `pgbench` only with a system server. */
  readonly binDir: string;
  readonly source: 'embedded' | 'system';
  /** For example `18.4`. */
  readonly version: string;
  readonly logPath: string;
  /** The postmaster, undefined while the server is down. */
  readonly pid: number | undefined;
  /** A connection string; default database `postgres`. */
  url(database?: string): string;
  /** Creates an empty database and returns its connection string. */
  createDatabase(name: string): Promise<string>;
  /** Starts it again on the same data and port after `kill()`, `shutdown()` or a crash. */
  start(): Promise<void>;
  /** Orderly end that keeps the data for `start()`. Does nothing when it is down. */
  shutdown(mode?: 'fast' | 'immediate'): Promise<void>;
  /** SIGKILL to the server and all its processes; returns when they are gone. */
  kill(): Promise<void>;
  /** SIGSTOP to all its processes: connections stay open and nothing answers. */
  pause(): void;
  /** Undoes `pause()`. */
  resume(): void;
  /** Ends it for good and removes its files (the data too, unless `keep`). Idempotent. */
  stop(): Promise<void>;
}

/** Starts a server and waits until it accepts connections; throws with the server's own words. */
export async function startPrivatePostgres(
  options: PrivatePostgresOptions = {},
): Promise<PrivatePostgres> {
  const binaries = findPostgres(options.source ?? 'any');
  const account = serverAccount();
  const folder = await mkdtemp(join(tmpdir(), 'changeover-postgres-'));
  await chmod(folder, 0o755);
  const dataDir = options.dataDir ?? join(folder, 'data');
  const keep = options.keep ?? options.dataDir !== undefined;
  // Only a kept data folder inside ours forces us to leave the folder itself behind.
  const keepFolder = keep && options.dataDir === undefined;
  const watchdog = startWatchdog(folder, dataDir, keepFolder);
  try {
    const usable = await reachable(binaries, account, folder);
    const server = new Server(usable, account, folder, dataDir, keep, watchdog, options);
    await server.open();
    return server;
  } catch (error) {
    watchdog.release();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** A checkout below /root is closed to the server's account: then the programs are copied out. */
async function reachable(
  binaries: PostgresBinaries,
  account: ServerAccount | undefined,
  folder: string,
): Promise<PostgresBinaries> {
  if (account === undefined || binaries.home === undefined) return binaries;
  const probe = spawn(join(binaries.binDir, 'postgres'), ['--version'], {
    cwd: '/',
    stdio: 'ignore',
    uid: account.uid,
    gid: account.gid,
  });
  const started = await new Promise<boolean>((resolve) => {
    probe.once('error', () => resolve(false));
    probe.once('exit', (code) => resolve(code === 0));
  });
  if (started) return binaries;
  const home = join(folder, 'server');
  // verbatim: the links to the libraries are relative and have to stay so.
  cpSync(binaries.home, home, { recursive: true, verbatimSymlinks: true });
  return { ...binaries, home, binDir: join(home, 'bin') };
}

class Server implements PrivatePostgres {
  readonly host = HOST;
  readonly user = SUPERUSER;
  readonly dataDir: string;
  readonly logPath: string;
  readonly #binaries: PostgresBinaries;
  readonly #account: ServerAccount | undefined;
  readonly #folder: string;
  readonly #keep: boolean;
  readonly #watchdog: Watchdog;
  readonly #options: PrivatePostgresOptions;
  #port = 0;
  #process: ChildProcess | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    binaries: PostgresBinaries,
    account: ServerAccount | undefined,
    folder: string,
    dataDir: string,
    keep: boolean,
    watchdog: Watchdog,
    options: PrivatePostgresOptions,
  ) {
    this.#binaries = binaries;
    this.#account = account;
    this.#folder = folder;
    this.#keep = keep;
    this.#watchdog = watchdog;
    this.#options = options;
    this.dataDir = dataDir;
    this.logPath = join(folder, 'postgres.log');
  }

  get port(): number {
    return this.#port;
  }

  get binDir(): string {
    return this.#binaries.binDir;
  }

  get source(): 'embedded' | 'system' {
    return this.#binaries.source;
  }

  get version(): string {
    return this.#binaries.version;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  url(database = 'postgres'): string {
    return `postgresql://${SUPERUSER}@${HOST}:${this.#port}/${encodeURIComponent(database)}`;
  }

  /** First start: data folder, port, server. */
  async open(): Promise<void> {
    await mkdir(this.dataDir, { recursive: true, mode: 0o700 });
    if (!existsSync(join(this.dataDir, 'PG_VERSION'))) {
      if (this.#account) await chown(this.dataDir, this.#account.uid, this.#account.gid);
      await this.#initialise();
    }
    for (let attempt = 1; ; attempt += 1) {
      this.#port = this.#options.port ?? (await freePort(HOST));
      try {
        return await this.start();
      } catch (error) {
        // Between our look at the port and the server's, somebody else took it.
        const collision = /could not create any TCP\/IP sockets|in use/.test(this.#logTail());
        const mayRetry = collision && this.#options.port === undefined;
        if (!mayRetry || attempt >= PORT_ATTEMPTS_MAX) throw error;
      }
    }
  }

  async start(): Promise<void> {
    const until = Date.now() + ORPHANS_MS;
    for (;;) {
      try {
        return await this.#startOnce();
      } catch (error) {
        // After a kill the postmaster may be gone before the last of its processes has let the shared memory go.
        const orphans = String(error).includes('pre-existing shared memory block');
        if (!orphans || Date.now() > until) throw error;
        await sleep(ORPHANS_POLL_MS);
      }
    }
  }

  async #startOnce(): Promise<void> {
    if (this.#stopped) throw new Error('this private PostgreSQL was stopped for good');
    if (this.#process) return;
    this.#writeSettings();
    const child = this.#spawn('postgres', ['-D', this.dataDir]);
    const { pid } = child;
    if (pid === undefined) throw await this.#failure('could not be started');
    this.#process = child;
    this.#watchdog.watch(pid);
    child.once('exit', () => {
      this.#process = undefined;
      this.#watchdog.watch(0);
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!this.#isReady(pid)) {
      if (this.#process !== child) throw await this.#failure('ended while it was starting');
      if (Date.now() > deadline) {
        await this.kill();
        throw await this.#failure(`was not ready after ${START_TIMEOUT_MS} ms`);
      }
      await sleep(POLL_MS);
    }
  }

  async shutdown(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) return;
    const gone = ended(child);
    signalProcess(child.pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    thawTree(child.pid);
    if (await within(gone, STOP_TIMEOUT_MS)) return;
    signalProcess(child.pid, 'SIGQUIT');
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

  async createDatabase(name: string): Promise<string> {
    // Here, not above: whoever only starts a server needs no client.
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: this.url() });
    await client.connect();
    try {
      await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    } finally {
      await client.end();
    }
    return this.url(name);
  }

  async #stopForGood(): Promise<void> {
    await this.shutdown();
    releaseSharedMemory(this.dataDir);
    this.#watchdog.release();
    if (this.#keep && this.#options.dataDir === undefined) return;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
    if (!this.#keep) await rm(this.dataDir, { recursive: true, force: true, maxRetries: 3 });
  }

  async #initialise(): Promise<void> {
    const major = Number.parseInt(this.version, 10);
    // The builtin provider sorts alike on every machine; older servers take what the system has.
    const locale =
      major >= 17
        ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C']
        : [process.platform === 'linux' ? '--locale=C.UTF-8' : '--locale=C'];
    const user = ['-U', SUPERUSER, '-A', 'trust'];
    const rest = ['--no-sync', '--no-instructions', '-E', 'UTF8', ...locale];
    const child = this.#spawn('initdb', ['-D', this.dataDir, ...user, ...rest]);
    await ended(child);
    if (child.exitCode === 0) return;
    throw await this.#failure('could not create its data folder (initdb)');
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const log = openSync(this.logPath, 'a');
    try {
      const child = spawn(join(this.binDir, program), args, {
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
    const settings: Record<string, string> = {
      port: String(this.#port),
      listen_addresses: HOST,
      unix_socket_directories: '',
      wal_level: 'logical',
      max_connections: '200',
      max_wal_senders: '50',
      max_replication_slots: '100',
      max_prepared_transactions: '20',
      // Files in the data folder: nothing is left in /dev/shm after a kill, however small it is.
      dynamic_shared_memory_type: 'mmap',
      timezone: 'UTC',
      log_timezone: 'UTC',
      // Never synchronous_commit = off: a killed server would forget commits it has confirmed.
      ...(this.#options.durable ? {} : { fsync: 'off' }),
      ...this.#options.settings,
    };
    const lines = Object.entries(settings).map(
      ([name, value]) => `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'\n`,
    );
    // A file of its own, so that a restart replaces our settings and ALTER SYSTEM still wins.
    writeFileSync(join(this.dataDir, 'changeover.conf'), lines.join(''), { mode: 0o644 });
    const main = join(this.dataDir, 'postgresql.conf');
    const include = "include 'changeover.conf'";
    const text = readFileSync(main, 'utf8');
    if (!text.includes(include)) writeFileSync(main, `${text}\n${include}\n`);
  }

  /** The server writes its state into line 8 of its lock file; a stale file carries another pid. */
  #isReady(pid: number): boolean {
    try {
      const lines = readFileSync(join(this.dataDir, 'postmaster.pid'), 'utf8').split('\n');
      return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
    } catch {
      return false;
    }
  }

  #logTail(): string {
    try {
      return readFileSync(this.logPath, 'utf8').trim().split('\n').slice(-12).join('\n');
    } catch {
      return '';
    }
  }

  async #failure(what: string): Promise<Error> {
    const program = `PostgreSQL ${this.version} (${this.binDir})`;
    return new Error(`${program} ${what}; the end of its log:\n${this.#logTail()}`);
  }
}

/** Resolves when the process has ended (or could not be started); never rejects. */
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

/** A killed server leaves a tiny System V segment, which only its next start would remove. */
function releaseSharedMemory(dataDir: string): void {
  let id: string | undefined;
  try {
    const lines = readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
    id = lines[6]?.trim().split(/\s+/)[1];
  } catch {
    return; // It ended in order and took everything with it.
  }
  if (id === undefined) return;
  const child = spawn('ipcrm', ['-m', id], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}
