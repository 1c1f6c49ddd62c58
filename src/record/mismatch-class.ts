/**
 * Why two values, or two records, differ. The order is the order of judgement: a record with several differing fields is of the class that
 * comes first here. So `stale` (one cause for all of its fields) goes before what single fields look like, and `unknown` before every class that is
 * understood: what nobody understands must not hide behind what somebody does.
 */
export const mismatchClasses = [
  'missing',
  'extra',
  'stale',
  'unknown',
  'field-missing',
  'null-versus-empty',
  'text-encoding',
  'numeric-precision',
  'timestamp-precision',
  'time-zone',
  'boolean-number',
  'padding',
  'collation',
  'json-shape',
] as const;

export type MismatchClass = (typeof mismatchClasses)[number];

/** What people are told about a class. */
export interface ClassDescription {
  readonly title: string;
  /** What was seen, exactly: nothing else is given this name. */
  readonly meaning: string;
  readonly usualCause: string;
  readonly action: string;
}

/** `docs/guides/mismatches.md` shows this table; a test holds them together. */
export const classTable: Readonly<Record<MismatchClass, ClassDescription>> = {
  missing: {
    title: 'missing on the follower',
    meaning: 'The authority has the record, or a child row of it, and the follower has not.',
    usualCause:
      'A change that never arrived (see `dlq list`), or somebody who deleted on the follower.',
    action: 'Repair it. Many at once: look at the dead letters and at `rogues` first.',
  },
  extra: {
    title: 'only on the follower',
    meaning: 'The follower has a record, or a child row, that the authority has not.',
    usualCause: 'A delete that never arrived, rows of an earlier attempt, or a foreign writer.',
    action: 'Repair with `--delete-extras`; it deletes only what is proven to be absent.',
  },
  stale: {
    title: 'an older version',
    meaning:
      'The follower holds an earlier state: its own change mark (`updated_at`, `version`) is older, it has the values that an earlier mismatch of the key asked for, or a change of the key is a dead letter.',
    usualCause: 'A change was lost or refused, or the follower was restored from a backup.',
    action: 'Repair it; look at the dead letters for why it did not come by itself.',
  },
  unknown: {
    title: 'different values',
    meaning: 'The values differ by more than any class allows. No cause is guessed.',
    usualCause: 'A foreign writer, a defect of the transform, or damage.',
    action:
      'Look at it: `diff --show-values`. One key: repair. One field in many keys: correct the transform.',
  },
  'field-missing': {
    title: 'a value is lost',
    meaning: 'The authority has a value and the follower has NULL.',
    usualCause: 'The transform leaves the field out, or a column was added after the copy.',
    action: 'Correct the transform or the mapping, then copy the field again or repair.',
  },
  'null-versus-empty': {
    title: 'NULL and empty',
    meaning: 'One side has NULL, the other an empty text or a zero date.',
    usualCause: 'A driver or a transform that writes the one for the other.',
    action: 'Decide which one is meant and say so in the transform; explain it if both are alike.',
  },
  'text-encoding': {
    title: 'the text was recoded',
    meaning:
      'The same text read in a wrong character set once or twice, in another Unicode normal form, with characters replaced by `?` or `�`, or cut at a character that takes four bytes.',
    usualCause: 'A connection or table in latin1 or three-byte utf8, or an export in between.',
    action: 'Correct the character set of what writes it, then repair.',
  },
  'numeric-precision': {
    title: 'a number lost digits',
    meaning: 'One number is the other one rounded or cut, or is the same number spelled otherwise.',
    usualCause: 'A float between two decimals, a smaller scale, or a JavaScript number above 2^53.',
    action: 'Give the column the precision of the other side, then copy the field again.',
  },
  'timestamp-precision': {
    title: 'a time lost digits',
    meaning:
      'One time is the other one with fewer digits of the second, or without its time of day.',
    usualCause: 'A column without fraction of the second, or a date in milliseconds in between.',
    action:
      'Widen the column, or explain it when nobody needs the digits; `ignore` ends by itself.',
  },
  'time-zone': {
    title: 'another time zone',
    meaning: 'Two times a whole number of quarters of an hour apart, at most 14 hours.',
    usualCause: 'A time without zone that was read in the zone of a session or a process.',
    action: 'Set the session zone, or `columns.<name>.offset`; then copy the field again.',
  },
  'boolean-number': {
    title: 'true and 1',
    meaning: 'The same truth in other words: `true`, `t`, `yes`, `1`.',
    usualCause: 'A boolean that is stored as a number or as a text.',
    action: 'Convert it in the transform, or declare the column a boolean.',
  },
  padding: {
    title: 'filled up or trimmed',
    meaning: 'Equal but for spaces at the end, zero bytes at the end, or zeros in front.',
    usualCause: 'CHAR or BINARY columns, or a number that was kept as text.',
    action: 'Trim in the transform, or explain it where the application trims anyhow.',
  },
  collation: {
    title: 'case or accents',
    meaning: 'The texts differ only in capital letters or accents.',
    usualCause:
      'A key or a value that a case-insensitive store took for equal and did not write again.',
    action: 'Decide whether they mean the same; repair brings the authority’s spelling.',
  },
  'json-shape': {
    title: 'the same JSON',
    meaning:
      'Equal values; order of keys, white space, spelling of numbers or doubled keys differ.',
    usualCause: '`json` on the one side and `jsonb` or LONGTEXT on the other.',
    action: 'Harmless unless something compares texts or relies on doubled keys: explain it.',
  },
};

/** The one that is told of a record: the first in the order of `mismatchClasses`; `unknown` for none. */
export function mostTelling(classes: readonly MismatchClass[]): MismatchClass {
  return mismatchClasses.find((one) => classes.includes(one)) ?? 'unknown';
}
