import { ChangeoverError } from '../../errors/index.ts';
import { authorityOf, collectionOf } from '../../migration/index.ts';
import { classTable, decodeKey, encodeKey, type Key } from '../../record/index.ts';
import { diffKey, type KeyDiff } from '../../verify/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import { auditLook, hiddenFields, type ShownField, shownFields } from '../shown-values.ts';
import { columns } from '../words.ts';

export const addDiff: AddCommand = (program, perform) => {
  program
    .command('diff <collection> <key...>')
    .description('one key, side by side, and why it differs')
    .option('--show-values', 'show the values themselves; recorded in the audit')
    .action((name: string, key: string[], _options, command) => {
      const flags = flagsOf<{ readonly showValues?: boolean }>(command);
      return perform(flags, (context) => diff(context, name, key, flags));
    });
};

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
  return withSession(context, {}, async (session) => {
    const { migration } = session;
    const state = await migration.control.load(migration.migration.name);
    const collection = collectionOf(migration.migration, name);
    const key = keyFrom(parts, collection[authorityOf(state.phase)].key);
    const found = await diffKey(migration, name, key, { currentState: () => state });
    const values = flags.showValues === true;
    if (values)
      await auditLook(session, { command: 'diff', collection: name, key: encodeKey(key) });
    return diffResult(session, found, state.version, values);
  });
}

async function diffResult(
  session: Session,
  found: KeyDiff,
  stateVersion: number,
  values: boolean,
): Promise<CommandResult> {
  const { kind, authority, follower, standing, note, expected, actual, collection, key } = found;
  const differing = values ? found.fields : await hiddenFields(session, collection, found.fields);
  const fields = shownFields(differing, values);
  const place = `${collection} ${key.join(' ')}`;
  return {
    kind: 'diff',
    verdict: kind === null ? 'yes' : 'no',
    stateVersion,
    data: {
      collection,
      key,
      difference: kind,
      class: found.class,
      authority,
      follower,
      fields,
      standing,
      note,
      ...(values ? { expected, actual } : {}),
    },
    next: kind === null ? [] : [`changeover mismatch repair ${place} --apply`],
    text: [
      kind === null ? `${place}: both sides agree.` : `${place}: ${kind} on the ${follower}.`,
      ...columns(fields.map(fieldRow)),
      ...(found.class === null ? [] : [`Why: ${classTable[found.class].title} (${found.class}).`]),
      ...(note ? [note] : []),
      ...(fields.length > 0 && !values ? ['Values are hidden: --show-values shows them.'] : []),
    ],
  };
}

/** A field that differs, as a row of columns. */
export const fieldRow = (one: ShownField): readonly string[] => [
  `  ${one.field}`,
  `should be ${one.expected}`,
  `is ${one.actual}`,
  ...(one.class === null ? [] : [classTable[one.class].title]),
  ...(one.raw === undefined ? [] : [`the authority spells it ${one.raw}`]),
];
