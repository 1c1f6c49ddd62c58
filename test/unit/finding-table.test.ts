import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { findingDocs, findingTable } from '../../src/cli/finding-table.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const ids = Object.values(findingTable).flatMap((entries) => Object.keys(entries));

/** The code of a folder without the tables themselves. */
const code = (folder: string, which: RegExp): string =>
  readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => which.test(name) && !/finding-table\.ts$/.test(name))
    .map((name) => readFileSync(`${root}/${folder}/${name}`, 'utf8'))
    .join('\n');

test('every id of the table is found by some line of code, and every id in the code has its entry', () => {
  const adapters = code('src/adapters', /\.ts$/);
  const whole = `${adapters}\n${code('src/cli', /\.ts$/)}\n${code('src/cutover', /\.ts$/)}`;
  // What the types of `finding` and `pass` do not see: that an entry is of no use any more.
  for (const id of ids) {
    const [, own = ''] = id.split('/');
    const written = [id, own].some((one) => whole.includes(`'${one}'`));
    expect(written || /^(transform|ENGINE)\//.test(id), id).toBe(true);
  }
  const literal = [...whole.matchAll(/\bid(?: =|:) '([a-z-]+\/[a-z-]+)'/g)].map(([, id]) => id);
  expect(literal.length).toBeGreaterThan(10);
  for (const id of literal.filter((one) => !one?.startsWith('memory/'))) expect(ids).toContain(id);
});

test('every finding leads to a heading of the reference', () => {
  const page = readFileSync(`${root}/docs/reference/check.md`, 'utf8');
  const headings = [...page.matchAll(/^### (.+)$/gm)].map(([, title = '']) =>
    title.toLowerCase().replace(/[^a-z0-9_-]/g, ''),
  );
  expect(headings).toHaveLength(ids.length);
  expect(new Set(headings).size).toBe(ids.length);
  const seen = [...ids, 'transform/customers', 'mariadb/unreachable', 'postgres/shape'];
  for (const id of seen) {
    const [path, anchor] = findingDocs(id)?.split('#') ?? [];
    expect(path, id).toBe('docs/reference/check.md');
    expect(headings, id).toContain(anchor);
  }
  expect(findingDocs('my-hook/own')).toBeNull();
});
