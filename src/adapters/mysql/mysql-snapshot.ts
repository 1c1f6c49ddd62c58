import { ChangeoverError } from '../../errors/index.ts';
import { encodeKey, type Key } from '../../record/index.ts';
import type {
  QueuedKey,
  RecordSnapshot,
  SnapshotOptions,
  SnapshotPlace,
  SnapshotSource,
} from '../../store/index.ts';
import { createMysqlDigests } from './mysql-digest.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { sequenceAt } from './mysql-log-items.ts';
import {
  boundaryStatements,
  checkKeys,
  fenceStatement,
  firstKey,
  readFences,
  readRecords,
  readStatements,
  scannedRecords,
  scanStatements,
  toAnswers,
} from './mysql-read.ts';
import { keyId, type MysqlLayout } from './mysql-schema.ts';
import type { OpenTransaction, SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/**
 * Snapshots of one database: transactions WITH CONSISTENT SNAPSHOT that only read. MariaDB's knows its own place in the binary log: it holds exactly the
 * transactions before it, so `from` and `until` are one. MySQL's does not (LOG_UNSUPPORTED when the place is wanted).
 *
 * While one is open, DDL on the tables that it has read waits, and what comes to those tables behind that DDL.
 */
export function createMysqlSnapshots(parts: MysqlStoreParts): SnapshotSource {
  return { open: (options) => open(parts, options) };
}

async function open(parts: MysqlStoreParts, options: SnapshotOptions): Promise<RecordSnapshot> {
  const { binlogSnapshot } = await parts.session.flavour();
  if (options.placed && !binlogSnapshot) {
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      'A snapshot of MySQL does not tell its place in the binary log; MariaDB does.',
    );
  }
  const transaction = await parts.session.begin({
    timeoutMs: options.ageMs,
    isolation: 'snapshot',
    what: 'snapshot for a comparison',
  });
  try {
    const { queue } = parts.layout;
    const [status] = await transaction.run([
      options.placed
        ? `SHOW STATUS LIKE 'binlog_snapshot_%'`
        : options.numbered
          ? `SHOW CREATE TABLE ${queue}`
          : 'SELECT 1',
    ]);
    const place = options.placed ? placeOf(status) : options.numbered ? numberOf(status) : null;
    return readerOf(parts, transaction, place);
  } catch (error) {
    await transaction.rollback();
    if (!options.numbered || !parts.presence.isMissing(error)) throw error;
    throw new ChangeoverError('LOG_UNSUPPORTED', 'Nothing is installed that would queue changes.', {
      cause: error,
    });
  }
}

/** A transaction's sequence is where it begins, and a place is where the next one begins: so it is the place less one. */
function placeOf(status: SqlResult | undefined): SnapshotPlace {
  const values = new Map((status?.rows ?? []).map(([name, value]) => [name?.toLowerCase(), value]));
  const file = values.get('binlog_snapshot_file');
  const offset = values.get('binlog_snapshot_position');
  if (!file || !offset) {
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      'The server writes no binary log: start it with log_bin, binlog_format=ROW and binlog_row_image=FULL.',
    );
  }
  const sequence = sequenceAt(file, Number(offset)) - 1n;
  return { from: sequence, until: sequence, text: `${file}:${offset}` };
}

/** Numbers of the queue are drawn from its AUTO_INCREMENT column; the server's own word for the next one is never behind, unlike its catalog's. */
function numberOf(created: SqlResult | undefined): SnapshotPlace {
  const next = /\sAUTO_INCREMENT=(\d+)/.exec(created?.rows[0]?.[1] ?? '')?.[1] ?? '1';
  const number = BigInt(next) - 1n;
  return { from: number, until: number, text: `number ${number}` };
}

function readerOf(
  { catalog, layout, presence }: MysqlStoreParts,
  transaction: OpenTransaction,
  place: SnapshotPlace | null,
): RecordSnapshot {
  return {
    place,
    async read(name, keys, { withFence = false } = {}) {
      if (keys.length === 0) return [];
      const collection = await catalog.collection(name);
      checkKeys(collection, keys);
      const fenced = withFence && (await presence.check());
      const fences = fenced ? [fenceStatement(layout, collection, keys)] : [];
      const results = await transaction.run([...fences, ...readStatements(collection, keys)]);
      const rows = results.slice(fences.length);
      const records = await readRecords(transaction.run, collection, keys, rows);
      return toAnswers(records, fenced ? readFences(results[0], keys.length) : []);
    },
    async scan(name, range, limit) {
      const collection = await catalog.collection(name);
      return scannedRecords(
        collection,
        await transaction.run(scanStatements(collection, range, limit)),
      );
    },
    async boundary(name, range, rows) {
      const collection = await catalog.collection(name);
      const [wanted, last] = await transaction.run(boundaryStatements(collection, range, rows));
      return firstKey(wanted) ?? firstKey(last);
    },
    async queued(name, keys) {
      if (keys.length === 0) return [];
      const [result] = await transaction.run([queuedStatement(layout, name, keys)]);
      return queuedKeys(result, keys);
    },
    digests: createMysqlDigests(catalog, (statements) => transaction.run(statements)),
    close: () => transaction.rollback(),
  };
}

function queuedStatement({ queue }: MysqlLayout, collection: string, keys: readonly Key[]): string {
  const list = keys.map((key) => quoteLiteral(keyId(encodeKey(key)))).join(', ');
  return `SELECT key_text, COUNT(dead_at), MIN(id), MAX(id) FROM ${queue}
    WHERE collection = ${quoteLiteral(collection)} AND key_id IN (${list}) GROUP BY key_text`;
}

function queuedKeys(result: SqlResult | undefined, keys: readonly Key[]): readonly QueuedKey[] {
  const found = new Map<string, QueuedKey>();
  for (const [key, dead, first, last] of result?.rows ?? []) {
    found.set(key ?? '', {
      standing: dead === '0' ? 'waiting' : 'dead',
      first: BigInt(first ?? 0),
      last: BigInt(last ?? 0),
    });
  }
  const none: QueuedKey = { standing: 'none', first: null, last: null };
  return keys.map((key) => found.get(encodeKey(key)) ?? none);
}
