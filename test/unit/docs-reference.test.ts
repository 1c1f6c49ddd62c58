import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { references } from '../../scripts/reference.ts';
import { errorCatalogue } from '../../src/errors/index.ts';
import { metricTable } from '../../src/telemetry/index.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test.each(Object.entries(references()))(
  'docs/reference/%s is what `npm run reference` writes',
  (name, text) => {
    expect(read(`docs/reference/${name}`)).toBe(text);
  },
);

const pages = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

describe.each(pages)('%s', (page) => {
  const text = read(page);

  test('links to files that exist, and to headings that exist', () => {
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = '', heading] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      const linked = path === '' || path.endsWith('.md') ? read(target) : readdirOrFile(target);
      if (heading === undefined) continue;
      const headings = [...linked.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => slug(title));
      expect(headings, `${page} → ${link}`).toContain(heading);
    }
  });

  test('names only error codes and metrics that exist', () => {
    const known = new Set<string>([...Object.keys(errorCatalogue), ...Object.keys(metricTable)]);
    for (const [, name = ''] of text.matchAll(
      /`([A-Z]+(?:_[A-Z]+)+|changeover_[a-z_]+_[a-z]+)`/g,
    )) {
      if (notOurs.has(name) || /^changeover_<|_(old|new|source|target)$/.test(name)) continue;
      expect([...known], `${page}: ${name}`).toContain(name);
    }
  });

  test('names only source and test files that exist', () => {
    for (const [, path = ''] of text.matchAll(/`((?:src|test|bench|scripts)\/[\w./-]+)`/g))
      expect(() => readdirOrFile(path), `${page}: ${path}`).not.toThrow();
  });
});

/** Capitals with underscores that are no error code: variables of the environment, keywords of SQL. */
const notOurs = new Set([
  'AUTO_INCREMENT',
  'BINLOG_GTID_POS',
  'NO_COLOR',
  'SOURCE_URL',
  'TARGET_URL',
  'NOT_VALID',
  'SKIP_LOCKED',
  'READ_COMMITTED',
  'CHANGEOVER_TEST_POSTGRES',
  'CHANGEOVER_POSTGRES_BIN',
  'CHANGEOVER_REPORT_KEY',
]);

function slug(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

/** Throws when there is neither a file nor a folder of that name. */
function readdirOrFile(path: string): string {
  try {
    return readdirSync(join(root, path)).join('\n');
  } catch {
    return read(path);
  }
}
