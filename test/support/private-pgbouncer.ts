import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/demo/free-port.ts';
import { serverAccount } from '../../src/demo/server-account.ts';
import { startWatchdog } from '../../src/demo/watchdog.ts';

const HOST = '127.0.0.1';
const START_MS = 10_000;

/** True when PgBouncer is installed. */
export const hasPgBouncer = (): boolean =>
  spawnSync('pgbouncer', ['--version']).error === undefined;

export interface PrivatePgBouncerOptions {
  /** What the include file holds at first: lines of `[databases]`. */
  readonly databases: string;
  /** Lines of `[pgbouncer]` that win over ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Lines of pgbouncer.ini before the include directive, and behind it. */
  readonly own?: { readonly before?: string; readonly behind?: string };
}

/** A PgBouncer of our own on a free port, as an unprivileged user (it refuses root), gone with the process that started it. */
export interface PrivatePgBouncer {
  readonly port: number;
  /** The file that it includes. */
  readonly file: string;
  /** Of the admin console; `stats` may look and not touch. */
  admin(user?: 'admin' | 'stats'): string;
  url(database: string): string;
  log(): Promise<string>;
  /** kill -9. Clients are gone with it. */
  kill(): Promise<void>;
  /** Again on the same port, after `kill`. */
  start(): Promise<void>;
  /** For good. Idempotent. */
  stop(): Promise<void>;
}

export async function startPrivatePgBouncer(
  options: PrivatePgBouncerOptions,
): Promise<PrivatePgBouncer> {
  const account = serverAccount();
  const folder = await mkdtemp(join(tmpdir(), 'changeover-pgbouncer-'));
  const watchdog = startWatchdog(folder, folder, false);
  const [ini, file, users, log] = ['pgbouncer.ini', 'changeover.ini', 'users', 'log'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  const port = await freePort(HOST);
  const settings = {
    listen_addr: HOST,
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: users,
    admin_users: 'admin',
    stats_users: 'stats',
    pool_mode: 'transaction',
    server_login_retry: '1',
    max_client_conn: '200',
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`);
  const { before = '', behind = '' } = options.own ?? {};
  await writeFile(file, `[databases]\n${options.databases}\n`);
  await writeFile(
    ini,
    `${before}\n%include ${file}\n${behind}\n[pgbouncer]\n${lines.join('\n')}\n`,
  );
  await writeFile(users, '"admin" ""\n"stats" ""\n"postgres" ""\n');
  await writeFile(log, '');
  for (const one of [folder, ini, file, users, log]) {
    await chmod(one, one === folder ? 0o755 : 0o644);
    if (account) await chown(one, account.uid, account.gid);
  }
  let child: ChildProcess | null = null;
  const listening = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, HOST, () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  const start = async (): Promise<void> => {
    const started = spawn('pgbouncer', ['-q', ini], {
      cwd: folder,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
    });
    let said = '';
    started.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    started.on('error', () => {});
    started.unref();
    child = started;
    watchdog.watch(started.pid ?? 0);
    written = () => said;
    for (const until = Date.now() + START_MS; !(await listening()); await sleep(20)) {
      if (Date.now() > until || started.exitCode !== null)
        throw new Error(`PgBouncer did not start: ${said}`);
    }
  };
  let written = (): string => '';
  const kill = async (): Promise<void> => {
    const running = child;
    child = null;
    watchdog.watch(0);
    if (running === null || running.exitCode !== null || running.signalCode !== null) return;
    running.ref();
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
  };
  const stop = async (): Promise<void> => {
    await kill();
    watchdog.release();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    file,
    admin: (user = 'admin') => `postgres://${user}@${HOST}:${port}/pgbouncer`,
    url: (database) => `postgres://postgres@${HOST}:${port}/${database}`,
    log: async () => `${written()}${await readFile(log, 'utf8')}`,
    kill,
    start,
    stop,
  };
}
