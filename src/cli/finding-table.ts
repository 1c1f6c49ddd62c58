import { mysqlFindings } from '../adapters/mysql/mysql-finding-table.ts';
import { pgbouncerFindings } from '../adapters/postgres/pgbouncer-finding-table.ts';
import { postgresFindings } from '../adapters/postgres/postgres-finding-table.ts';
import type { FindingEntry } from '../store/index.ts';

/** What `check` finds by itself, by comparing both sides. */
const comparisons = {
  'transform/COLLECTION': {
    meaning:
      'Records from random places of the source, given to the transforms and to the types of the target, there and back, in memory.',
    fix: 'Correct the transform, or the types of the columns; `changeover check --exact` tries every record.',
  },
  'fit/null': {
    meaning: 'Records that were tried have NULL in a column that takes none in the target.',
    fix: "Let the target's column be NULL, or give the rows a value.",
  },
  'fit/value': {
    meaning:
      'Records that were tried hold values that the type of the column in the target cannot hold (too long, too large).',
    fix: 'Give the column of the target as much room, or correct the rows.',
  },
  'fit/unique': {
    meaning:
      'The target has a unique index that the source has not: rows that share a value are dead letters.',
    fix: 'The query that the finding prints looks for them; correct them, or drop the index.',
  },
  'fit/check': {
    meaning:
      'The target has a condition (CHECK) that the source has not, or writes otherwise: rows that do not satisfy it are dead letters.',
    fix: 'The query that the finding prints counts them; correct them, or drop the condition.',
  },
  'fit/swap': {
    meaning:
      'The target has unique columns beside the key, and capture is from the log: rows that swap a value in one transaction of the source wait in the queue until one has another value.',
    fix: 'Nothing, where no row gives its value to another one.',
  },
  'sweeper/column': {
    meaning:
      'The column that `modified` of a collection names is not there, holds no time, or could not be looked at.',
    fix: 'Name a column with date and time, or leave `modified` out.',
  },
  'sweeper/index': {
    meaning: 'No index begins with that column: each sweep reads the whole table.',
    fix: 'Create an index on the column.',
  },
  'mapping/none': {
    meaning:
      'The types of a column have nothing in common. Between stores of one engine a warning: their text is passed on.',
    fix: 'Write a transform, or give the columns types that have a mapping.',
  },
  'mapping/loses': {
    meaning: 'What is changed without a word on its way into the other type.',
    fix: 'Give the other column as much room, set an option of the column, or write a transform.',
  },
  'mapping/refuses': {
    meaning: 'What the other type cannot hold: a dead letter each, never a silent change.',
    fix: 'Give the other column as much room, or correct the rows first.',
  },
  'mapping/exact': { meaning: 'All columns go over exactly, both ways.', fix: 'Nothing to do.' },
  'mapping/column-missing': {
    meaning:
      'One side has a column that the other one has not: its records cannot be written there.',
    fix: 'Add the column, leave it out with `columns` of the shape, or write a transform.',
  },
  'mapping/key': {
    meaning:
      'The two types of a key column write one value with different texts; keys go by their text.',
    fix: 'Give the column of the other side a type that writes the same text.',
  },
  'mapping/key-collation': {
    meaning: 'A key column ignores case or accents on one side only.',
    fix: 'Give it a binary collation, or make sure that no two keys differ by case alone.',
  },
  'keys/generated': {
    meaning:
      'The source numbers a key by itself, the target does not: from the write switch on, inserts that leave it out fail.',
    fix: 'Let the target number it (IDENTITY, AUTO_INCREMENT), or let every program bring its keys.',
  },
  'clock/skew': {
    meaning:
      "Clocks of this host, the stores and the control store differ by more than a second; half of the round trip is doubt, and is taken off. Order never depends on clocks, and leases go by the control store's alone; ages that are shown mislead.",
    fix: 'Run NTP on all hosts.',
  },
  'clock/unread': {
    meaning: 'A clock could not be read.',
    fix: 'Remove the cause of the error and check again.',
  },
  'space/target': {
    meaning:
      'An estimate of what the copy adds to the target, from the sizes of the tables. PostgreSQL does not tell over SQL how much is free; MariaDB does with its plugin DISKS.',
    fix: 'Make room first.',
  },
  'space/log': {
    meaning: 'How much log a worker that stands still over a weekend leaves on the source.',
    fix: 'Make room, let somebody watch the worker, or limit what is kept.',
  },
  'compare/unread': {
    meaning: 'What is set beside the other side (columns, limits, sizes) could not be looked up.',
    fix: 'Remove the cause of the error and check again.',
  },
  'control/mismatch': {
    meaning:
      'The stores say that another control store moves this migration: that would be two authorities.',
    fix: 'Use the control store that it was started with.',
  },
  'traffic/other-address': {
    meaning: 'A hook leads traffic to another address than the one of the store.',
    fix: 'Make both addresses the same, unless they are two names of one server.',
  },
  'traffic/no-answer': {
    meaning: 'A hook that holds traffic cannot be asked.',
    fix: 'Make it answer, or take it out of the configuration.',
  },
  'ENGINE/unreachable': {
    meaning: 'A store does not answer, so nothing is known of it.',
    fix: 'Check address, credentials and server.',
  },
  'ENGINE/shape': {
    meaning: 'A store cannot be looked at as it is configured.',
    fix: 'Correct the configuration.',
  },
} as const satisfies Readonly<Record<string, FindingEntry>>;

const prefixed = (
  prefix: string,
  entries: Readonly<Record<string, FindingEntry>>,
): Readonly<Record<string, FindingEntry>> =>
  Object.fromEntries(Object.entries(entries).map(([id, entry]) => [`${prefix}/${id}`, entry]));

/** Title of a section → id → entry: everything that `check` can find. */
export const findingTable: Readonly<Record<string, Readonly<Record<string, FindingEntry>>>> = {
  'Both sides': comparisons,
  PostgreSQL: prefixed('postgres', postgresFindings),
  'MySQL and MariaDB': prefixed('mysql', mysqlFindings),
  PgBouncer: prefixed('pgbouncer', pgbouncerFindings),
};

const known = new Set(Object.values(findingTable).flatMap((entries) => Object.keys(entries)));

/** The place in the reference that explains a finding; null: it is a hook's own. */
export function findingDocs(id: string): string | null {
  const general = [
    id,
    id.replace(/^transform\/.*/, 'transform/COLLECTION'),
    id.replace(/^[^/]*/, 'ENGINE'),
  ];
  const heading = general.find((one) => known.has(one));
  if (heading === undefined) return null;
  return `docs/reference/check.md#${heading.toLowerCase().replace(/[^a-z0-9_-]/g, '')}`;
}

/** `docs/reference/check.md`. */
export function checkReference(): string {
  const sections = Object.entries(findingTable).map(([title, entries]) => {
    const found = Object.entries(entries).map(
      ([id, { meaning, fix }]) => `### ${id}\n\n${meaning}\n\n**Do:** ${fix}\n`,
    );
    return `## ${title}\n\n${found.join('\n')}`;
  });
  return `# What check finds

Generated from the tables in the code by \`npm run reference\`.

\`changeover check\` looks at both stores in both roles, because the way back is part of the way, and changes nothing. *fail* and *unknown* mean that the migration would stop or could not be trusted; *warn* is for a person to decide; *info* tells values. Each finding names tables, values and the statement that helps, and the address of its explanation here. \`--json\` has all of them, those that passed as well. \`changeover check --grants\` prints the least privileges for fresh roles, as SQL; \`--exact\` tries every record instead of a hundred from random places.

${sections.join('\n')}`;
}
