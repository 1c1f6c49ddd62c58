import { hostname, userInfo } from 'node:os';
import {
  applierDefaults,
  drainLog,
  drainUntilEmpty,
  logApplierDefaults,
} from '../capture/index.ts';
import {
  cutoverLimitsOf,
  gateProfileOf,
  type LoadedConfig,
  loadConfig,
  type OpenedMigration,
  openMigration,
} from '../config/index.ts';
import { type Act, type Controller, createController } from '../controller/index.ts';
import type { MigrationState } from '../migration/index.ts';
import { systemClock } from '../runtime/index.ts';
import { recheckSuspects } from '../verify/index.ts';
import type { TerminalIo } from './terminal-io.ts';

/** Options that every command knows. */
export interface GlobalOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly reason?: string;
  readonly actor?: string;
}

/** What a command works with. */
export interface CommandContext {
  readonly io: TerminalIo;
  readonly globals: GlobalOptions;
  /** A line on stderr, for people. */
  progress(text: string): void;
}

/** An opened migration and its controller. */
export interface Session extends CommandContext {
  readonly loaded: LoadedConfig;
  readonly migration: OpenedMigration;
  readonly controller: Controller;
  readonly act: Act;
}

export interface SessionOptions {
  /** Stores that are down do not matter to this command. Default false. */
  readonly tolerateStores?: boolean;
  /** With `tolerateStores`: how long they may take to describe their tables. */
  readonly catalogMs?: number;
}

/** Opens the configured migration for `body` and closes it, whatever happens. */
export async function withSession<T>(
  context: CommandContext,
  options: SessionOptions,
  body: (session: Session) => Promise<T>,
): Promise<T> {
  const { globals, io } = context;
  const loaded = await loadConfig(globals.config ?? io.cwd);
  const migration = await openMigration(loaded.definition, {
    folder: loaded.folder,
    unreachable: options.tolerateStores ? 'tolerate' : 'throw',
    ...(options.catalogMs === undefined ? {} : { catalogMs: options.catalogMs }),
  });
  try {
    const controller = controllerOf(migration);
    return await body({ ...context, loaded, migration, controller, act: actOf(globals) });
  } finally {
    await migration.close();
  }
}

/** The controller with the thresholds and deadlines of the configuration; a switch drains the queue by itself, beside any worker. */
function controllerOf(migration: OpenedMigration): Controller {
  const { options, definition, control } = migration;
  const name = migration.migration.name;
  return createController(migration, {
    profile: gateProfileOf(options),
    gates: definition.customGates,
    cutover: cutoverLimitsOf(options),
    drain: async (_side, signal) => {
      const state = await control.load(name);
      await drainLog(migration, state, logApplierDefaults, options.switch.holdMs, signal);
      return drainUntilEmpty(migration, state, applierDefaults, options.switch.holdMs, signal);
    },
    recheck: async (signal) => {
      const state = await control.load(name);
      // Writes are held and everything is drained: one exact look decides.
      const recheck = { delaysMs: [0] };
      const looks = { currentState: () => state, ignoreHold: true, recheck };
      return recheckSuspects(migration, looks, signal);
    },
  });
}

/** Who acts, and why, as it goes into the audit. */
export function actOf(globals: GlobalOptions): Act {
  return { actor: globals.actor ?? whoAmI(), reason: globals.reason ?? '' };
}

function whoAmI(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A container may run under an id without a name.
    return `uid${process.getuid?.() ?? ''}@${hostname()}`;
  }
}

/** `host:pid`, for the fleet. */
export function processLabel(): string {
  return `${hostname()}:${process.pid}`;
}

/** The newest state, followed while a long command runs. */
export interface StateFollower {
  current(): MigrationState;
  close(): void;
}

export async function followState({ migration }: Session): Promise<StateFollower> {
  const { control } = migration;
  let newest = await control.load(migration.migration.name);
  const close = control.watch(
    migration.migration.name,
    (state) => {
      newest = state;
    },
    // The last known state stands until the control store answers again.
    () => {},
  );
  return { current: () => newest, close };
}

/** Aborted by Ctrl-C or SIGTERM; `stop` takes the handlers away. */
export function interruption(): { readonly signal: AbortSignal; stop(): void } {
  const abort = new AbortController();
  const onSignal = (): void => abort.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  return {
    signal: abort.signal,
    stop() {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

/** Milliseconds since the returned function was made. */
export function stopwatch(): () => number {
  const begun = systemClock.monotonic();
  return () => systemClock.monotonic() - begun;
}
