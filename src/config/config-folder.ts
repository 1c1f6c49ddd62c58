import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { DefinedMigration } from './migration-config.ts';

const folders = new WeakMap<DefinedMigration, string>();
const files = new WeakMap<DefinedMigration, ConfigFile>();

/**
 * Remembers where a definition was loaded from. An application is often started in another folder than the operator's commands: were the
 * control file looked for in the working directory, it would silently get a second, empty control store.
 */
export function rememberFolder(definition: DefinedMigration, folder: string): void {
  folders.set(definition, folder);
}

/** Where relative paths of a definition begin; undefined: `loadConfig` has not loaded it. */
export function folderOf(definition: DefinedMigration): string | undefined {
  return folders.get(definition);
}

/** The file of a definition, as it was when it was loaded. */
export interface ConfigFile {
  readonly path: string;
  /** Of its text: a process that loads it again must not run something else. */
  readonly digest: string;
}

/** Remembers the file of a definition: other threads load it for themselves. */
export function rememberFile(definition: DefinedMigration, path: string): void {
  files.set(definition, { path, digest: digestOf(path) });
}

/** undefined: `loadConfig` has not loaded it. */
export function fileOf(definition: DefinedMigration): ConfigFile | undefined {
  return files.get(definition);
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
