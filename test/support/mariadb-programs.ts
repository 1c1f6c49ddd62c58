import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface MariadbPrograms {
  /** `mariadbd`, as a path or a name to be found in PATH. */
  readonly server: string;
  /** `mariadb-install-db`. */
  readonly install: string;
  /** For example `10.11.19`. */
  readonly version: string;
}

let found: MariadbPrograms | undefined;

/** The MariaDB server programs of this machine; throws when there are none. */
export function mariadbPrograms(): MariadbPrograms {
  found ??= lookForMariadb();
  if (found === undefined) {
    throw new Error('no MariaDB server is installed (Debian: apt-get install mariadb-server)');
  }
  return found;
}

/** True when `mariadbPrograms` finds some. */
export function hasMariadb(): boolean {
  found ??= lookForMariadb();
  return found !== undefined;
}

function lookForMariadb(): MariadbPrograms | undefined {
  const server = runs(['mariadbd', '/usr/sbin/mariadbd', '/usr/local/sbin/mariadbd']);
  const install = runs(['mariadb-install-db', '/usr/bin/mariadb-install-db']);
  const version = server?.output.match(/Ver ([\d.]+)-MariaDB/)?.[1];
  if (server === undefined || install === undefined || version === undefined) return undefined;
  return { server: server.program, install: install.program, version };
}

/** The first of these that can be started (`mariadb-install-db` knows no --version: any end will do). */
function runs(
  programs: readonly string[],
): { readonly program: string; readonly output: string } | undefined {
  for (const program of programs) {
    const { error, stdout } = spawnSync(program, ['--no-defaults', '--version', '--help'], {
      encoding: 'utf8',
    });
    if (error === undefined) return { program, output: stdout };
  }
  return undefined;
}

/** The unprivileged account of a server that root starts; undefined: it runs as we do. */
export function mariadbAccount(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['mysql', 'nobody']) {
    const line = accounts.find((entry) => entry.startsWith(`${name}:`));
    const [, , uid, gid] = line?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('MariaDB does not run as root, and there is no account mysql or nobody');
}
