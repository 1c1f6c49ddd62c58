// Makes sure that node_modules matches package-lock.json, then runs a command with
// node_modules/.bin on the PATH. Plain JavaScript without imports from npm: it runs
// before anything is installed. Everything it says goes to stderr.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_MIN = [20, 19];
const LOCK_WAIT_MAX_MS = 10 * 60_000;

/** Stops with a plain sentence when this Node is older than package.json's `engines`. */
export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  process.stderr.write(
    `changeover needs Node ${NODE_MIN.join('.')} or newer; this is ${process.version}.\n`,
  );
  process.exit(1);
}

/** Why node_modules does not match the lock file, or undefined when it does. */
export function installProblem() {
  const installedPath = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return 'dependencies are not installed';
  try {
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
    for (const [path, entry] of Object.entries(wanted)) {
      if (!path.startsWith('node_modules/')) continue;
      const found = installed[path];
      if (found === undefined && (entry.optional || entry.devOptional || entry.peer)) continue;
      if (found === undefined) return `${path} is missing`;
      if (found.version !== entry.version) {
        return `${path} is ${found.version}, the lock file says ${entry.version}`;
      }
    }
  } catch (error) {
    return `the lock file cannot be read (${error.message})`;
  }
  return undefined;
}

/** Runs npm with its output on stderr; returns its exit code. */
export function npm(args) {
  const script = process.env.npm_execpath;
  const [command, prefix] =
    script?.endsWith('.js') && existsSync(script) ? [process.execPath, [script]] : ['npm', []];
  const result = spawnSync(command, [...prefix, ...args], { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.error) process.stderr.write(`npm could not be started: ${result.error.message}\n`);
  return result.status ?? 1;
}

/** Installs the locked dependencies when they are missing or differ; idempotent. */
export function ensureInstall() {
  requireNode();
  if (installProblem() === undefined) return;
  withLock('install', () => {
    const problem = installProblem();
    if (problem === undefined) return;
    process.stderr.write(`changeover: ${problem}; running npm ci ...\n`);
    const code = npm(['ci', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']);
    if (code !== 0) {
      process.stderr.write('changeover: npm ci failed; see the lines above.\n');
      process.exit(code);
    }
  });
}

/** Runs `body` while no other process holds the lock `name`; a dead holder's lock is taken over. */
export function withLock(name, body) {
  mkdirSync(join(root, '.cache'), { recursive: true });
  const path = join(root, '.cache', `${name}.lock`);
  const deadline = Date.now() + LOCK_WAIT_MAX_MS;
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!holderLives(path)) {
      rmSync(path, { force: true });
      continue;
    }
    if (Date.now() > deadline) throw new Error(`another process has held ${path} for too long`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
  try {
    return body();
  } finally {
    rmSync(path, { force: true });
  }
}

function holderLives(path) {
  let pid;
  try {
    pid = Number(readFileSync(path, 'utf8'));
  } catch {
    return false;
  }
  // Written but not yet filled: its holder is between open and write.
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** The environment with node_modules/.bin first on the PATH. */
export function environment(extra = {}) {
  const bin = join(root, 'node_modules', '.bin');
  return { ...process.env, ...extra, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` };
}

/**
 * Runs a command with inherited stdio, hands signals on to it, and ends as it ended:
 * same exit code, or 128 + n after signal n.
 */
export function runToTheEnd(command, args) {
  const child = spawn(command, args, { stdio: 'inherit', env: environment() });
  // A terminal sends Ctrl-C to the child as well; we only have to outlive it.
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT');
  });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => {
    process.stderr.write(`changeover: ${command} could not be started: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2);
  if (command === undefined) {
    process.stderr.write('usage: node scripts/with-install.mjs COMMAND [ARGUMENTS]\n');
    process.exit(2);
  }
  ensureInstall();
  runToTheEnd(command === 'node' ? process.execPath : command, args);
}
