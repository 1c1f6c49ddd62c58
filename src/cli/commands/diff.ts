import { ChangeoverError } from '../../errors/index.ts';
import { authorityOf, collectionOf } from '../../migration/index.ts';
import { decodeKey, type FieldDifference, type Key, type Scalar } from '../../record/index.ts';
import { diffKey } from '../../verify/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { columns } from '../words.ts';

export const addDiff: AddCommand = (program, perform) => {
  program
    .command('diff <collection> <key...>')
    .description('one key, side by side')
    .option('--show-values', 'show the values themselves')
    .action((name: string, key: string[], _options, command) => {
      const flags = flagsOf<{ readonly showValues?: boolean }>(command);
      return perform(flags, (context) => diff(context, name, key, flags));
    });
};

/** A value as it may be shown: its length unless values were asked for. */
export function shown(value: Scalar, values: boolean): string {
  if (value === null) return 'NULL';
  return values ? JSON.stringify(value) : `(${[...value].length} characters)`;
}

/** Differences without values, unless they were asked for. */
export function redacted(
  fields: readonly FieldDifference[],
  values: boolean,
): readonly { readonly field: string; readonly expected: string; readonly actual: string }[] {
  return fields.map(({ field, expected, actual }) => ({
    field,
    expected: shown(expected, values),
    actual: shown(actual, values),
  }));
}

/** A key as people type it: its parts one by one, or one JSON array. */
export function keyFrom(parts: readonly string[], keyColumns: readonly string[]): Key {
  const [only] = parts;
  const key = parts.length === 1 && only?.startsWith('[') ? decodeKey(only) : parts;
  if (key.length === keyColumns.length) return key;
  throw new ChangeoverError(
    'KEY_INVALID',
    `The key has ${keyColumns.length} parts (${keyColumns.join(', ')}), ${key.length} given.`,
  );
}

/** `diff`: one key, side by side, as it is now. */
function diff(
  context: CommandContext,
  name: string,
  parts: readonly string[],
  flags: { readonly showValues?: boolean },
): Promise<CommandResult> {
  return withSession(context, {}, async ({ migration }) => {
    const state = await migration.control.load(migration.migration.name);
    const collection = collectionOf(migration.migration, name);
    const key = keyFrom(parts, collection[authorityOf(state.phase)].key);
    const found = await diffKey(migration, name, key, { currentState: () => state });
    const values = flags.showValues === true;
    const fields = redacted(found.fields, values);
    const { kind, authority, follower, standing, note } = found;
    const { expected, actual } = found;
    return {
      kind: 'diff',
      verdict: kind === null ? 'yes' : 'no',
      stateVersion: state.version,
      data: {
        collection: name,
        key,
        difference: kind,
        authority,
        follower,
        fields,
        standing,
        note,
        ...(values ? { expected, actual } : {}),
      },
      next: kind === null ? [] : [`changeover mismatch repair ${name} ${key.join(' ')} --apply`],
      text: [
        kind === null
          ? `${name} ${key.join(' ')}: both sides agree.`
          : `${name} ${key.join(' ')}: ${kind} on the ${follower}.`,
        ...columns(
          fields.map(({ field, expected: should, actual: is }) => [
            `  ${field}`,
            `should be ${should}`,
            `is ${is}`,
          ]),
        ),
        ...(note ? [note] : []),
        ...(fields.length > 0 && !values ? ['Values are hidden: --show-values shows them.'] : []),
      ],
    };
  });
}
