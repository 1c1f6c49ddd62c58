// Best effort to have the database servers of the system that the tests want: PostgreSQL (brings
// contrib and pgbench; without one the tests run on the server from npm, and say so), MariaDB and
// sysbench. Nothing here starts a service: the tests start private servers of their own.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

const HOME = '/usr/lib/postgresql';

function installedMajor() {
  if (!existsSync(HOME)) return undefined;
  return readdirSync(HOME)
    .filter((name) => existsSync(`${HOME}/${name}/bin/postgres`))
    .sort((a, b) => Number(b) - Number(a))[0];
}

function apt(args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync('apt-get', args, { stdio: ['ignore', 2, 2], env }).status === 0;
}

/** Installs packages where that is possible without asking; never removes one for it. */
function install(say, packages) {
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0) return;
  const args = ['install', '-y', '--no-remove', '--no-install-recommends', ...packages];
  say(`apt-get install ${packages.join(' ')} ...`);
  if (!apt(args)) apt(['update', '-q']) && apt(args);
}

/** True when a program of this name can be started. */
function runs(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Installs PostgreSQL where that is possible without asking, and says what serves the tests. */
export function ensureSystemPostgres(say) {
  if (process.env.CHANGEOVER_TEST_POSTGRES) return;
  let major = installedMajor();
  if (major === undefined) {
    say('no PostgreSQL server is installed');
    install(say, ['postgresql']);
    major = installedMajor();
  }
  if (major !== undefined) return say(`PostgreSQL ${major} of the system serves the tests`);
  say('NO POSTGRESQL OF THE SYSTEM: the tests run on the embedded one from npm only,');
  say('without pgbench and contrib; tests that need those are skipped (in CI they fail).');
}

function mariadbVersion() {
  for (const program of ['mariadbd', '/usr/sbin/mariadbd']) {
    const { stdout } = spawnSync(program, ['--no-defaults', '--version'], { encoding: 'utf8' });
    const version = stdout?.match(/Ver ([\d.]+)-MariaDB/)?.[1];
    if (version !== undefined) return version;
  }
  return undefined;
}

/** Installs MariaDB and sysbench where that is possible without asking, and says what is there. */
export function ensureSystemMariadb(say) {
  let version = mariadbVersion();
  if (version === undefined) {
    say('no MariaDB server is installed');
    // The core packages hold the programs alone: no service, no data folder, no account.
    install(say, ['mariadb-server-core', 'mariadb-client-core']);
    version = mariadbVersion();
  }
  if (version !== undefined) say(`MariaDB ${version} serves the tests`);
  else {
    say('NO MARIADB: the tests of the MySQL adapter are skipped (in CI they fail).');
    return;
  }
  if (!runs('sysbench')) install(say, ['sysbench']);
  if (!runs('sysbench')) {
    say('NO SYSBENCH: the tests with its traffic are skipped (in CI they fail).');
  }
}
