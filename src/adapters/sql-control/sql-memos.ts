import type { Kysely } from 'kysely';
import type { Memo, MemoLedger } from '../../control/index.ts';
import type { ControlTables } from './control-tables.ts';
import type { ControlTransaction, SqlControlEngine } from './sql-control-engine.ts';
import { tableOnDemand } from './table-on-demand.ts';

/** Apart from the numbered format, as the gap: it is made with the first memo, and earlier releases are not disturbed by it. */
interface MemoTables {
  readonly memo: {
    readonly migration: string;
    readonly name: string;
    readonly version: number;
    /** JSON. */
    readonly body: string;
  };
}

const withMemo = (db: Kysely<ControlTables>): Kysely<MemoTables> =>
  db as unknown as Kysely<MemoTables>;

const LIST_MAX = 10_000;

/** Memos in a table of their own. */
export function createSqlMemos(engine: SqlControlEngine, ready: () => Promise<void>): MemoLedger {
  const prepared = tableOnDemand(engine, ready, {
    name: 'memo',
    look: () =>
      engine.run('looking for memos', (db) =>
        withMemo(db).selectFrom('memo').select('name').limit(1).execute(),
      ),
    make,
  });
  return {
    async read(migration, name) {
      await prepared();
      const row = await engine.run('reading a memo', (db) =>
        withMemo(db)
          .selectFrom('memo')
          .selectAll()
          .where('migration', '=', migration)
          .where('name', '=', name)
          .executeTakeFirst(),
      );
      return row === undefined ? null : memoOf(row);
    },

    async list(migration, prefix) {
      await prepared();
      const rows = await engine.run('listing memos', (db) =>
        withMemo(db)
          .selectFrom('memo')
          .selectAll()
          .where('migration', '=', migration)
          .orderBy('name')
          .limit(LIST_MAX)
          .execute(),
      );
      // Here: prefixes in SQL are a pattern in one dialect and a collation in the other, and there are few.
      return rows.map(memoOf).filter(({ name }) => name.startsWith(prefix));
    },

    async write(migration, name, body, version) {
      await prepared();
      const text = JSON.stringify(body);
      return engine.transaction('writing a memo', async (tx) => {
        const db = withMemo(tx);
        if (version === 0) {
          const { numInsertedOrUpdatedRows } = await db
            .insertInto('memo')
            .values({ migration, name, version: 1, body: text })
            .onConflict((conflict) => conflict.columns(['migration', 'name']).doNothing())
            .executeTakeFirst();
          return numInsertedOrUpdatedRows === 1n;
        }
        const { numUpdatedRows } = await db
          .updateTable('memo')
          .set({ version: version + 1, body: text })
          .where('migration', '=', migration)
          .where('name', '=', name)
          .where('version', '=', version)
          .executeTakeFirst();
        return numUpdatedRows === 1n;
      });
    },
  };
}

const memoOf = ({ name, version, body }: MemoTables['memo']): Memo => ({
  name,
  version: Number(version),
  body: JSON.parse(body) as Memo['body'],
});

/** A look first: a role without CREATE can work once the table exists. */
async function make(tx: ControlTransaction): Promise<void> {
  await tx.schema
    .createTable('memo')
    .ifNotExists()
    .addColumn('migration', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('version', 'bigint', (column) => column.notNull())
    .addColumn('body', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('memo_key', ['migration', 'name'])
    .execute();
}
