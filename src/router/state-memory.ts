import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ChangeoverError } from '../errors/index.ts';
import { isPhase, type MigrationState } from '../migration/index.ts';

/** The last state that this host knew, for a cold start while the control store is away. */
export interface StateMemory {
  load(migration: string): Promise<MigrationState | null>;
  /** Never throws: a full disk must not stop the application. */
  save(state: MigrationState): Promise<void>;
}

/**
 * A memory in one JSON file, replaced atomically; states are written one after the other and never backwards. A file that cannot be
 * read as a state of this migration is an error (CONFIG_INVALID), not an absent memory: guessing would be a default.
 */
export function fileStateMemory(path: string): StateMemory {
  let newest = 0;
  let writing: Promise<void> = Promise.resolve();
  return {
    async load(migration) {
      let text: string;
      try {
        text = await readFile(path, 'utf8');
      } catch {
        return null;
      }
      return parseState(path, text, migration);
    },
    save(state) {
      if (state.version <= newest) return writing;
      newest = state.version;
      writing = writing.then(() => replace(path, JSON.stringify(state))).catch(() => {});
      return writing;
    },
  };
}

function parseState(path: string, text: string, migration: string): MigrationState {
  let state: unknown = null;
  try {
    state = JSON.parse(text);
  } catch {
    // falls through to the error below
  }
  if (!isStateOf(migration, state)) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `The remembered state in ${path} is not one of migration "${migration}"; delete the file or name another.`,
    );
  }
  return state;
}

/** Every field that routing depends on: a half-right state would route by `undefined`. */
function isStateOf(migration: string, value: unknown): value is MigrationState {
  if (typeof value !== 'object' || value === null) return false;
  const state = value as Partial<Record<keyof MigrationState, unknown>>;
  const counts = [state.generation, state.version, state.epoch, state.dialBasisPoints];
  return (
    (state.formatVersion === 1 || state.formatVersion === 2) &&
    state.migration === migration &&
    typeof state.phase === 'string' &&
    isPhase(state.phase) &&
    counts.every((count) => Number.isSafeInteger(count) && (count as number) >= 0) &&
    Array.isArray(state.segments) &&
    typeof state.workHeld === 'boolean' &&
    typeof state.cutover === 'object'
  );
}

async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}
