import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LogChange } from '../../src/log/index.ts';
import { withDatabases } from '../support/databases.ts';
import { awkwardDdl, awkwardRows } from '../support/postgres-awkward-values.ts';
import { type LogRig, logRig, rowOf } from '../support/postgres-log.ts';

const databases = withDatabases(1);
let rig: LogRig;
let changes: readonly LogChange[];

const quote = (text: string): string => `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

beforeAll(async () => {
  const [{ name }] = (await databases.query<{ name: string }>(
    0,
    'SELECT quote_ident(current_database()) AS name',
  )) as [{ name: string }];
  // Every setting that changes how a value is written, set to something else for new sessions, those of the log included.
  for (const setting of [
    `DateStyle = 'German'`,
    `TimeZone = 'Asia/Kathmandu'`,
    `IntervalStyle = 'iso_8601'`,
    `bytea_output = 'escape'`,
    'extra_float_digits = -5',
  ])
    await databases.query(0, `ALTER DATABASE ${name} SET ${setting}`);
  rig = await logRig(databases.url(0), awkwardDdl('"Werte"'), {
    values: { table: 'Werte', key: ['id'] },
  });
  await rig.sql(`SET DateStyle = ISO; SET TimeZone = UTC; SET IntervalStyle = postgres`);
  const from = await rig.install();
  for (const [id, { type, column, given }] of awkwardRows.entries())
    await rig.sql(
      `INSERT INTO "Werte" (id, ${column}) VALUES (${id}, ${quote(given)}::${type === 'varchar(3)' || type === 'short_name' ? 'text' : type})`,
    );
  await rig.sql('UPDATE "Werte" SET id = id + 1000');
  await rig.sql('ALTER TABLE "Werte" REPLICA IDENTITY FULL');
  await rig.sql('DELETE FROM "Werte" WHERE id % 2 = 0');
  changes = await rig.changes(from);
});
afterAll(() => rig?.close());

const of = (kind: LogChange['kind']): readonly LogChange[] =>
  changes.filter((change) => change.kind === kind);

describe('a value in the log is the text that a read and a scan give', () => {
  awkwardRows.forEach(({ type, column, given, stored }, id) => {
    test(`${type}: ${JSON.stringify(given.slice(0, 40))}`, async () => {
      const [inserted, updated] = [of('insert')[id], of('update')[id]];
      const log = rowOf(inserted!, inserted!.after);
      expect(log?.[column]).toBe(stored);
      expect(rowOf(updated!, updated!.after)).toEqual({ ...log, id: String(id + 1000) });
      expect(rowOf(updated!, updated!.before)?.['id']).toBe(String(id));
      const key = [String(id + 1000)];
      const range = { after: [String(id + 999)], until: key };
      const [answer] = await rig.store.records.read('values', [key]);
      const [scanned] = await rig.store.records.scan('values', range, 1);
      const deleted = of('delete').find(({ before }) => before?.[0] === key[0]);
      if (deleted) {
        expect(answer?.record).toBeNull();
        expect(rowOf(deleted, deleted.before)).toEqual({ ...log, id: key[0] });
      } else {
        expect(answer?.record).toEqual({ ...log, id: key[0] });
        expect(scanned?.record).toEqual({ ...log, id: key[0] });
      }
    });
  });
});
