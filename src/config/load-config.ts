import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ChangeoverError, messageOf } from '../errors/index.ts';
import { rememberFile, rememberFolder } from './config-folder.ts';
import { importHint } from './import-hint.ts';
import type { DefinedMigration } from './migration-config.ts';

/** Names that are looked for, in this order. */
export const configFiles = [
  'changeover.config.ts',
  'changeover.config.mts',
  'changeover.config.js',
  'changeover.config.mjs',
] as const;

export interface LoadedConfig {
  readonly definition: DefinedMigration;
  /** Absolute. */
  readonly path: string;
  /** Where relative paths of the configuration begin. */
  readonly folder: string;
}

/**
 * Finds and imports a configuration. `path`: a file, or a folder to look in (default: the working directory). The definition remembers the
 * folder of the file: `openMigration` looks for its control file there, from wherever the process was started.
 * Errors: CONFIG_INVALID with file and, where it is known, line.
 */
export async function loadConfig(path: string = process.cwd()): Promise<LoadedConfig> {
  const file = findConfig(resolve(path));
  let module: { readonly default?: unknown };
  try {
    module = await importConfig(file);
  } catch (error) {
    throw located(file, error);
  }
  const definition = module.default as DefinedMigration | undefined;
  if (definition?.kind !== 'changeover/migration') {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `${file} has no default export made by defineMigration: write \`export default defineMigration({ … })\`.`,
      { data: { file } },
    );
  }
  const folder = dirname(file);
  rememberFolder(definition, folder);
  rememberFile(definition, file);
  return { definition, path: file, folder };
}

function findConfig(path: string): string {
  if (/\.m?[jt]s$/.test(path)) {
    if (existsSync(path)) return path;
    throw new ChangeoverError('CONFIG_INVALID', `There is no file ${path}.`, {
      data: { file: path },
    });
  }
  const found = configFiles.map((name) => join(path, name)).filter((file) => existsSync(file));
  if (found[0] === undefined) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `There is no ${configFiles[0]} in ${path}. Make one with \`changeover init\`, or name it with --config.`,
      { data: { folder: path } },
    );
  }
  if (found.length > 1) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `${path} holds ${found.map((file) => basename(file)).join(' and ')}: remove all but one, or name one with --config.`,
      { data: { folder: path } },
    );
  }
  return found[0];
}

type Module = { readonly default?: unknown };

/** Node ≥ 22.18 strips types itself, and a loader may be there already (`--import tsx`); else tsx does it, if the project has it. */
async function importConfig(file: string): Promise<Module> {
  const url = pathToFileURL(file).href;
  try {
    return (await import(url)) as Module;
  } catch (error) {
    if (!needsLoader(error, file)) throw error;
  }
  const tsx = await findTsx(file);
  if (tsx === null) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `Node ${process.versions.node} cannot read TypeScript: use Node 22.18 or newer, or \`npm install --save-dev tsx\`, or rename the file to changeover.config.mjs without types.`,
      { data: { file } },
    );
  }
  const module = (await tsx.tsImport(url, import.meta.url)) as Module;
  // In a folder without `"type": "module"` it is a CommonJS module inside an ES module.
  const inner = module.default as Module | undefined;
  return inner !== undefined && typeof inner === 'object' && 'default' in inner ? inner : module;
}

/** True when typescript could be imported from this folder: decides what `init` writes. */
export async function readsTypeScript(folder: string): Promise<boolean> {
  const native = (process.features as { readonly typescript?: unknown }).typescript;
  return Boolean(native) || (await findTsx(join(folder, 'changeover.config.ts'))) !== null;
}

interface Tsx {
  tsImport(specifier: string, parent: string): Promise<unknown>;
}

interface TsxManifest {
  readonly exports: { readonly './esm/api': { readonly import: { readonly default: string } } };
}

async function findTsx(file: string): Promise<Tsx | null> {
  for (const from of [file, fileURLToPath(import.meta.url)]) {
    try {
      // By the `import` condition of its package: what `require.resolve` finds does not work (tsx 4.23: a wrong path inside).
      const manifest = createRequire(from).resolve('tsx/package.json');
      const { exports } = JSON.parse(readFileSync(manifest, 'utf8')) as TsxManifest;
      const entry = new URL(exports['./esm/api'].import.default, pathToFileURL(manifest));
      return (await import(entry.href)) as Tsx;
    } catch {
      // Not installed there.
    }
  }
  return null;
}

function needsLoader(error: unknown, file: string): boolean {
  const { code } = error as { readonly code?: unknown };
  return /\.m?ts$/.test(file) && code === 'ERR_UNKNOWN_FILE_EXTENSION';
}

/** The error with file and line in front. */
function located(file: string, error: unknown): ChangeoverError {
  const ours = asOurs(error);
  const line = ours
    ? lineOfProblem(file, ours)
    : (lineOfStack(file, error) ?? lineOfSyntax(file, error));
  const place = line === null ? file : `${file}:${line}`;
  const text = ours
    ? ours.message.replace(/^[A-Z_]+: /, '')
    : `${firstLine(messageOf(error))}${importHint(error)}`;
  // The words of other programs seldom end in a full stop, and ours come behind.
  return new ChangeoverError('CONFIG_INVALID', `${place}: ${text.replace(/[^.!?]$/, '$&.')}`, {
    cause: error,
    data: { file, line },
  });
}

/** The configuration may import another copy of this library, whose errors are of another class. */
function asOurs(error: unknown): ChangeoverError | null {
  return error instanceof Error && error.name === 'ChangeoverError'
    ? (error as ChangeoverError)
    : null;
}

/** Where the last part of the path of the first problem stands: each part is looked for after the one before it. */
function lineOfProblem(file: string, error: ChangeoverError): number | null {
  const problem = /"([\w$.-]+)"/.exec(error.message)?.[1];
  if (problem === undefined) return lineOfStack(file, error);
  const text = readFileSync(file, 'utf8');
  let at = 0;
  for (const part of problem.split('.')) {
    const pattern = new RegExp(
      `(?<![\\w$])['"]?${part.replace(/[$.]/g, '\\$&')}['"]?\\s*[:,(}]`,
      'g',
    );
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    // A key that is missing: the nearest parent that is there.
    if (found === null) break;
    at = found.index;
  }
  return at === 0 ? lineOfStack(file, error) : text.slice(0, at).split('\n').length;
}

/** The line that a stack (or the head of a syntax error) names. */
function lineOfStack(file: string, error: unknown): number | null {
  const { stack = '', message = '' } = error instanceof Error ? error : new Error(String(error));
  const name = basename(file).replace(/[.]/g, '\\.');
  const match = new RegExp(`${name}(?:\\?[^:\\s]*)?:(\\d+)`).exec(`${stack}\n${message}`);
  return match ? Number(match[1]) : null;
}

/** Node keeps the place of a syntax error to itself, but prints it when it checks the file. */
function lineOfSyntax(file: string, error: unknown): number | null {
  if ((error as Error | null)?.name !== 'SyntaxError') return null;
  const { stderr } = spawnSync(process.execPath, ['--check', file], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return lineOfStack(file, new Error(stderr));
}

const firstLine = (text: string): string => text.trim().split('\n').slice(0, 3).join(' ');
