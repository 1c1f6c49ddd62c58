import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import * as rules from './support/tidy/rules.ts';
import { type SourceFacts, sourceFacts } from './support/tidy/source-facts.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function repository(): readonly SourceFacts[] {
  const found: SourceFacts[] = [];
  for (const folder of ['src', 'test', 'bench', 'examples']) {
    let entries: ReturnType<typeof list> = [];
    try {
      entries = list(join(root, folder));
    } catch {
      continue; // Not every folder exists in every state of the house.
    }
    for (const path of entries) {
      const name = relative(root, path).split(sep).join('/');
      found.push(sourceFacts(name, readFileSync(path, 'utf8')));
    }
  }
  return found;
}

function list(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes(`${sep}node_modules${sep}`));
}

describe('in this repository', () => {
  const files = repository();

  test('there are files to look at', () => {
    expect(files.filter(({ path }) => path.startsWith('src/')).length).toBeGreaterThan(10);
  });

  test.each(Object.entries(rules.RULES))('%s', (_title, rule) => {
    expect(rule(files)).toEqual([]);
  });
});

/** A small tree of made-up files. */
function tree(contents: Readonly<Record<string, string>>): readonly SourceFacts[] {
  return Object.entries(contents).map(([path, text]) => sourceFacts(path, text));
}

describe('the rules see', () => {
  test.each([
    ['a port that imports an engine', 'src/store/a.ts', "import { x } from '../router/x.ts';"],
    [
      'an engine that imports an adapter',
      'src/verify/a.ts',
      "export * from '../adapters/pg/x.ts';",
    ],
    ['an engine that imports telemetry', 'src/router/a.ts', "import '../telemetry/x.ts';"],
    ['an engine beside an engine', 'src/backfill/a.ts', "import type { X } from '../verify/x.ts';"],
    ['an adapter that imports an engine', 'src/adapters/pg/a.ts', "import '../../router/x.ts';"],
    ['an adapter beside an adapter', 'src/adapters/pg/a.ts', "import '../memory/x.ts';"],
    [
      'a type import in the wrong direction',
      'src/errors/a.ts',
      "type T = import('../store/x.ts').T;",
    ],
    ['a dynamic import upwards', 'src/record/a.ts', "await import('../cli/x.ts');"],
    ['a demo that the CLI loads at once', 'src/cli/a.ts', "import '../demo/x.ts';"],
    ['an import of a test', 'src/worker/a.ts', "import '../../test/x.ts';"],
    ['a folder that is not in the table', 'src/attic/a.ts', ''],
  ])('%s', (_title, path, text) => {
    expect(rules.layering(tree({ [path]: text }))).toHaveLength(1);
  });

  test.each([
    ['down to a port', 'src/router/a.ts', "import { x } from '../store/index.ts';"],
    ['the gates at the verifier', 'src/gates/a.ts', "import { x } from '../verify/index.ts';"],
    ['the demo when it is asked for', 'src/cli/a.ts', "await import('../demo/x.ts');"],
    ['what SQL adapters share', 'src/adapters/postgres/a.ts', "import '../sql/x.ts';"],
    ['an import inside a comment', 'src/errors/a.ts', "// import '../cli/x.ts';"],
  ])('nothing wrong with looking %s', (_title, path, text) => {
    expect(rules.layering(tree({ [path]: text }))).toEqual([]);
  });

  test.each([
    ['pg', 'src/router/a.ts', "import pg from 'pg';"],
    ['a type of pg', 'src/cli/a.ts', "import type { Client } from 'pg';"],
    ['a file inside a client', 'src/worker/a.ts', "import x from 'mysql2/promise';"],
    ['kysely', 'src/control/a.ts', "const { Kysely } = await import('kysely');"],
    ['a scoped client', 'src/queue/a.ts', "import { connect } from '@nats-io/transport-node';"],
    ['a telemetry SDK in an engine', 'src/router/a.ts', "import x from '@opentelemetry/api';"],
    [
      'timers by import',
      'src/worker/a.ts',
      "import { setTimeout as s } from 'node:timers/promises';",
    ],
  ])('%s where it does not belong', (_title, path, text) => {
    expect(rules.packageHomes(tree({ [path]: text }))).toHaveLength(1);
  });

  test('pg at home in its adapter and in the demo', () => {
    const text = "import pg from 'pg'; import Cursor from 'pg-cursor';";
    const files = tree({ 'src/adapters/postgres/a.ts': text, 'src/demo/a.ts': text });
    expect(rules.packageHomes(files)).toEqual([]);
  });

  test.each([
    'Date.now();',
    'const now = Date.now;',
    'new Date();',
    'Date();',
    'Math.random();',
    'setTimeout(() => {}, 1);',
    'globalThis.setTimeout(() => {}, 1);',
    'const later = setImmediate;',
    'setInterval(() => {}, 1);',
    'performance.now();',
    'process.hrtime.bigint();',
    'AbortSignal.timeout(1);',
  ])('%s outside of the runtime', (text) => {
    const files = tree({ 'src/router/a.ts': text, 'src/runtime/a.ts': text });
    expect(rules.ambient(files)).toHaveLength(1);
  });

  test.each([
    "new Date('2020-01-01');",
    'clock.setTimeout(() => {}, 1);',
    "const text = 'Date.now()';",
    '/** Not Date.now(), never. */',
    'interface Clock { setTimeout(body: () => void): void }',
  ])('nothing ambient in %s', (text) => {
    expect(rules.ambient(tree({ 'src/router/a.ts': text }))).toEqual([]);
  });

  test('a circle between folders, once', () => {
    const files = tree({
      'src/store/a.ts': "import '../queue/a.ts';",
      'src/queue/a.ts': "import '../control/a.ts';",
      'src/control/a.ts': "import '../store/a.ts'; import '../errors/a.ts';",
      'src/errors/a.ts': '',
    });
    expect(rules.cycles(files)).toEqual([
      'folders import each other: store -> queue -> control -> store',
    ]);
    expect(rules.cycles(files.slice(1))).toEqual([]);
  });

  test('the type any, in tests as well, and not in prose', () => {
    const files = tree({
      'test/a.test.ts': 'const a: any = 1;',
      'src/errors/a.ts': "export const b = 'any'; // any",
    });
    expect(rules.noAny(files)).toEqual(['test/a.test.ts:1: the type any']);
  });

  test('a file beyond the wall, and not one that reaches it', () => {
    const files = tree({
      'src/errors/long.ts': '//\n'.repeat(rules.LINES_MAX + 1),
      'src/errors/full.ts': '//\n'.repeat(rules.LINES_MAX),
    });
    expect(rules.length(files)).toHaveLength(1);
  });

  test.each(['src/errors/Big.ts', 'src/errors/two_words.ts', 'src/camelCase/a.ts'])(
    'that %s is not kebab-case',
    (path) => expect(rules.names(tree({ [path]: '' }))).toHaveLength(1),
  );

  test.each(['src/errors/utils.ts', 'src/common/a.ts', 'test/support/pool-manager.test.ts'])(
    'that %s is named for nothing',
    (path) => expect(rules.names(tree({ [path]: '' }))).toHaveLength(1),
  );

  test('a file that does not parse', () => {
    expect(rules.parses(tree({ 'src/errors/a.ts': 'const = ;' }))).not.toEqual([]);
  });
});
