import * as v from 'valibot';
import { ChangeoverError } from '../errors/index.ts';
import { demoProfile } from '../gates/index.ts';
import { phases, type Transform } from '../migration/index.ts';
import { collectionGroups, groupsOf } from './collection-groups.ts';
import { columnOverrides } from './column-overrides.ts';
import { customGateProblems, customGatesSchema, gatesByPhase } from './custom-gates.ts';
import type {
  CollectionConfig,
  CollectionDraft,
  DefinedMigration,
  MigrationConfig,
  ShapeDraft,
} from './migration-config.ts';
import type { OptionEntry } from './option-entry.ts';
import { collectionOptions, type MigrationOptions, optionTable } from './options.ts';
import { redactedFieldsSchema } from './redaction-options.ts';
import { suggestion } from './suggestion.ts';

type Entries = Readonly<Record<string, v.GenericSchema>>;
type Strict = v.StrictObjectSchema<Entries, undefined>;

const strict = (entries: Entries): Strict => v.strictObject(entries) as unknown as Strict;

const text = v.pipe(v.string('has to be a text'), v.minLength(1, 'may not be empty'));
const columns = v.pipe(
  v.array(text, 'has to be a list of column names'),
  v.minLength(1, 'may not be empty'),
  v.check((names) => new Set(names).size === names.length, 'names a column twice'),
);
const fn = v.custom<Transform>((value) => typeof value === 'function', 'has to be a function');
const connector = (hint: string): v.GenericSchema =>
  v.custom(
    (value) => typeof (value as { connect?: unknown } | null)?.connect === 'function',
    `has to be ${hint}`,
  );

const child = strict({
  table: text,
  key: v.optional(columns),
  parent: v.optional(columns),
  columns: v.optional(columns),
});
const shape = strict({
  table: text,
  key: v.optional(columns),
  columns: v.optional(columns),
  children: v.optional(v.record(text, child, 'has to be an object of child tables')),
});
/** A union would report the failure of every branch; the user meant one of them. */
const tableOrShape = v.lazy((input): v.GenericSchema => (typeof input === 'string' ? text : shape));

const ignored = strict({
  reason: text,
  until: v.pipe(v.string('has to be an ISO date'), v.isoDate('has to be an ISO date, 2026-01-31')),
});

const schemasOf = (entries: Readonly<Record<string, OptionEntry<unknown>>>): Entries =>
  Object.fromEntries(
    Object.entries(entries).map(([name, entry]) => [name, v.optional(entry.schema)]),
  );

const override = strict(schemasOf(columnOverrides));

const collection = strict({
  source: v.optional(tableOrShape),
  target: v.optional(tableOrShape),
  forward: v.optional(fn),
  backward: v.optional(fn),
  ignore: v.optional(v.record(text, ignored, 'has to be an object of fields')),
  redact: v.optional(redactedFieldsSchema),
  columns: v.optional(v.record(text, override, 'has to be an object of columns')),
  ...schemasOf(collectionOptions),
  ...Object.fromEntries(
    Object.entries(collectionGroups).map(([group, entries]) => [
      group,
      v.optional(strict(schemasOf(entries))),
    ]),
  ),
});

/** A hook, or a list of them; what else it carries is its own. */
const traffic = v.custom(
  (value) =>
    [value].flat().every((one) => {
      const { hold, release } = (one ?? {}) as { hold?: unknown; release?: unknown };
      return typeof hold === 'function' && typeof release === 'function';
    }),
  'has to be pgbouncer({ … }), an object { hold, release }, or a list of such',
);

const root = strict({
  name: v.pipe(
    v.string('has to be a text'),
    v.regex(
      /^[a-z][a-z0-9_]{0,29}$/,
      'has to begin with a letter and hold lower-case letters, digits and _ only, at most 30',
    ),
  ),
  source: connector('a store, for example postgres({ url })'),
  target: connector('a store, for example postgres({ url })'),
  control: v.optional(connector('a control store, for example sqlite({ file })')),
  collections: v.pipe(
    v.record(text, collection, 'has to be an object: collection name → { source, target, … }'),
    v.check((all) => Object.keys(all).length > 0, 'has to name at least one collection'),
  ),
  traffic: v.optional(traffic),
  customGates: v.optional(customGatesSchema),
  ...Object.fromEntries(
    Object.entries(optionTable).map(([group, entries]) => [
      group,
      v.optional(strict(schemasOf(entries))),
    ]),
  ),
});

/**
 * Checks a configuration once and fills in every default that needs no look at the stores. Throws CONFIG_INVALID that names each wrong
 * value; unknown keys come with a suggestion. The result is frozen.
 */
export function defineMigration(config: MigrationConfig): DefinedMigration {
  const parsed = v.safeParse(root, config);
  if (!parsed.success) throw invalid(parsed.issues.map(complaint));
  const problems = Object.entries(config.collections).flatMap(([name, one]) =>
    contradictions(name, one),
  );
  problems.push(...ambiguousTables(config));
  problems.push(...customGateProblems(config.customGates ?? {}));
  if (problems.length > 0) throw invalid(problems);
  const options = resolveOptions(config);
  const crossed = optionContradictions(options);
  if (crossed.length > 0) throw invalid(crossed);
  const drafts = Object.entries(config.collections).map(
    ([name, one]) => [name, draftOf(name, one)] as const,
  );
  return Object.freeze({
    kind: 'changeover/migration',
    name: config.name,
    source: config.source,
    target: config.target,
    control: config.control ?? null,
    collections: new Map(drafts),
    traffic: Object.freeze([config.traffic ?? []].flat()),
    customGates: Object.freeze({ ...gatesByPhase(config.customGates ?? {}) }),
    options,
  });
}

function invalid(problems: readonly string[]): ChangeoverError {
  return new ChangeoverError('CONFIG_INVALID', problems.join(' '), { data: { problems } });
}

/** One issue in words: the path, and what has to be different. */
function complaint(issue: v.BaseIssue<unknown>): string {
  const path = issue.path?.map(({ key }) => String(key)) ?? [];
  const where = path.length === 0 ? 'The configuration' : `"${path.join('.')}"`;
  // valibot reports a surplus key as "expected never"; nothing else does.
  if (issue.expected === 'never') {
    return `${where} is not known.${suggestion(path.at(-1) ?? '', knownKeys(path.slice(0, -1)))}`;
  }
  if (issue.received === 'undefined') return `${where} is missing.`;
  const own = issue.message.startsWith('Invalid ')
    ? `is not valid: ${issue.message}`
    : issue.message;
  return `${where} ${own}.`;
}

/** The keys that are allowed at a path of the configuration. */
function knownKeys(path: readonly string[]): readonly string[] {
  const [first, , third, fourth] = path;
  if (first === undefined) return Object.keys(root.entries);
  if (first === 'collections') {
    if (path.length <= 2) return Object.keys(collection.entries);
    if (third !== undefined && third in collectionGroups)
      return Object.keys(collectionGroups[third as keyof typeof collectionGroups]);
    if (third === 'ignore') return Object.keys(ignored.entries);
    if (third === 'columns')
      return path.length > 4 ? ['true', 'false'] : Object.keys(override.entries);
    return Object.keys(fourth === 'children' ? child.entries : shape.entries);
  }
  if (first === 'customGates') return phases;
  return Object.keys(optionTable[first as keyof typeof optionTable] ?? {});
}

function contradictions(name: string, config: CollectionConfig): readonly string[] {
  const at = `"collections.${name}"`;
  const found: string[] = [];
  if (config.forward && !config.backward) {
    found.push(
      `${at} has "forward" but no "backward": without it there is no way back after the write switch.`,
    );
  }
  if (config.backward && !config.forward) found.push(`${at} has "backward" but no "forward".`);
  if (
    config.capture !== undefined &&
    config.capture !== 'app' &&
    config.failureMode === 'fail-closed'
  ) {
    found.push(
      `${at} cannot be fail-closed with capture "${config.capture}": the write is made without this library.`,
    );
  }
  if (config.write === 'deferred' && config.failureMode === 'fail-closed') {
    found.push(`${at} cannot be fail-closed and deferred: nobody would wait for the follower.`);
  }
  return found;
}

/** A log names tables with their schema: a bare name beside a qualified one could be the same table, or another. */
function ambiguousTables({ collections }: MigrationConfig): readonly string[] {
  const found: string[] = [];
  for (const side of ['source', 'target'] as const) {
    const names = new Set<string>();
    for (const [name, one] of Object.entries(collections)) {
      if (one.capture !== 'log') continue;
      const { table, children = {} } = shapeOf(name, one[side]);
      for (const each of [table, ...Object.values(children).map((child) => child.table)])
        names.add(each);
    }
    for (const name of names) {
      const bare = name.slice(name.indexOf('.') + 1);
      if (name.includes('.') && names.has(bare))
        found.push(
          `The ${side} has the tables "${name}" and "${bare}", both captured from the log: write the schema of both.`,
        );
    }
  }
  return found;
}

function optionContradictions(options: MigrationOptions): readonly string[] {
  const found: string[] = [];
  if (options.switch.ackTimeoutMs > options.switch.holdMs) {
    found.push('"switch.ackTimeoutMs" may not be above "switch.holdMs", of which it is a part.');
  }
  if (options.writes.holdMs < options.switch.holdMs) {
    found.push(
      '"writes.holdMs" may not be below "switch.holdMs": held writes would fail in a switch that succeeds.',
    );
  }
  return found;
}

function resolveOptions(config: MigrationConfig): MigrationOptions {
  const demo: Readonly<Record<string, unknown>> =
    config.gates?.profile === 'demo' ? { ...demoProfile } : {};
  const groups = Object.entries(optionTable).map(([group, entries]) => {
    const given = (config[group as keyof typeof optionTable] ?? {}) as Readonly<
      Record<string, unknown>
    >;
    const base = group === 'gates' ? demo : {};
    const values = Object.entries(entries).map(([name, entry]) => [
      name,
      given[name] ?? base[name] ?? entry.default,
    ]);
    return [group, Object.freeze(Object.fromEntries(values))];
  });
  return Object.freeze(Object.fromEntries(groups)) as MigrationOptions;
}

const unchanged: Transform = (record) => record;

function draftOf(name: string, config: CollectionConfig): CollectionDraft {
  const option = <K extends keyof typeof collectionOptions>(
    key: K,
  ): (typeof collectionOptions)[K]['default'] =>
    (config[key] ?? collectionOptions[key].default) as (typeof collectionOptions)[K]['default'];
  return Object.freeze({
    name,
    source: shapeOf(name, config.source),
    target: shapeOf(name, config.target),
    forward: config.forward ?? unchanged,
    backward: config.backward ?? unchanged,
    identity: config.forward === undefined && config.backward === undefined,
    capture: option('capture'),
    write: option('write'),
    failureMode: option('failureMode'),
    latencyBudgetMs: option('latencyBudgetMs'),
    shadowReadSample: option('shadowReadSample'),
    ignore: Object.freeze({ ...config.ignore }),
    columns: Object.freeze({ ...config.columns }),
    transformVersion: option('transformVersion'),
    redact: config.redact ?? [],
    ...groupsOf(config),
  });
}

function shapeOf(name: string, given: string | ShapeDraft | undefined): ShapeDraft {
  if (given === undefined) return { table: name };
  return typeof given === 'string' ? { table: given } : given;
}
