import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface CliAnswer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder of a user who has installed the package: `npx changeover` works in it, and so does `import 'changeover'`. */
export interface UsersFolder {
  readonly path: string;
  copy(from: string): void;
  cli(...args: readonly string[]): CliAnswer;
  /** Runs a program of the user's; resolves with its output, rejects when it fails. */
  program(file: string): Promise<string>;
  /** A CLI command that goes on in the background, e.g. the worker. */
  background(...args: readonly string[]): ChildProcess;
  remove(): void;
}

/** Builds the package first, when something changed: what users import is `dist`. */
export function createUsersFolder(env: Readonly<Record<string, string>>): UsersFolder {
  const built = spawnSync(process.execPath, [join(root, 'scripts/build.mjs')], {
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`the build failed: ${built.stderr}`);
  const path = mkdtempSync(join(tmpdir(), 'changeover-user-'));
  mkdirSync(join(path, 'node_modules'));
  symlinkSync(root, join(path, 'node_modules', 'changeover'), 'dir');
  symlinkSync(join(root, 'node_modules', 'tsx'), join(path, 'node_modules', 'tsx'), 'dir');
  const main = join(path, 'node_modules/changeover/dist/cli/main.js');
  const environment = { ...process.env, ...env, NO_COLOR: '1' };
  return {
    path,
    copy: (from) => cpSync(join(root, from), path, { recursive: true }),
    cli(...args) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
        cwd: path,
        env: environment,
        encoding: 'utf8',
      });
      return { status, stdout, stderr };
    },
    program(file) {
      return new Promise((resolve, reject) => {
        const child = spawn(process.execPath, ['--import', 'tsx', file], {
          cwd: path,
          env: environment,
        });
        let stdout = '';
        let stderr = '';
        child.stdout.on('data', (chunk: Buffer) => {
          stdout += chunk.toString();
        });
        child.stderr.on('data', (chunk: Buffer) => {
          stderr += chunk.toString();
        });
        child.once('close', (status) =>
          status === 0
            ? resolve(stdout)
            : reject(new Error(`${file} ended with ${status}: ${stderr}`)),
        );
      });
    },
    background: (...args) =>
      spawn(process.execPath, [main, ...args], { cwd: path, env: environment, stdio: 'ignore' }),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}
