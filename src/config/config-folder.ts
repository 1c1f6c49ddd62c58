import type { DefinedMigration } from './migration-config.ts';

const folders = new WeakMap<DefinedMigration, string>();

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
