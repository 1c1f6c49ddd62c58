import { join } from 'node:path';
import {
  type ControlConnector,
  type ControlStore,
  type MigrationContext,
  openRedactor,
  type Redactor,
  redactingLedger,
} from '../control/index.ts';
import {
  type Collection,
  createEventHub,
  type Migration,
  type Shape,
  type Side,
} from '../migration/index.ts';
import { type Runtime, systemRuntime, withDeadline } from '../runtime/index.ts';
import type { MigrationStore } from '../store/index.ts';
import type { CollectionMapping } from './column-mappings.ts';
import {
  mappingsOf,
  needsTypes,
  type SideShapes,
  tablesOf,
  transformsOf,
} from './compose-mappings.ts';
import { folderOf } from './config-folder.ts';
import type { CollectionDraft, DefinedMigration } from './migration-config.ts';
import type { MigrationOptions } from './options.ts';
import { asShape, isComplete, resolveShape } from './resolve-shape.ts';
import { unreachableStore } from './unreachable-store.ts';

export interface OpenOptions {
  /** Default: the system's clock and chance. */
  readonly runtime?: Runtime;
  /** Name of this process in leases and audit. Default: a random one. */
  readonly instance?: string;
  /**
   * `throw` (default): a store whose catalog is needed for a key has to answer. `tolerate`: it may be down, or lack a table; every call to
   * it then fails with that error, which is enough for what needs the control store alone (rollback, status).
   */
  readonly unreachable?: 'throw' | 'tolerate';
  /** How long a store may take to describe its tables before it counts as down; with `tolerate` only. Default 3 000. */
  readonly catalogMs?: number;
  /**
   * Where relative paths begin, above all the default control file `.changeover/<name>.db`. Default: the folder of the file that
   * `loadConfig` loaded; for a definition that was imported in another way, the working directory. Every process has to mean the same one.
   */
  readonly folder?: string;
}

/** A migration with its stores and control store, and what closes them. */
export interface OpenedMigration extends MigrationContext {
  /** Collection → how its columns go over, where the stores are of different engines or columns have options of their own. */
  readonly mappings: ReadonlyMap<string, CollectionMapping>;
  readonly options: MigrationOptions;
  readonly definition: DefinedMigration;
  /** Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens both stores and the control store of a configuration. Stores open lazily; a store is asked at once only for keys that the
 * configuration leaves out. Errors: CONFIG_INVALID, STORE_UNAVAILABLE.
 */
export async function openMigration(
  definition: DefinedMigration,
  options: OpenOptions = {},
): Promise<OpenedMigration> {
  const runtime = options.runtime ?? systemRuntime;
  const tolerateMs = options.unreachable === 'tolerate' ? (options.catalogMs ?? 3_000) : null;
  const types = needsTypes(definition);
  const [source, target] = await Promise.all([
    shapesOf(definition, 'source', runtime, tolerateMs, types),
    shapesOf(definition, 'target', runtime, tolerateMs, types),
  ]);
  const mappings = mappingsOf(definition, source, target, tolerateMs === null);
  const opened: { close(): Promise<void> }[] = [];
  const close = async (): Promise<void> => {
    await Promise.allSettled(opened.splice(0).map((one) => one.close()));
  };
  const keep = <T extends MigrationStore | ControlStore>(one: T): T => {
    opened.push(one);
    return one;
  };
  const connect = async (side: Side, { shapes, error }: SideShapes): Promise<MigrationStore> =>
    error === null
      ? keep(
          await definition[side].connect({
            migration: definition.name,
            side,
            shapes,
            logged: loggedIn(definition),
            runtime,
          }),
        )
      : unreachableStore(side, definition[side].engine, error.reason);
  try {
    const migration = migrationOf(definition, source.shapes, target.shapes, mappings);
    const control = redacting(
      keep(await (await controlOf(definition, options.folder)).connect(runtime)),
      migration,
      definition.options.redaction.secret,
      runtime,
    );
    const stores = {
      source: await connect('source', source),
      target: await connect('target', target),
    };
    return {
      definition,
      options: definition.options,
      migration,
      mappings,
      stores,
      control,
      traffic: definition.traffic,
      runtime,
      events: createEventHub(),
      instance: options.instance ?? runtime.random.id(),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The configured control store, or the default file; see `OpenOptions.folder`. The adapter is loaded only then: it brings a native library. */
export async function controlOf(
  definition: DefinedMigration,
  given?: string,
): Promise<ControlConnector> {
  const folder = given ?? folderOf(definition);
  const { control, name } = definition;
  if (control) return folder === undefined ? control : (control.within?.(folder) ?? control);
  const { sqlite } = await import('../adapters/sqlite/index.ts');
  return sqlite({ file: join(folder ?? process.cwd(), '.changeover', `${name}.db`) });
}

/** The control store, in which no redacted value arrives. */
function redacting(
  control: ControlStore,
  migration: Migration,
  secret: string | null,
  runtime: Runtime,
): ControlStore {
  const open = (): Promise<Redactor> => openRedactor(control, migration.name, secret, runtime);
  return { ...control, mismatches: redactingLedger(control.mismatches, migration, open) };
}

function loggedIn(definition: DefinedMigration): ReadonlySet<string> {
  const drafts = [...definition.collections.values()];
  return new Set(drafts.filter(({ capture }) => capture === 'log').map(({ name }) => name));
}

async function shapesOf(
  definition: DefinedMigration,
  side: Side,
  runtime: Runtime,
  tolerateMs: number | null,
  types: boolean,
): Promise<SideShapes> {
  const drafts = [...definition.collections.values()];
  const shapes = (of: (draft: CollectionDraft) => Shape): ReadonlyMap<string, Shape> =>
    new Map(drafts.map((draft) => [draft.name, of(draft)] as const));
  if (!types && drafts.every((draft) => isComplete(draft[side]))) {
    return { shapes: shapes((draft) => asShape(draft[side])), error: null, tables: null };
  }
  try {
    const asked = definition[side].describeTables?.(runtime, { types }) ?? Promise.resolve([]);
    const what = `a look at the tables of the ${side}`;
    const tables = await (tolerateMs === null
      ? asked
      : withDeadline(runtime.clock, tolerateMs, what, asked));
    const complete = shapes((draft) =>
      isComplete(draft[side])
        ? asShape(draft[side])
        : resolveShape(draft[side], tables, { collection: draft.name, side }),
    );
    return {
      shapes: complete,
      error: null,
      tables: types ? tablesOf(complete, tables, side) : null,
    };
  } catch (reason) {
    // Whatever it is (a renamed table, a lost privilege): the way back must not fail for it.
    if (tolerateMs === null) throw reason;
    const keyless = shapes(({ [side]: draft }) =>
      isComplete(draft) ? asShape(draft) : { table: draft.table, key: draft.key ?? [] },
    );
    return { shapes: keyless, error: { reason }, tables: null };
  }
}

function migrationOf(
  definition: DefinedMigration,
  source: ReadonlyMap<string, Shape>,
  target: ReadonlyMap<string, Shape>,
  mappings: ReadonlyMap<string, CollectionMapping>,
): Migration {
  const collections = [...definition.collections.values()].map((draft): [string, Collection] => {
    const { columns: _said, ...rest } = draft;
    return [
      draft.name,
      Object.freeze({
        ...rest,
        ...transformsOf(draft, mappings.get(draft.name)),
        source: source.get(draft.name) as Shape,
        target: target.get(draft.name) as Shape,
      }),
    ];
  });
  return Object.freeze({ name: definition.name, collections: new Map(collections) });
}
