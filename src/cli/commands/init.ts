import { existsSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { configFiles, findTable, readsTypeScript, tableName } from '../../config/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { systemRuntime } from '../../runtime/index.ts';
import type { TableDescription } from '../../store/index.ts';
import { type AddCommand, collected, flagsOf } from '../command-line.ts';
import {
  type CollectionProposal,
  type ConfigProposal,
  pairTables,
  parentsFirst,
  renderConfig,
} from '../config-draft.ts';
import type { CommandResult } from '../result.ts';
import type { CommandContext } from '../session.ts';
import { count } from '../words.ts';

export const addInit: AddCommand = (program, perform) => {
  program
    .command('init')
    .description('write a configuration from two databases')
    .option('--source <url>', 'the store to leave (else SOURCE_URL)')
    .option('--target <url>', 'the store to go to (else TARGET_URL)')
    .option('--name <name>', 'name of the migration')
    .option(
      '--collection <name=source:target>',
      'a collection and its tables; repeatable',
      collected,
    )
    .option('--force', 'replace a configuration that is there')
    .action((_options, command) => {
      const flags = flagsOf<InitFlags>(command);
      return perform(flags, (context) => init(context, flags));
    });
};

interface InitFlags {
  readonly source?: string;
  readonly target?: string;
  readonly name?: string;
  /** `name=source_table:target_table`. */
  readonly collection?: readonly string[];
  readonly force?: boolean;
}

/** `init`: looks at both databases and writes a configuration in which only the transforms are left to be written. */
async function init(context: CommandContext, flags: InitFlags): Promise<CommandResult> {
  const folder = context.io.cwd;
  const present = configFiles.find((name) => existsSync(join(folder, name)));
  if (present && !flags.force) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `${join(folder, present)} is there already; --force replaces it.`,
    );
  }
  const answers = await ask(context, flags);
  context.progress('looking at the tables of both databases');
  const [sourceTables, targetTables] = await Promise.all([
    tablesOf(answers.source),
    tablesOf(answers.target),
  ]);
  const collections = flags.collection
    ? parentsFirst(flags.collection.map((text) => named(text, sourceTables, targetTables)))
    : pairTables(sourceTables, targetTables);
  if (collections.length === 0) throw nothingToMove(sourceTables, targetTables);
  const used = new Set(collections.flatMap(({ source, target }) => [source, target]));
  const without = (tables: readonly TableDescription[]): readonly TableDescription[] =>
    flags.collection ? [] : tables.filter((table) => !used.has(table));
  const typescript = await readsTypeScript(folder);
  const proposal: ConfigProposal = {
    name: answers.name,
    sourceUrl: withoutSecret(answers.source),
    targetUrl: withoutSecret(answers.target),
    collections,
    unpaired: without(sourceTables),
    unfilled: without(targetTables),
    sourceTables,
    targetTables,
    typescript,
  };
  const file = join(folder, typescript ? 'changeover.config.ts' : 'changeover.config.mjs');
  const text = renderConfig(proposal);
  writeFileSync(file, text);
  return initResult(file, text, proposal);
}

function initResult(file: string, text: string, proposal: ConfigProposal): CommandResult {
  const todos = text.split('\n').filter((line) => line.includes("todo('")).length;
  const secrets = proposal.sourceUrl === null || proposal.targetUrl === null;
  return {
    kind: 'init',
    verdict: 'done',
    stateVersion: null,
    data: {
      file,
      name: proposal.name,
      collections: proposal.collections.map(({ name }) => name),
      todos,
    },
    next: ['changeover check', 'changeover start'],
    text: [
      `Wrote ${file} with ${count(proposal.collections.length, 'collection')}: ${proposal.collections.map(({ name }) => name).join(', ')}.`,
      ...notMoved(proposal),
      ...(secrets
        ? ['Passwords are not written down: set SOURCE_URL and TARGET_URL in the environment.']
        : []),
      ...(proposal.typescript
        ? []
        : ['This Node reads no TypeScript and tsx is not installed, so it is plain JavaScript.']),
      todos > 0
        ? `Fill in the ${count(todos, 'field')} marked todo, then: changeover check`
        : 'All columns have their partners. Look it over, then: changeover check',
    ],
  };
}

/** A table that is forgotten is found out too late, in the target. */
function notMoved({ unpaired }: ConfigProposal): readonly string[] {
  if (unpaired.length === 0) return [];
  const names = unpaired.map(tableName).join(', ');
  return [
    `Not moved: ${names}. To pair tables of different names, repeat it with --force --collection name=source_table:target_table, for every collection.`,
  ];
}

interface Answers {
  readonly source: string;
  readonly target: string;
  readonly name: string;
}

/** Flags, then the environment, then a person. */
async function ask({ io, globals }: CommandContext, flags: InitFlags): Promise<Answers> {
  const interactive = io.interactive && !globals.json;
  const answer = async (
    given: string | undefined,
    flag: string,
    message: string,
    initial: string,
  ): Promise<string> => {
    if (given !== undefined && given !== '') return given;
    if (!interactive) {
      if (initial !== '') return initial;
      throw new ChangeoverError('CONFIG_INVALID', `init needs ${flag} (${message.toLowerCase()}).`);
    }
    const { isCancel, text } = await import('@clack/prompts');
    const typed = await text({ message, initialValue: initial });
    if (isCancel(typed))
      throw new ChangeoverError('CONFIG_INVALID', 'init was given up; nothing was written.');
    return typed;
  };
  return {
    source: await answer(
      flags.source ?? io.env['SOURCE_URL'],
      '--source, or SOURCE_URL in the environment',
      'Address of the store to leave, postgres://…',
      '',
    ),
    target: await answer(
      flags.target ?? io.env['TARGET_URL'],
      '--target, or TARGET_URL in the environment',
      'Address of the store to go to, postgres://…',
      '',
    ),
    name: await answer(flags.name, '--name', 'Name of the migration', defaultName(io.cwd)),
  };
}

/** The folder's name, as far as it may be one. */
function defaultName(folder: string): string {
  const name = basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '_')
    .replace(/^[^a-z]+/, '');
  return name.slice(0, 30) || 'migration';
}

async function tablesOf(url: string): Promise<readonly TableDescription[]> {
  const { postgres } = await import('../../adapters/postgres/index.ts');
  return (await postgres({ url }).describeTables?.(systemRuntime)) ?? [];
}

function named(
  text: string,
  source: readonly TableDescription[],
  target: readonly TableDescription[],
): CollectionProposal {
  const match = /^(?:([A-Za-z_]\w*)=)?([^:=]+)(?::([^:=]+))?$/.exec(text);
  if (!match) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `--collection "${text}" is not of the form name=source_table:target_table.`,
    );
  }
  const [, given, sourceName = '', targetName = sourceName] = match;
  const name = given ?? sourceName.replace(/\W+/g, '_');
  return {
    name,
    source: findTable(sourceName, source, { collection: name, side: 'source' }),
    target: findTable(targetName, target, { collection: name, side: 'target' }),
  };
}

function nothingToMove(
  source: readonly TableDescription[],
  target: readonly TableDescription[],
): ChangeoverError {
  const names = (tables: readonly TableDescription[]): string =>
    tables
      .slice(0, 20)
      .map(({ schema, name }) => `${schema}.${name}`)
      .join(', ') || 'none';
  return new ChangeoverError(
    'CONFIG_INVALID',
    `No table has the same name in both stores (source: ${names(source)}; target: ${names(target)}). Name them: --collection name=source_table:target_table.`,
  );
}

/** The address when it holds no password; null when it does. */
function withoutSecret(url: string): string | null {
  try {
    const { password, searchParams } = new URL(url);
    return password === '' && !searchParams.has('password') ? url : null;
  } catch {
    return null;
  }
}
