import pg from 'pg';
import { ChangeoverError, messageOf } from '../../errors/index.ts';
import { systemClock, withDeadline } from '../../runtime/index.ts';

/** A line of SHOW DATABASES, as far as it is of interest. */
export interface ShownDatabase {
  readonly name: string;
  /** null: a unix socket. */
  readonly host: string | null;
  readonly port: number;
  readonly database: string;
  /** null: the one of the configuration. */
  readonly poolMode: string | null;
  /** 0: no limit. */
  readonly connectionsMax: number;
  readonly paused: boolean;
}

type Row = Readonly<Record<string, unknown>>;

/** A connection to PgBouncer's admin console. It knows simple queries only, one command in each. */
export class PgBouncerConsole {
  readonly #client: pg.Client;
  readonly #address: string;

  private constructor(client: pg.Client, address: string) {
    this.#client = client;
    this.#address = address;
  }

  /** STORE_UNAVAILABLE when it does not let us in within `ms`. */
  static async open(url: string, ms: number): Promise<PgBouncerConsole> {
    // Without pipelining (an older `pg`) commands go one by one: correct, a moment later.
    const options = { connectionString: url, connectionTimeoutMillis: ms, pipeline: true };
    const client = new pg.Client(options);
    client.on('error', () => {});
    const address = `${client.host}:${client.port}`;
    try {
      await client.connect();
    } catch (error) {
      throw unavailable(address, error);
    }
    return new PgBouncerConsole(client, address);
  }

  /** Runs the commands, sent together; the rows of each. Throws the first error, when all have ended. */
  async run(commands: readonly string[], ms: number): Promise<readonly (readonly Row[])[]> {
    const answers = await Promise.allSettled(
      commands.map((command) =>
        withDeadline(
          systemClock,
          ms,
          `${command} at PgBouncer ${this.#address}`,
          this.#client.query<Row>(command),
        ),
      ),
    );
    return answers.map((answer) => {
      if (answer.status === 'fulfilled') return answer.value.rows;
      if (answer.reason instanceof ChangeoverError) throw answer.reason;
      throw unavailable(this.#address, answer.reason);
    });
  }

  async databases(ms: number): Promise<ReadonlyMap<string, ShownDatabase>> {
    const [rows = []] = await this.run(['SHOW DATABASES'], ms);
    return new Map(rows.map((row) => [String(row['name']), shown(row)]));
  }

  /** Idempotent; does not wait for an answer that never comes. */
  close(): void {
    void this.#client.end().catch(() => {});
  }
}

const shown = (row: Row): ShownDatabase => ({
  name: String(row['name']),
  host: row['host'] == null ? null : String(row['host']),
  port: Number(row['port']),
  database: String(row['database']),
  poolMode: row['pool_mode'] == null ? null : String(row['pool_mode']),
  connectionsMax: Number(row['max_connections']),
  paused: Number(row['paused']) === 1,
});

function unavailable(address: string, error: unknown): ChangeoverError {
  return new ChangeoverError(
    'STORE_UNAVAILABLE',
    `PgBouncer at ${address} says: ${messageOf(error)}.`,
    { cause: error },
  );
}
