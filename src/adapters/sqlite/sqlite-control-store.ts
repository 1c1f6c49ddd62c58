import { resolve } from 'node:path';
import type { ControlConnector } from '../../control/index.ts';
import { createSqlControlStore } from '../sql-control/index.ts';
import { createSqliteControlEngine } from './sqlite-control-engine.ts';

export interface SqliteControlOptions {
  /**
   * Path of the file. A relative one begins in the folder of the configuration that `loadConfig` found, else in the working directory.
   * It and its folder are made when they are missing.
   */
  readonly file: string;
}

/**
 * The control store in a local file: the default. For several processes of one host; not for network file systems.
 * Opens lazily. Errors of calls: CONTROL_UNAVAILABLE (locked, disk full, not writable), CONFIG_INVALID (damaged file, newer format).
 */
export function sqlite(options: SqliteControlOptions): ControlConnector {
  return within(process.cwd(), options.file);
}

function within(folder: string, given: string): ControlConnector {
  const file = resolve(folder, given);
  return {
    display: `sqlite:${file}`,
    connect: async (runtime) => createSqlControlStore(createSqliteControlEngine(file, runtime)),
    within: (other) => within(other, given),
  };
}
