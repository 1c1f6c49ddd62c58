import type { CatalogCollection } from './mysql-catalog.ts';
import { ddl } from './mysql-ddl.ts';
import { foreignActions, quotedTable } from './mysql-foreign-actions.ts';
import { dropTrigger, installedTriggers, qualifiedTrigger } from './mysql-guard-triggers.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlSession } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';
import { type TouchTrigger, touchTriggers } from './mysql-touch-triggers.ts';

/** Rows taken away in one transaction. */
const PRUNE_ROWS = 2_000;
const PRUNE_TIMES_MAX = 20;
const PRUNE_MS = 5_000;

/**
 * The triggers by which the log tells what foreign keys do (`touchTriggers`), as long as there is a stream. Those of foreign keys that are added later are made when the
 * log is next opened; what such a key did before is not told.
 */
export class Touches {
  readonly #session: MysqlSession;
  readonly #layout: MysqlLayout;
  readonly #collections: () => Promise<readonly CatalogCollection[]>;

  /** @param collections those that are captured from the log */
  constructor(
    session: MysqlSession,
    layout: MysqlLayout,
    collections: () => Promise<readonly CatalogCollection[]>,
  ) {
    this.#session = session;
    this.#layout = layout;
    this.#collections = collections;
  }

  /** Idempotent. CREATE TRIGGER waits for all transactions that have used the table: what commits afterwards is told. */
  async install(): Promise<void> {
    const wanted = await wantedTriggers(this.#session, this.#layout, await this.#collections());
    const there = await this.#installed();
    const same = wanted.every(({ name, body }) => there.get(name)?.body === body);
    if (same && there.size === wanted.length) return;
    await ddl(this.#parts, 'triggers for foreign keys', async (run) => {
      const now = await this.#installed();
      for (const { table, name, create, body } of wanted) {
        const found = now.get(name);
        if (found?.body === body) continue;
        if (found === undefined) await run([create]);
        // Nobody writes to the table between the two.
        else
          await run([
            `LOCK TABLES ${quotedTable(table)} WRITE`,
            found.drop,
            create,
            'UNLOCK TABLES',
          ]);
      }
      const names = new Set(wanted.map(({ name }) => name));
      for (const [name, { drop }] of now) if (!names.has(name)) await run([drop]);
    });
  }

  /** Idempotent. */
  async remove(): Promise<void> {
    if ((await this.#installed()).size === 0) return;
    await ddl(this.#parts, 'removal of triggers', async (run) => {
      for (const { drop } of (await this.#installed()).values()) await run([drop]);
    });
  }

  /** Takes away what was named: it is in the log. By single rows, so that nobody who names others waits. */
  async prune(): Promise<void> {
    const { touched } = this.#layout;
    for (let times = 0; times < PRUNE_TIMES_MAX; times += 1) {
      const { rows } = await this.#session.query(`SELECT id FROM ${touched} LIMIT ${PRUNE_ROWS}`);
      if (rows.length === 0) return;
      const ids = rows.map(([id]) => id).join(', ');
      await this.#session.transaction(
        (transaction) => transaction.query(`DELETE FROM ${touched} WHERE id IN (${ids})`),
        { timeoutMs: PRUNE_MS, what: 'pruning of touched records' },
      );
      if (rows.length < PRUNE_ROWS) return;
    }
  }

  get #parts(): { readonly session: MysqlSession; readonly layout: MysqlLayout } {
    return { session: this.#session, layout: this.#layout };
  }

  /** By qualified and quoted name. */
  async #installed(): Promise<
    ReadonlyMap<string, { readonly body: string; readonly drop: string }>
  > {
    const found = new Map<string, { body: string; drop: string }>();
    for (const kind of ['touch', 'moved'] as const) {
      for (const trigger of await installedTriggers(this.#session, this.#layout, kind)) {
        const { rows } = await this.#session.query(
          `SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ${quoteLiteral(trigger.database)} AND TRIGGER_NAME = ${quoteLiteral(trigger.name)}`,
        );
        const body = rows[0]?.[0] ?? '';
        found.set(qualifiedTrigger(trigger), { body, drop: dropTrigger(trigger) });
      }
    }
    return found;
  }
}

/** What these collections need on this server as it is now. LOG_UNSUPPORTED where it cannot be done. */
export async function wantedTriggers(
  session: Pick<MysqlSession, 'query'>,
  layout: MysqlLayout,
  collections: readonly CatalogCollection[],
): Promise<readonly TouchTrigger[]> {
  const tables = collections.flatMap(({ root, children }) => [root, ...children]);
  return touchTriggers(layout, await foreignActions(session, tables), collections);
}
