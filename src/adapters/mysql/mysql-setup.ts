import { ChangeoverError } from '../../errors/index.ts';
import type { InstalledObject, StoreSetup } from '../../store/index.ts';
import { captureTriggers } from './mysql-capture.ts';
import { ddl, type RunDdl } from './mysql-ddl.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { createMysqlFacts } from './mysql-facts.ts';
import { dropTrigger, installedTriggers } from './mysql-guard-triggers.ts';
import { inspectMysql } from './mysql-inspect.ts';
import { enterProcedure, SCHEMA_FORMAT, tableStatements } from './mysql-schema.ts';
import type { SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';
import { truncateCollection } from './mysql-truncate.ts';

/** Preflight, installation and removal. DDL commits by itself in MySQL: each step is idempotent, and installations of several processes take turns. */
export function createMysqlSetup(parts: MysqlStoreParts): StoreSetup {
  const { session, catalog, layout, presence } = parts;
  return {
    inspect: (role, plan) => inspectMysql(parts, role, plan),
    facts: createMysqlFacts(parts),

    async install(role, epoch) {
      catalog.forget();
      for (const name of catalog.collections) await catalog.collection(name);
      await ddl(parts, 'installation', async (run) => {
        const [now] = await run(['SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)']);
        await run(tableStatements(layout, BigInt(now?.rows[0]?.[0] ?? 1)));
        await checkFormat(parts, run);
        const [procedures] = await run([
          `SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ${quoteLiteral(layout.database)} AND ROUTINE_NAME = 'enter'`,
        ]);
        if (procedures?.rows[0]?.[0] === '0') await run([enterProcedure(layout)]);
        await run([
          `UPDATE ${layout.guard} SET role = '${role}', epoch = ${Math.trunc(epoch)} WHERE role = 'idle'`,
        ]);
      });
      presence.found(true);
    },

    async installCapture(name) {
      const collection = await catalog.collection(name);
      await ddl(parts, `capture of "${name}"`, async (run) => {
        const names = await triggerNames(parts);
        for (const trigger of captureTriggers(layout, collection))
          if (!names.has(trigger.name)) await run([trigger.create]);
      });
    },

    async removeCapture(name) {
      const collection = await catalog.collection(name);
      if (!(await presence.check())) return;
      await ddl(parts, `end of capture of "${name}"`, async (run) => {
        for (const trigger of captureTriggers(layout, collection)) await run([trigger.drop]);
      });
    },

    forgetTables: () => catalog.forget(),

    objects: () => objects(parts),

    async uninstall() {
      await ddl(parts, 'removal', async (run) => {
        for (const trigger of await installedTriggers(session, layout))
          await run([dropTrigger(trigger)]);
        await run([`DROP DATABASE IF EXISTS ${layout.quotedDatabase}`]);
      });
      presence.found(false);
    },

    async countUpTo(name, max) {
      const { root } = await catalog.collection(name);
      const { rows } = await session.query(
        `SELECT COUNT(*) FROM (SELECT 1 FROM ${root.quoted} LIMIT ${Math.trunc(max)}) t`,
        { what: `count of "${name}"` },
      );
      return Number(rows[0]?.[0] ?? 0);
    },

    truncate: async (name) => truncateCollection(parts, await catalog.collection(name)),

    async afterBulkLoad(name) {
      const { root, children } = await catalog.collection(name);
      for (const { quoted } of [root, ...children]) {
        await session.query(`ANALYZE NO_WRITE_TO_BINLOG TABLE ${quoted}`, {
          timeoutMs: 300_000,
          what: 'ANALYZE',
        });
      }
    },
  };
}

async function triggerNames({ session, layout }: MysqlStoreParts): Promise<ReadonlySet<string>> {
  const installed = await installedTriggers(session, layout, 'capture');
  return new Set(installed.map(({ name }) => name));
}

async function checkFormat({ layout }: MysqlStoreParts, run: RunDdl): Promise<void> {
  const [found] = await run([`SELECT format, migration, side FROM ${layout.meta}`]);
  const [format, migration, side] = found?.rows[0] ?? [];
  if (Number(format) === SCHEMA_FORMAT && migration === layout.migration && side === layout.side) {
    return;
  }
  throw new ChangeoverError(
    'LEFTOVERS_FOUND',
    `Database ${layout.quotedDatabase} is of format ${format} for migration "${migration}" (${side}); this version needs format ${SCHEMA_FORMAT} for "${layout.migration}" (${layout.side}). Uninstall it first.`,
  );
}

async function objects(parts: MysqlStoreParts): Promise<readonly InstalledObject[]> {
  const { session, layout } = parts;
  const name = quoteLiteral(layout.database);
  const [databases, tables, routines] = await session.run(
    [
      `SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${name}`,
      `SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${name} ORDER BY 1`,
      `SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ${name} ORDER BY 1`,
    ],
    { what: 'list of our objects' },
  );
  const found: InstalledObject[] = [];
  const add = (kind: InstalledObject['kind'], result: SqlResult | undefined, prefix = ''): void => {
    for (const [one] of result?.rows ?? []) found.push({ kind, name: `${prefix}${one}` });
  };
  add('schema', databases);
  add('table', tables, `${layout.database}.`);
  add('function', routines, `${layout.database}.`);
  for (const { table, name: trigger } of await installedTriggers(session, layout))
    found.push({ kind: 'trigger', name: `${trigger} on ${table}` });
  return found;
}
