// Best effort to have a PostgreSQL of the system for the tests: it brings contrib and pgbench.
// Without one the tests run on the server from npm, and say so.
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

/** Installs PostgreSQL where that is possible without asking; returns a line for the summary. */
export function ensureSystemPostgres(say) {
  if (process.env.CHANGEOVER_TEST_POSTGRES) return;
  let major = installedMajor();
  const mayInstall = existsSync('/etc/debian_version') && process.getuid?.() === 0;
  if (major === undefined && mayInstall) {
    say('no PostgreSQL server is installed; apt-get install postgresql ...');
    const packages = ['install', '-y', '--no-install-recommends', 'postgresql'];
    if (!apt(packages)) apt(['update', '-q']) && apt(packages);
    major = installedMajor();
  }
  if (major !== undefined) return say(`PostgreSQL ${major} of the system serves the tests`);
  say('NO POSTGRESQL OF THE SYSTEM: the tests run on the embedded one from npm only,');
  say('without pgbench and contrib; tests that need those are skipped (in CI they fail).');
}
