/**
 * The dual write that most teams begin with: the old store first, then the new one, whose failures are logged and not thrown. Nothing orders
 * two writers of one key, and nothing remembers what the new store did not get.
 */
import pg from 'pg';
import type { Side } from '../../../src/migration/index.ts';

export interface PlainStore {
  put(key: string, value: string): Promise<void>;
  all(): Promise<ReadonlyMap<string, string>>;
}

export class DualWriterByHand {
  readonly #stores: Readonly<Record<Side, PlainStore>>;
  logged = 0;

  constructor(stores: Readonly<Record<Side, PlainStore>>) {
    this.#stores = stores;
  }

  async put(key: string, value: string): Promise<void> {
    await this.#stores.source.put(key, value);
    try {
      await this.#stores.target.put(key, value);
    } catch {
      this.logged++;
    }
  }

  async differingKeys(): Promise<number> {
    const [source, target] = [await this.#stores.source.all(), await this.#stores.target.all()];
    return [...new Set([...source.keys(), ...target.keys()])].filter(
      (key) => source.get(key) !== target.get(key),
    ).length;
  }
}

/** A map behind a wait. */
export function plainMemory(wait: () => Promise<void>): PlainStore {
  const rows = new Map<string, string>();
  return {
    async put(key, value) {
      await wait();
      rows.set(key, value);
      await wait();
    },
    all: async () => rows,
  };
}

/** The table `items` of one PostgreSQL database, behind a wait. */
export function plainPostgres(pool: pg.Pool, wait: () => Promise<void>): PlainStore {
  return {
    async put(key, value) {
      await wait();
      await pool.query(
        'INSERT INTO items (id, value) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET value = excluded.value',
        [key, value],
      );
    },
    async all() {
      const { rows } = await pool.query<{ id: string; value: string }>(
        'SELECT id, value FROM items',
      );
      return new Map(rows.map(({ id, value }) => [id, value]));
    },
  };
}

export function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 16 });
  // Idle connections learn of the server's end on their own.
  pool.on('error', () => {});
  return pool;
}
