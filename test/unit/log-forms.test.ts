import { expect, test } from 'vitest';
import { LogForms } from '../../src/capture/log-forms.ts';
import { LogRoutes } from '../../src/capture/log-routes.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import type { LogChange, LogColumn } from '../../src/log/index.ts';
import type { Side } from '../../src/migration/index.ts';
import { memoryMigration } from '../support/memory-migration.ts';

const change = (columns: Readonly<Record<string, string>>): LogChange => ({
  table: {
    schema: 'public',
    name: 'items',
    columns: Object.entries(columns).map(
      ([name, type]): LogColumn => ({
        name,
        type,
        key: name === 'id',
      }),
    ),
  },
  kind: 'insert',
  before: null,
  after: [],
  sequence: 1n,
});

/** A worker that has just started looks at one change. */
async function look(
  context: MigrationContext,
  columns: Readonly<Record<string, string>>,
  side: Side = 'source',
  transformVersion = 1,
): Promise<void> {
  const collections = [...context.migration.collections.values()].map((one) => ({
    ...one,
    transformVersion,
  }));
  await new LogForms(context, side, new LogRoutes(collections, side)).check([change(columns)]);
}

const first = { id: 'bigint', name: 'text' };

test('a column that another worker knew and that is gone, or of another type, stops the log', async () => {
  const context = await memoryMigration('log').open('worker');
  await look(context, first);
  await look(context, first);
  await expect(look(context, { id: 'bigint', title: 'text', name: 'varchar(5)' })).rejects.toThrow(
    /"name" was text and is varchar\(5\)/,
  );
  await expect(look(context, { id: 'bigint', label: 'text' })).rejects.toThrow(
    /no column "name".*dropped or renamed/,
  );
});

test('that nothing was skipped is said once, whatever stops the log', async () => {
  const context = await memoryMigration('log').open('worker');
  await look(context, first);
  for (const form of [
    { id: 'bigint', name: 'int' },
    { id: 'bigint', label: 'text' },
  ]) {
    const error = await look(context, form).catch(String);
    expect(String(error).match(/nothing was skipped/gi)).toHaveLength(1);
  }
});

test('an added column is followed, and missed once it has been seen', async () => {
  const context = await memoryMigration('log').open('worker');
  await look(context, first);
  await look(context, { ...first, note: 'text' });
  await expect(look(context, first)).rejects.toThrow(
    /"note" \(text\) is gone.*raise its transformVersion \(now 1\)/,
  );
});

test('a mapping that was adapted says so by its transformVersion', async () => {
  const context = await memoryMigration('log').open('worker');
  await look(context, first);
  const now = { id: 'bigint', name: 'jsonb' };
  await expect(look(context, now)).rejects.toThrow(/jsonb/);
  await look(context, now, 'source', 2);
  await look(context, now, 'source', 2);
});

test('tables of one name on both sides have forms of their own', async () => {
  const context = await memoryMigration('log').open('worker');
  await look(context, first);
  await look(context, { id: 'int', name: 'varchar' }, 'target');
  await look(context, first);
});
