import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { LogMark } from '../../log/index.ts';
import type { DataRecord, Key, Row, Scalar } from '../../record/index.ts';
import type { Reread } from '../../store/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { spelledKey } from './mysql-key-sql.ts';
import { sequenceAt } from './mysql-log-items.ts';
import { readRecords, readStatements } from './mysql-read.ts';
import { keyOfRow } from './mysql-rows.ts';
import { enterStatement } from './mysql-schema.ts';
import type { SqlResult } from './mysql-session.ts';

const REREAD_MS = 30_000;
/** How long a transaction that the log has delivered may take until it is visible: it is being committed. */
const VISIBLE_MS = 1_000;

/**
 * Re-reads of a collection whose versions are log positions. A transaction stands in the binlog *before* the engine has committed it, so a position read
 * beside a row proves nothing by itself. Two ways to a proof:
 *
 * - MariaDB: a consistent snapshot knows its own place in the binlog (`binlog_snapshot_file`, `_position`): it holds exactly the transactions before it. Nothing is
 *   locked, absent keys and children are seen as of the same moment, and no key is busy for long.
 * - MySQL: the position is read **first**, then rows are read with a shared lock, without waiting. Whoever changed a row in a transaction that stands before the
 *   position has committed it (the locking read sees it) or still holds the row's lock (refused: `busy`); an insert that is not committed refuses the read of its key
 *   too. What commits in between may be seen; the log brings it again. *Tested on MariaDB only.*
 *
 * A transaction's sequence is where it begins, and a place is where the next one begins: so the version is the place less one.
 */
export async function rereadLogged(
  parts: MysqlStoreParts,
  collection: CatalogCollection,
  keys: readonly Key[],
  epoch: number,
  seen: LogMark | undefined,
): Promise<readonly Reread[]> {
  const flavour = await parts.session.flavour();
  const read = flavour.binlogSnapshot ? bySnapshot : byLocks;
  return read(parts, collection, keys, epoch, seen);
}

type LoggedRead = typeof rereadLogged;

const bySnapshot: LoggedRead = async (parts, collection, keys, epoch, seen) => {
  const { session, layout } = parts;
  const { clock } = session.runtime;
  const endsAt = clock.monotonic() + VISIBLE_MS;
  for (;;) {
    const answers = await session.transaction(
      async (transaction) => {
        const [, status, ...rows] = await transaction.run([
          enterStatement(layout, 'authority', epoch),
          `SHOW STATUS LIKE 'binlog_snapshot_%'`,
          ...readStatements(collection, keys),
        ]);
        const place = placeOf(status);
        if (seen !== undefined && place <= seen.sequence) return null;
        const records = await readRecords(transaction.run, collection, keys, rows);
        return records.map((record, index) =>
          answer(collection, keys[index] as Key, record, epoch, seen?.sequence ?? place - 1n),
        );
      },
      { timeoutMs: REREAD_MS, what: whatOf(collection), isolation: 'snapshot' },
    );
    if (answers !== null) return answers;
    if (clock.monotonic() >= endsAt) return keys.map((key) => busy(collection, key, epoch));
    await clock.sleep(5);
  }
};

/** Exported for the test, which runs it on MariaDB. */
export const byLocks: LoggedRead = async (parts, collection, keys, epoch, seen) => {
  const { session, layout } = parts;
  const flavour = await session.flavour();
  const options = { what: whatOf(collection), timeoutMs: REREAD_MS };
  const [, status] = await session.transaction(
    (transaction) =>
      transaction.run([enterStatement(layout, 'authority', epoch), flavour.binlogStatus]),
    options,
  );
  const [file, offset] = status?.rows[0] ?? [];
  const sequence = seen?.sequence ?? sequenceOf(file, offset) - 1n;
  const answers: Reread[] = [];
  for (const key of keys) {
    // Each statement proves itself; between them others may commit, which the log brings again.
    const statements = readStatements(collection, [key]).map(
      (text) => `${text} ${flavour.shareLock} NOWAIT`,
    );
    try {
      const results = await session.run(statements, options);
      const [record = null] = await readRecords(session.run, collection, [key], results);
      answers.push(answer(collection, key, record, epoch, sequence));
    } catch (error) {
      if (!isChangeoverError(error, 'STORE_CONFLICT')) throw error;
      answers.push(busy(collection, key, epoch));
    }
  }
  return answers;
};

/** Lines of `SHOW STATUS`: name and value. */
function placeOf(status: SqlResult | undefined): bigint {
  const values = new Map((status?.rows ?? []).map(([name, value]) => [name?.toLowerCase(), value]));
  return sequenceOf(values.get('binlog_snapshot_file'), values.get('binlog_snapshot_position'));
}

function sequenceOf(file: Scalar | undefined, offset: Scalar | undefined): bigint {
  if (file) return sequenceAt(file, Number(offset));
  throw new ChangeoverError(
    'LOG_UNSUPPORTED',
    'The server writes no binary log: start it with log_bin, binlog_format=ROW and binlog_row_image=FULL.',
  );
}

const whatOf = ({ collection }: CatalogCollection): string => `re-read of "${collection}"`;

function answer(
  collection: CatalogCollection,
  given: Key,
  record: DataRecord | null,
  epoch: number,
  sequence: bigint,
): Reread {
  const key =
    record === null ? spelledKey(collection.root.key, given) : keyOfRow(collection, record as Row);
  return { key, state: 'read', record, version: { epoch, sequence } };
}

function busy(collection: CatalogCollection, given: Key, epoch: number): Reread {
  const key = spelledKey(collection.root.key, given);
  return { key, state: 'busy', record: null, version: { epoch, sequence: 0n } };
}
