import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { LogChange, LogTable } from '../log/index.ts';
import type { Collection, Side } from '../migration/index.ts';
import type { LogRoutes } from './log-routes.ts';

const ACTION = 'log-form';
const HISTORY_MAX = 10_000;

/** Columns of a table and their types, as a collection's mapping was made for them. */
type Form = Readonly<Record<string, string>>;

/**
 * Watches the forms of the tables in the log. What the mapping of a collection was made for is kept in the audit, so it outlives the worker: a
 * column that went, was renamed or has another type stops the log before its first row, because a transform that does not know may make something of
 * its absence. A column that was added is followed: transforms do not see what they do not ask for, and where rows pass as they are the follower
 * refuses what it does not have. Raising the collection's `transformVersion` says that the mapping was adapted.
 *
 * Stores remember the columns of their tables. Whatever is new in the log makes both forget, before the first row of it is read again or handed on. Between
 * stores that spell values differently that is not enough: how a new column is converted is known to a new process only, so the log stops.
 */
export class LogForms {
  readonly #context: MigrationContext;
  readonly #side: Side;
  readonly #routes: LogRoutes;
  readonly #checked = new WeakSet<LogTable>();
  #known: Map<string, Form> | null = null;

  constructor(context: MigrationContext, side: Side, routes: LogRoutes) {
    this.#context = context;
    this.#side = side;
    this.#routes = routes;
  }

  /** Every table of these changes has a form that the mapping covers, or SCHEMA_CHANGED. */
  async check(changes: readonly LogChange[]): Promise<void> {
    let last: LogTable | null = null;
    for (const { table } of changes) {
      if (table === last) continue;
      last = table;
      if (this.#checked.has(table)) continue;
      for (const { collection } of this.#routes.of(table)) {
        if (await this.#isNew(table, collection)) forgetTables(this.#context);
      }
      this.#checked.add(table);
    }
  }

  async #isNew(table: LogTable, collection: Collection): Promise<boolean> {
    this.#known ??= await this.#load();
    const name = `${table.schema}.${table.name}`;
    const id = idOf(this.#side, collection.name, collection.transformVersion, name);
    const form: Form = Object.fromEntries(table.columns.map((one) => [one.name, one.type]));
    const known = this.#known.get(id);
    const lost = Object.entries(known ?? {}).filter(([column, type]) => form[column] !== type);
    if (lost.length > 0) throw changed(name, collection, lost, form);
    const strange = unconverted(table, collection, this.#side);
    if (strange.length > 0) throw added(table, collection, strange);
    if (known && Object.keys(known).length === table.columns.length) return false;
    this.#known.set(id, form);
    const detail = {
      side: this.#side,
      collection: collection.name,
      transformVersion: collection.transformVersion,
      table: name,
      form,
    };
    const { control, migration, instance } = this.#context;
    await control.note(migration.name, { actor: instance, action: ACTION, reason: '', detail });
    return true;
  }

  /** Oldest first, so that the newest of a table stands. */
  async #load(): Promise<Map<string, Form>> {
    const { control, migration } = this.#context;
    const lines = await control.history(migration.name, HISTORY_MAX);
    const known = new Map<string, Form>();
    for (const { action, detail } of [...lines].reverse()) {
      if (action !== ACTION) continue;
      const { side, collection, transformVersion, table, form } = detail;
      const id = idOf(String(side), String(collection), Number(transformVersion), String(table));
      known.set(id, form as Form);
    }
    return known;
  }
}

/** Where conversions were made for the columns that there were, new ones are left to a new process: a store would hand them over unconverted. */
export function forgetTables({ migration, stores }: MigrationContext): void {
  const converts = [...migration.collections.values()].some((one) => one.convertedFields);
  if (converts) return;
  for (const { setup } of [stores.source, stores.target]) setup.forgetTables?.();
}

/** Columns that the collection carries and has no conversion for, though it converts. */
function unconverted(table: LogTable, collection: Collection, side: Side): readonly string[] {
  const { convertedFields, [side]: root } = collection;
  if (convertedFields === undefined) return [];
  const parts = [
    { prefix: '', ...root },
    ...Object.entries(root.children ?? {}).map(([field, one]) => ({ prefix: `${field}.`, ...one })),
  ];
  const names = [table.name, `${table.schema}.${table.name}`];
  return parts
    .filter((part) => names.includes(part.table) && part.columns === undefined)
    .flatMap(({ prefix }) => table.columns.map(({ name }) => `${prefix}${name}`))
    .filter((field) => !convertedFields[side].has(field));
}

function added(
  { schema, name }: LogTable,
  collection: Collection,
  fields: readonly string[],
): ChangeoverError {
  const list = fields.map((field) => `"${field}"`).join(', ');
  return new ChangeoverError(
    'SCHEMA_CHANGED',
    `Table ${schema}.${name} has a new column (${list} of "${collection.name}"), and how its values are converted is not known to a process that began without it. Add it to the other side as well and start the worker again, or leave it out (columns in the configuration).`,
    { data: { table: `${schema}.${name}`, collection: collection.name, columns: fields } },
  );
}

/** Both sides may have a table of this name. */
const idOf = (side: string, collection: string, transformVersion: number, table: string): string =>
  `${side} ${collection} ${transformVersion} ${table}`;

function changed(
  table: string,
  { name, transformVersion }: Collection,
  lost: readonly (readonly [string, string])[],
  form: Form,
): ChangeoverError {
  const what = lost.map(([column, type]) =>
    form[column] === undefined
      ? `column "${column}" (${type}) is gone or has another name`
      : `column "${column}" was ${type} and is ${form[column]}`,
  );
  return new ChangeoverError(
    'SCHEMA_CHANGED',
    `Table ${table} has changed: ${what.join('; ')}. Adapt the mapping of "${name}" and raise its transformVersion (now ${transformVersion}), then start the worker again; or take the change back.`,
    { data: { table, collection: name, columns: lost.map(([column]) => column) } },
  );
}
