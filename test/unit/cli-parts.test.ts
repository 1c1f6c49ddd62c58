import { expect, test } from 'vitest';
import { pairTables, parentsFirst, renderConfig } from '../../src/cli/config-draft.ts';
import { failureOf } from '../../src/cli/failure.ts';
import { runCli } from '../../src/cli/program.ts';
import { toJson } from '../../src/cli/result.ts';
import { painter } from '../../src/cli/terminal-io.ts';
import { exitCodes, verdictOfError } from '../../src/cli/verdict.ts';
import { columns, count, duration, moment } from '../../src/cli/words.ts';
import { ChangeoverError, errorCatalogue } from '../../src/errors/index.ts';
import type { TableDescription } from '../../src/store/index.ts';

test('exit codes are those that are documented', () => {
  expect(exitCodes).toEqual({
    done: 0,
    yes: 0,
    no: 1,
    usage: 2,
    unknown: 3,
    refused: 4,
    unreachable: 5,
    partial: 6,
    bug: 70,
  });
  for (const code of Object.keys(errorCatalogue)) expect(verdictOfError).toHaveProperty(code);
});

test.each([
  [new ChangeoverError('STATE_CHANGED', 'x'), 'refused'],
  [new ChangeoverError('CONTROL_UNAVAILABLE', 'x'), 'unreachable'],
  [new ChangeoverError('GATE_FAILED', '1 of 2 gates: lag fail (7 wait)'), 'no'],
  [new ChangeoverError('GATE_FAILED', '1 of 2 gates: parity unknown (no data)'), 'unknown'],
  [Object.assign(new Error('x'), { name: 'ChangeoverError', code: 'CONFIG_INVALID' }), 'usage'],
  [Object.assign(new Error('x'), { name: 'ChangeoverError', code: 'FROM_A_NEWER_RELEASE' }), 'bug'],
  [new TypeError('x is not a function'), 'bug'],
  ['thrown text', 'bug'],
  [undefined, 'bug'],
])('%s is %s', (error, verdict) => {
  expect(failureOf(error).verdict).toBe(verdict);
});

test('each gate that is not passed has a line of its own', () => {
  const gates = 'dead-letters fail (2 wait.); parity unknown (no data; none at all)';
  const { text } = failureOf(
    new ChangeoverError('GATE_FAILED', `2 gates are not passed: ${gates}.`),
  );
  expect(text).toEqual([
    'GATE_FAILED: 2 gates are not passed:',
    '  dead-letters fail (2 wait.);',
    expect.stringMatching(/^ {2}parity unknown \(no data; none at all\)\. Read the evidence/),
  ]);
});

test('the JSON object has the same keys whatever the command, and no lossy numbers', () => {
  const result = {
    kind: 'x',
    verdict: 'done',
    stateVersion: 3,
    next: [],
    text: ['hidden'],
  } as const;
  const data = { id: 9_007_199_254_740_993n, map: new Map([['a', 1]]) };
  expect(JSON.parse(toJson({ ...result, data }, '2026-01-01T00:00:00.000Z'))).toEqual({
    schemaVersion: 1,
    kind: 'x',
    stateVersion: 3,
    observedAt: '2026-01-01T00:00:00.000Z',
    verdict: 'done',
    data: { id: '9007199254740993', map: { a: 1 } },
    next: [],
  });
});

test('colours only on a terminal, and never with NO_COLOR or a dumb one', () => {
  const paint = (isTTY: boolean, env: Readonly<Record<string, string>>): string =>
    painter({ stdout: { write: () => true, isTTY }, env })('good', 'yes');
  expect(paint(true, {})).toBe('\u001b[32myes\u001b[39m');
  expect(paint(false, {})).toBe('yes');
  expect(paint(true, { NO_COLOR: '1' })).toBe('yes');
  expect(paint(true, { NO_COLOR: '' })).not.toBe('yes');
  expect(paint(true, { TERM: 'dumb' })).toBe('yes');
});

test('numbers, times and columns are readable', () => {
  expect(count(1, 'row')).toBe('1 row');
  expect(count(1234567, 'row')).toBe('1 234 567 rows');
  expect([0, 999, 1_500, 61_000, 7_500_000].map(duration)).toEqual([
    '0 ms',
    '999 ms',
    '1.5 s',
    '1 min 1 s',
    '2 h 5 min',
  ]);
  expect(moment(0)).toBe('1970-01-01 00:00:00Z');
  expect(
    columns([
      ['a', 'b'],
      ['long', 'c'],
    ]),
  ).toEqual(['a     b', 'long  c']);
});

const table = (name: string, change: Partial<TableDescription> = {}): TableDescription => ({
  schema: 'public',
  name,
  visible: true,
  columns: ['id', 'name'],
  primaryKey: ['id'],
  foreignKeys: [],
  estimatedRows: 1,
  ...change,
});
const refersTo = (name: string) => ({
  columns: ['x'],
  schema: 'public',
  table: name,
  references: ['id'],
});

test('tables are paired by name, and those that others refer to come first', () => {
  const lines = table('lines', { foreignKeys: [refersTo('orders')] });
  const orders = table('orders', { foreignKeys: [refersTo('customers')] });
  const pairs = pairTables(
    [lines, orders, table('customers'), table('old')],
    [table('customers'), orders, lines, table('new')],
  );
  expect(pairs.map(({ name }) => name)).toEqual(['customers', 'orders', 'lines']);
});

test('tables that refer to each other in a circle are all there', () => {
  const a = table('a', { foreignKeys: [refersTo('b')] });
  const b = table('b', { foreignKeys: [refersTo('a'), refersTo('b')] });
  const pairs = [a, b].map((one) => ({ name: one.name, source: one, target: one }));
  expect(
    parentsFirst(pairs)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['a', 'b']);
});

test('a name that two schemas of the target have is not guessed', () => {
  const elsewhere = [table('a', { schema: 's1' }), table('a', { schema: 's2' })];
  expect(pairTables([table('a')], elsewhere)).toEqual([]);
  expect(pairTables([table('a')], elsewhere.slice(0, 1))).toHaveLength(1);
});

test('a written configuration quotes what is no identifier, and holds no password', () => {
  const odd = table("it's", { columns: ['id', 'e-mail'], visible: false, schema: 'old' });
  const text = renderConfig({
    name: 'shop',
    sourceUrl: null,
    targetUrl: 'postgres://x/y',
    collections: [{ name: 'odd-name', source: odd, target: table('b') }],
    unpaired: [],
    unfilled: [],
    sourceTables: [odd],
    targetTables: [],
    typescript: false,
  });
  expect(text).toContain("process.env.SOURCE_URL ?? ''");
  expect(text).toContain("'odd-name': {");
  expect(text).toContain("table: 'old.it\\'s'");
  expect(text).toContain("'e-mail': todo('old.it\\'s.e-mail')");
  expect(text).not.toContain('field: string');
});

test('key columns of both sides belong together by their position, whatever they are called', () => {
  const described = (
    name: string,
    primaryKey: string[],
    ...others: string[]
  ): TableDescription => ({
    schema: 'public',
    name,
    visible: true,
    columns: [...primaryKey, ...others],
    primaryKey,
    foreignKeys: [],
    estimatedRows: 0,
  });
  const drafted = (source: TableDescription, target: TableDescription): string =>
    renderConfig({
      name: 'shop',
      sourceUrl: '',
      targetUrl: '',
      collections: [{ name: 'people', source, target }],
      unpaired: [],
      unfilled: [described('address', ['id'])],
      sourceTables: [],
      targetTables: [],
      typescript: true,
    });
  const renamed = drafted(
    described('customer', ['id'], 'mail'),
    described('person', ['person-id']),
  );
  expect(renamed).toContain("'person-id': row.id ?? null,");
  expect(renamed).toContain("id: row['person-id'] ?? null,");
  expect(renamed).toContain('// not used yet: mail');
  expect(renamed).not.toContain("todo('customer.id')");
  expect(renamed).toContain('// not filled: address');
  const turned = drafted(described('a', ['x', 'y'], 'z'), described('b', ['y', 'x']));
  expect(turned).toContain("target: { table: 'b', key: ['x', 'y'] }");
  expect(turned).toContain('x: row.x ?? null,');
  const other = drafted(described('a', ['x', 'y']), described('b', ['id']));
  expect(other).toContain("id: todo('b.id')");
});

async function run(...argv: readonly string[]): Promise<readonly [number, string, string]> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(argv, {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    interactive: false,
    env: {},
    cwd: '/nowhere',
  });
  return [code, stdout, stderr];
}

test('help is asked for with 0 and shown for nothing with 2', async () => {
  const [code, text] = await run('--help');
  expect(code).toBe(0);
  for (const verb of [
    'init',
    'check',
    'start',
    'status',
    'advance',
    'dial',
    'rollback',
    'verify',
    'diff',
    'dlq',
    'history',
    'run',
    'demo',
  ]) {
    expect(text).toMatch(new RegExp(`^  ${verb} `, 'm'));
  }
  expect(text).toContain('Exit codes: 0 yes or done, 1 no');
  expect((await run('rollback', '--help'))[0]).toBe(0);
  expect((await run())[0]).toBe(2);
});

test('without a configuration every verb says how to make one', async () => {
  for (const verb of [
    ['status'],
    ['rollback'],
    ['verify'],
    ['dlq'],
    ['mismatch', 'recheck'],
    ['run'],
  ]) {
    const [code, , stderr] = await run(...verb);
    expect([verb, code]).toEqual([verb, 2]);
    expect(stderr).toContain('changeover init');
  }
});
