import type { CatalogChild, CatalogCollection, CatalogColumn } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import { columnList, overriding } from './postgres-door-sql.ts';
import { keyEquals, keyOrder, keyText, ordered } from './postgres-key-sql.ts';
import type { PostgresTransaction } from './postgres-session.ts';

const STAGE = 'pg_temp.changeover_stage';
const CHILD_STAGE = 'pg_temp.changeover_child_stage';
const INSERTED = 'pg_temp.changeover_inserted';
const KEY_TEXT = 'changeover_key';

/** The set-based merge through temporary tables: rows go in where root and fence are absent. */
export class Merge {
  inserted = 0;
  readonly #parts: PostgresStoreParts;
  readonly #transaction: PostgresTransaction;
  readonly #collection: CatalogCollection;
  #columns: readonly CatalogColumn[] = [];
  #keyText = '';

  constructor(
    parts: PostgresStoreParts,
    transaction: PostgresTransaction,
    collection: CatalogCollection,
  ) {
    this.#parts = parts;
    this.#transaction = transaction;
    this.#collection = collection;
  }

  async begin(): Promise<void> {
    const { root, children } = this.#collection;
    if (children.length === 0) return;
    await this.#transaction.run([
      {
        text: `CREATE TEMP TABLE ${INSERTED.slice(8)} ON COMMIT DROP AS
          SELECT ${columnList(root.key)} FROM ${root.quoted} WITH NO DATA`,
      },
    ]);
  }

  /**
   * A fresh stage and the COPY statement that fills it: its columns, then the encoded key where it is `given` (the source's
   * spelling, by which fences go); `computed` where both sides spell alike.
   */
  async stageRoots(columns: readonly CatalogColumn[], keys: 'given' | 'computed'): Promise<string> {
    this.#columns = columns;
    const { key } = this.#collection.root;
    const given = keys === 'given';
    this.#keyText = given ? `s.${KEY_TEXT}` : keyText(key.map(({ quoted }) => `s.${quoted}`));
    await this.#create(STAGE, columns, given ? [`${KEY_TEXT} text COLLATE "C"`] : []);
    return `COPY ${STAGE} (${columnList(columns)}${given ? `, ${KEY_TEXT}` : ''}) FROM STDIN`;
  }

  async insertRoots(): Promise<void> {
    const { root, collection } = this.#collection;
    const { fence } = this.#parts.layout;
    const returned = columnList(root.key);
    // A look for each row, by LIMIT: a join would be planned over all fences, and there may be one for every record.
    const insert = `INSERT INTO ${root.quoted} (${columnList(this.#columns)})${overriding(this.#columns)}
      SELECT ${columnList(this.#columns)} FROM ${STAGE} s
      WHERE (SELECT f.epoch FROM ${fence} f WHERE f.collection = $1 AND f.key = ${this.#keyText} LIMIT 1) IS NULL
      ORDER BY ${keyOrder(root.key, 's')}
      ON CONFLICT (${columnList(root.key)}) DO NOTHING`;
    const remember = `WITH ins AS (${insert} RETURNING ${returned})
      INSERT INTO ${INSERTED} SELECT ${returned} FROM ins`;
    const results = await this.#transaction.run([
      { text: `ANALYZE ${STAGE}` },
      // Which roots are ours matters only to their children.
      { text: this.#collection.children.length === 0 ? insert : remember, values: [collection] },
      {
        text: `DELETE FROM ${root.quoted} t USING ${STAGE} s, ${fence} f
          WHERE f.collection = $1 AND f.deleted AND f.key = ${this.#keyText}
            AND ${keyEquals(
              root.key,
              't',
              root.key.map(({ quoted }) => `s.${quoted}`),
            )}`,
        values: [collection],
      },
    ]);
    this.inserted += (results[1]?.count ?? 0) - (results[2]?.count ?? 0);
  }

  /** After all roots: children go with the roots that are still ours. */
  async settle(): Promise<void> {
    const { root, children } = this.#collection;
    if (children.length === 0) return;
    await this.#transaction.run([
      {
        text: `DELETE FROM ${INSERTED} i WHERE NOT EXISTS (SELECT 1 FROM ${root.quoted} t
          WHERE ${keyEquals(
            root.key,
            't',
            root.key.map(({ quoted }) => `i.${quoted}`),
          )})`,
      },
      { text: `ANALYZE ${INSERTED}` },
    ]);
  }

  /** Likewise for the rows of a child. */
  async stageChildren(columns: readonly CatalogColumn[]): Promise<string> {
    this.#columns = columns;
    await this.#create(CHILD_STAGE, columns, []);
    return `COPY ${CHILD_STAGE} (${columnList(columns)}) FROM STDIN`;
  }

  async insertChildren(child: CatalogChild): Promise<void> {
    const { root } = this.#collection;
    const own = root.key.map(
      (column, index) => `i.${column.quoted} = s.${child.parent[index]?.quoted}`,
    );
    await this.#transaction.run([
      {
        text: `INSERT INTO ${child.quoted} (${columnList(this.#columns)})${overriding(this.#columns)}
          SELECT ${columnList(this.#columns)} FROM ${CHILD_STAGE} s
          WHERE EXISTS (SELECT 1 FROM ${INSERTED} i WHERE ${own.join(' AND ')})
          ORDER BY ${child.key.map((column) => ordered(column, 's')).join(', ')}
          ON CONFLICT (${columnList(child.key)}) DO NOTHING`,
      },
    ]);
  }

  async #create(
    stage: string,
    columns: readonly CatalogColumn[],
    more: readonly string[],
  ): Promise<void> {
    const definitions = columns.map(({ quoted, castType }) => `${quoted} ${castType}`);
    await this.#transaction.run([
      { text: `DROP TABLE IF EXISTS ${stage}` },
      {
        text: `CREATE TEMP TABLE ${stage.slice(8)} (${[...definitions, ...more].join(', ')}) ON COMMIT DROP`,
      },
    ]);
  }
}
