import { ChangeoverError } from '../../errors/index.ts';
import type { KeyRange, TextRows, TextSource } from '../../store/index.ts';
import type { CatalogCollection, CatalogTable } from './mysql-catalog.ts';
import type { Connection } from './mysql-connections.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { toChangeoverError } from './mysql-errors.ts';
import { flyUntil } from './mysql-flight.ts';
import { checkKeys, scanStatements } from './mysql-read.ts';
import { TextRowWriter } from './mysql-text-rows.ts';

/** Bytes that may wait for the reader before the server has to, and where it goes on. */
const WAITING_BYTES_MAX = 1024 * 1024;
const WAITING_BYTES_LOW = WAITING_BYTES_MAX / 4;

/** Rows straight from the server's packets; one statement is one snapshot. */
export function createMysqlTextSource(parts: MysqlStoreParts): TextSource {
  return {
    async read(name, range, rowsMax, timeoutMs): Promise<TextRows> {
      const collection = await parts.catalog.collection(name);
      checkKeys(
        collection,
        [range.after, range.until].filter((bound) => bound !== null),
      );
      if (collection.children.length > 0) {
        throw new ChangeoverError(
          'STORE_REJECTED',
          `"${name}" has children: it cannot be read as text.`,
        );
      }
      const root = keyFirst(collection.root);
      return {
        columns: root.columns.map((column) => column.name),
        text: textOf(parts, { ...collection, root }, range, rowsMax, timeoutMs),
      };
    },
  };
}

function keyFirst(root: CatalogTable): CatalogTable {
  const others = root.columns.filter(({ name }) => !root.key.some((key) => key.name === name));
  return { ...root, columns: [...root.key, ...others] };
}

async function* textOf(
  { session }: MysqlStoreParts,
  collection: CatalogCollection,
  range: KeyRange,
  rowsMax: number | null,
  timeoutMs: number,
): AsyncGenerator<Buffer, void, undefined> {
  const { clock } = session.runtime;
  const what = `scan of "${collection.collection}"`;
  const endsAt = clock.monotonic() + timeoutMs;
  const [statement = ''] = scanStatements(collection, range, rowsMax ?? Number.MAX_SAFE_INTEGER);
  let connection: Connection | null = null;
  let whole = false;
  try {
    connection = await session.checkOut(timeoutMs);
    const waiting = new Waiting(connection);
    const { columns } = collection.root;
    const cut = (): void => connection?.destroy(true);
    let writer: TextRowWriter | null = null;
    const leftMs = endsAt - clock.monotonic();
    flyUntil(connection.client, [statement], leftMs, clock, what, cut, (wire) => {
      const made = new TextRowWriter(columns, wire, (buffer) => waiting.push(buffer));
      writer = made;
      return (buffer, from, end) => made.row(buffer, from, end);
    }).then(
      () => {
        writer?.end();
        waiting.end(null);
      },
      (error: unknown) => waiting.end({ error }),
    );
    yield* waiting.taken();
    whole = true;
  } catch (error) {
    throw toChangeoverError(error, what);
  } finally {
    // Left early, or failed: what is still on its way belongs to nobody.
    if (whole) connection?.release();
    else connection?.destroy(true);
  }
}

interface Wire {
  readonly stream: { pause(): void; resume(): void };
}

/** Buffers between the socket and the reader. */
class Waiting {
  readonly #wire: Wire;
  readonly #buffers: Buffer[] = [];
  #bytes = 0;
  #paused = false;
  #ended: { readonly failure: { readonly error: unknown } | null } | null = null;
  #wake: () => void = () => {};

  constructor({ client }: Connection) {
    this.#wire = client as unknown as Wire;
  }

  push(buffer: Buffer): void {
    this.#buffers.push(buffer);
    this.#bytes += buffer.length;
    if (this.#bytes > WAITING_BYTES_MAX && !this.#paused) {
      this.#paused = true;
      this.#wire.stream.pause();
    }
    this.#wake();
  }

  end(failure: { readonly error: unknown } | null): void {
    this.#ended = { failure };
    this.#wake();
  }

  async *taken(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const buffer = this.#buffers.shift();
      if (buffer !== undefined) {
        this.#bytes -= buffer.length;
        if (this.#paused && this.#bytes < WAITING_BYTES_LOW) {
          this.#paused = false;
          this.#wire.stream.resume();
        }
        yield buffer;
      } else if (this.#ended === null) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else if (this.#ended.failure === null) return;
      else throw this.#ended.failure.error;
    }
  }
}
