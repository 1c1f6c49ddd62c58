import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { unreachableStore } from '../config/index.ts';
import type { ControlConnector, MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import { createEventHub } from '../migration/index.ts';
import { systemRuntime } from '../runtime/index.ts';

/** A migration by its name and its control store, for the hour in which no configuration can be read. */
export interface ControlAddress {
  readonly name: string;
  /** A SQLite file or `postgres://…`. Default: `.changeover/<name>.db` below `cwd`. */
  readonly control: string | undefined;
  readonly cwd: string;
}

/**
 * Opens the control store alone for `body` and closes it, whatever happens. There are no stores and no collections: whatever asks for them
 * fails with CONFIG_INVALID. A SQLite file has to be there, because a new, empty one would be another migration.
 */
export async function withControl<T>(
  address: ControlAddress,
  body: (context: MigrationContext) => Promise<T>,
): Promise<T> {
  const control = await (await connectorOf(address)).connect(systemRuntime);
  const error = new ChangeoverError(
    'CONFIG_INVALID',
    'Without a configuration there are no stores.',
  );
  try {
    return await body({
      migration: { name: address.name, collections: new Map() },
      stores: {
        source: unreachableStore('source', 'none', error),
        target: unreachableStore('target', 'none', error),
      },
      control,
      runtime: systemRuntime,
      events: createEventHub(),
      instance: systemRuntime.random.id(),
    });
  } finally {
    await control.close();
  }
}

async function connectorOf({ name, control, cwd }: ControlAddress): Promise<ControlConnector> {
  if (control !== undefined && /^postgres(ql)?:/.test(control)) {
    const { postgresControl } = await import('../adapters/postgres/index.ts');
    return postgresControl({ url: control });
  }
  const file = resolve(cwd, control ?? join('.changeover', `${name}.db`));
  if (!existsSync(file)) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `There is no control file ${file}. Name it with --control: \`changeover status\` and the log of a worker show it.`,
      { data: { file } },
    );
  }
  const { sqlite } = await import('../adapters/sqlite/index.ts');
  return sqlite({ file });
}
