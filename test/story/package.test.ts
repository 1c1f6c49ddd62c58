import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missing } from '../support/requirements.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Manifest {
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(folder: string, program: string, ...args: readonly string[]): Run {
  const limits = { cwd: folder, encoding: 'utf8', timeout: patienceMs } as const;
  const { status, stdout, stderr } = spawnSync(program, args, limits);
  return { status, stdout, stderr };
}

/** A registry that swallows packets would be asked for minutes. */
const patienceMs = 60_000;

/** What npm says when there is no registry, rather than something wrong with the package. */
const registryAway = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED/;

let folder = '';
let tarball = '';
let packed: readonly string[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'changeover-package-'));
  const built = run(root, process.execPath, 'scripts/build.mjs');
  if (built.status !== 0) throw new Error(`the build failed: ${built.stderr}`);
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const [report] = JSON.parse(run(root, 'npm', ...args).stdout) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ];
  tarball = join(folder, report.filename);
  packed = report.files.map(({ path }) => path);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the package', () => {
  test('holds what users need and nothing else', () => {
    const expected =
      /^(dist\/.*(\.js|\.d\.ts)|docs\/.*\.md|src\/migration\/SPEC\.md|(README|CHANGELOG|CONTRIBUTING)\.md|LICENSE|package\.json)$/;
    expect(packed.filter((path) => !expected.test(path))).toEqual([]);
    for (const path of ['README.md', 'LICENSE', 'dist/cli/main.js', 'docs/index.md'])
      expect(packed).toContain(path);
  });

  test('names no folder of the machine that built it', () => {
    const named = packed.filter((path) => readFileSync(join(root, path), 'utf8').includes(root));
    expect(named).toEqual([]);
  });

  test('has every file that its documents link to', () => {
    for (const page of packed.filter((path) => path.endsWith('.md'))) {
      const text = readFileSync(join(root, page), 'utf8');
      for (const [, link = ''] of text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)) {
        if (/^[a-z]+:/.test(link)) continue;
        expect(packed, `${page} → ${link}`).toContain(normalize(join(dirname(page), link)));
      }
    }
  });
});

test('an installed package answers on the command line, and every subpath can be imported, with types', (context) => {
  const user = join(folder, 'user');
  mkdirSync(user);
  writeFileSync(join(user, 'package.json'), '{ "type": "module", "private": true }');
  const peers = ['pg', 'pg-copy-streams', '@types/pg', 'mysql2'].map(
    (name) => `${name}@${manifest.devDependencies[name]}`,
  );
  const quick = ['--no-audit', '--no-fund', '--fetch-retries=0', '--prefer-offline'];
  const install = run(user, 'npm', 'install', ...quick, tarball, ...peers);
  const away =
    install.status === null || (install.status !== 0 && registryAway.test(install.stderr));
  if (missing('the npm registry', !away)) {
    console.warn('SKIPPED: the registry cannot be reached, so the package was not installed.');
    context.skip();
  }
  expect(install.stderr).not.toMatch(/npm error/);
  expect(install.status).toBe(0);

  const help = run(user, 'npx', '--no-install', 'changeover', '--help');
  expect([help.status, help.stdout]).toEqual([0, expect.stringContaining('switch-writes')]);
  const version = run(user, 'npx', '--no-install', 'changeover', '--version');
  expect(version.stdout.trim()).toBe(manifest.version);

  const paths = Object.keys(manifest.exports).filter((path) => !path.endsWith('.json'));
  const names = paths.map((path) => `changeover${path.slice(1)}`);
  const program = [
    ...names.map((name, index) => `import * as m${index} from '${name}';`),
    "import { defineMigration } from 'changeover';",
    "import { mysql } from 'changeover/mysql';",
    "import { postgres } from 'changeover/postgres';",
    "import { sqlite } from 'changeover/sqlite';",
    "const url = 'postgres://nobody@127.0.0.1:1/none';",
    'const shop = defineMigration({',
    "  name: 'shop', source: mysql({ url: 'mysql://nobody@127.0.0.1:1/none' }), target: postgres({ url }),",
    "  control: sqlite({ file: 'shop.db' }), collections: { customers: { capture: 'log' } },",
    '});',
    `console.log(shop.name, ${names.map((_, index) => `Object.keys(m${index}).length > 0`).join(', ')});`,
  ];
  writeFileSync(join(user, 'script.mjs'), program.join('\n'));
  const script = run(user, process.execPath, 'script.mjs');
  expect([script.stderr, script.stdout.trim()]).toEqual([
    '',
    `shop${' true'.repeat(names.length)}`,
  ]);

  writeFileSync(join(user, 'script.mts'), program.join('\n'));
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022'];
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules', '@types')];
  const typed = run(user, process.execPath, compiler, ...strict, ...types, 'script.mts');
  expect([typed.status, typed.stdout]).toEqual([0, '']);
}, 120_000);
