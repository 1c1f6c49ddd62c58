import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { classTable, mismatchClasses } from '../../src/record/index.ts';

const guide = readFileSync(new URL('../../docs/guides/mismatches.md', import.meta.url), 'utf8');

test('the guide says of each class what the command line says, in the order of judgement', () => {
  const rows = guide.split('\n').filter((line) => /^\| `[a-z-]+` \|/.test(line));
  expect(rows).toEqual(
    mismatchClasses.map((name) => {
      const { meaning, usualCause, action } = classTable[name];
      return `| \`${name}\` | ${meaning} | ${usualCause} | ${action} |`;
    }),
  );
});
