import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { importHint } from '../../../src/config/import-hint.ts';
import { controlOf, loadConfig, openMigration } from '../../../src/config/index.ts';

const source = new URL('../../../src/config/index.ts', import.meta.url).href;
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'changeover-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A folder of its own with this file. */
function written(name: string, ...lines: readonly string[]): string {
  const own = mkdtempSync(join(folder, 'c-'));
  writeFileSync(join(own, name), `${lines.join('\n')}\n`);
  return own;
}

const head = [
  `import { defineMigration } from '${source}';`,
  `const store = { engine: 'none', display: 'none:', connect: () => Promise.reject(new Error('no')) };`,
];

test('TypeScript is read, and relative paths begin at the file', async () => {
  const own = written(
    'changeover.config.ts',
    ...head,
    `interface Row { readonly id: string }`,
    `const same = (row: Row): Row => row;`,
    `export default defineMigration({ name: 'shop', source: store, target: store, collections: { a: {} } });`,
    `export { same };`,
  );
  const loaded = await loadConfig(own);
  expect(loaded.definition.name).toBe('shop');
  expect(loaded.folder).toBe(own);
  expect((await loadConfig(join(own, 'changeover.config.ts'))).definition.name).toBe('shop');
});

test('what everybody meets once has its cure beside it: a client that is missing, CommonJS', async () => {
  const without = written('changeover.config.mjs', `import '@some/client/sub';`);
  await expect(loadConfig(without)).rejects.toMatchObject({
    message: expect.stringMatching(/Install it: npm install @some\/client\. Correct/),
  });
  // The runner of these tests reads both kinds of modules, Node does not.
  const common = new SyntaxError('Cannot use import statement outside a module');
  expect(importHint(common)).toMatch(/Rename the file to changeover\.config\.mjs, or write "type"/);
  expect(importHint(new Error('no such table'))).toBe('');
});

test('a wrong value is reported with file and line', async () => {
  const own = written(
    'changeover.config.ts',
    ...head,
    `export default defineMigration({`,
    `  name: 'shop',`,
    `  source: store, target: store,`,
    `  collections: {`,
    `    a: {},`,
    `    b: {`,
    `      latencyBudget: 5,`,
    `    },`,
    `  },`,
    `});`,
  );
  await expect(loadConfig(own)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(
      /changeover\.config\.ts:9: "collections\.b\.latencyBudget" is not known\. Did you mean "latencyBudgetMs"\?/,
    ),
    data: { line: 9 },
  });
});

test('a missing value is reported at its parent', async () => {
  const own = written(
    'changeover.config.mts',
    ...head,
    ``,
    `export default defineMigration({ name: 'shop', source: store, collections: { a: {} } } as never);`,
  );
  await expect(loadConfig(own)).rejects.toThrow(/changeover\.config\.mts:4: "target" is missing/);
});

test('what is not a migration is refused', async () => {
  const own = written('changeover.config.mjs', `export default { name: 'shop' };`);
  await expect(loadConfig(own)).rejects.toThrow(/no default export made by defineMigration/);
});

test('no file, and two files, are refused with what to do', async () => {
  const own = mkdtempSync(join(folder, 'c-'));
  await expect(loadConfig(own)).rejects.toThrow(/changeover init/);
  await expect(loadConfig(join(own, 'other.ts'))).rejects.toThrow(/There is no file/);
  writeFileSync(join(own, 'changeover.config.ts'), '');
  writeFileSync(join(own, 'changeover.config.mjs'), '');
  await expect(loadConfig(own)).rejects.toThrow(/remove all but one/);
});

describe('the control file of a process that was started in another folder', () => {
  const sqlite = new URL('../../../src/adapters/sqlite/index.ts', import.meta.url).href;
  const memory = [
    `import { defineMigration } from '${source}';`,
    `import { sqlite } from '${sqlite}';`,
    `const store = { engine: 'none', display: 'none:', connect: () => Promise.resolve({ close: async () => {} }) };`,
    `const keyed = { table: 'a', key: ['id'] };`,
    `const shop = { name: 'shop', source: store, target: store, collections: { a: { source: keyed, target: keyed } } };`,
  ];

  test('openMigration takes the one beside the loaded configuration, like the command line', async () => {
    const own = written('changeover.config.ts', ...memory, `export default defineMigration(shop);`);
    const { definition } = await loadConfig(own);
    expect(own).not.toBe(process.cwd());
    const migration = await openMigration(definition);
    expect(migration.control.display).toBe(`sqlite:${join(own, '.changeover', 'shop.db')}`);
    await migration.close();
  });

  test('a relative file in the configuration begins beside it as well; an absolute one stays', async () => {
    const own = written(
      'changeover.config.ts',
      ...memory,
      `export default defineMigration({ ...shop, control: sqlite({ file: 'state/shop.db' }) });`,
    );
    const { definition } = await loadConfig(own);
    expect((await controlOf(definition)).display).toBe(`sqlite:${join(own, 'state', 'shop.db')}`);
    expect((await controlOf(definition, '/elsewhere')).display).toBe(
      'sqlite:/elsewhere/state/shop.db',
    );
    const absolute = written(
      'changeover.config.ts',
      ...memory,
      `export default defineMigration({ ...shop, control: sqlite({ file: '/var/shop.db' }) });`,
    );
    const loaded = await loadConfig(absolute);
    expect((await controlOf(loaded.definition)).display).toBe('sqlite:/var/shop.db');
  });

  test('a definition that loadConfig has not loaded begins in the working directory', async () => {
    const own = written(
      'changeover.config.mjs',
      ...memory,
      `export default defineMigration(shop);`,
    );
    const imported = await import(join(own, 'changeover.config.mjs'));
    expect((await controlOf(imported.default)).display).toBe(
      `sqlite:${join(process.cwd(), '.changeover', 'shop.db')}`,
    );
  });
});
