import type { KeyRange, RecordStore } from '../../store/index.ts';
import { canonicalRecords } from './mysql-canonical.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import { createMysqlDigests, DIGEST_TIMEOUT_MS } from './mysql-digest.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { holdKey } from './mysql-hold-key.ts';
import {
  boundaryStatements,
  checkKeys,
  estimateStatement,
  fenceStatement,
  firstKey,
  lastKeyStatement,
  type Run,
  readFences,
  readRecords,
  readStatements,
  scannedRecords,
  scanStatements,
  toAnswers,
} from './mysql-read.ts';
import { rereadKeys } from './mysql-reread.ts';
import type { QueryOptions } from './mysql-session.ts';
import { writeAsAuthority } from './mysql-write.ts';

function checkRange(collection: CatalogCollection, { after, until }: KeyRange): void {
  checkKeys(
    collection,
    [after, until].filter((bound) => bound !== null),
  );
}

/** Reads, scans and writes of one MySQL store; the algorithms stand in `mysql-read`, `-write` and `-reread`. */
export function createMysqlRecordStore(parts: MysqlStoreParts): RecordStore {
  const { session, catalog, layout, presence } = parts;

  /** An aggregate is read by several statements, which have to see the same moment. */
  const reading = (collection: CatalogCollection, what: string): QueryOptions => ({
    what: `${what} of "${collection.collection}"`,
    oneSnapshot: collection.children.length > 0,
  });

  return {
    async read(name, keys, options = {}) {
      if (keys.length === 0) return [];
      const collection = await catalog.collection(name);
      checkKeys(collection, keys);
      const withFence = options.withFence === true && (await presence.check());
      const query = {
        ...reading(collection, 'read'),
        ...(options.signal ? { signal: options.signal } : {}),
      };
      const run: Run = (statements) => session.run(statements, query);
      const reads = readStatements(collection, keys);
      const fences = withFence ? [fenceStatement(layout, collection, keys)] : [];
      try {
        const results = await run([...fences, ...reads]);
        const rows = results.slice(fences.length);
        const records = await readRecords(run, collection, keys, rows);
        return toAnswers(records, withFence ? readFences(results[0], keys.length) : []);
      } catch (error) {
        if (!withFence || !presence.isMissing(error)) throw error;
        // Uninstalled meanwhile: there is no fence any more.
        const records = await readRecords(run, collection, keys, await run(reads));
        return toAnswers(records, []);
      }
    },

    async scan(name, range, limit) {
      const collection = await catalog.collection(name);
      checkRange(collection, range);
      const statements = scanStatements(collection, range, limit);
      const results = await session.run(statements, reading(collection, 'scan'));
      return scannedRecords(collection, results);
    },

    async boundary(name, range, rows) {
      const collection = await catalog.collection(name);
      checkRange(collection, range);
      const statements = boundaryStatements(collection, range, rows);
      const options = { what: `boundary in "${name}"`, oneSnapshot: true };
      const [wanted, last] = await session.run(statements, options);
      return firstKey(wanted) ?? firstKey(last);
    },

    async extent(name) {
      const collection = await catalog.collection(name);
      const [last, estimate] = await session.run(
        [lastKeyStatement(collection), estimateStatement(collection)],
        { what: `extent of "${name}"` },
      );
      return { last: firstKey(last), estimatedRows: Number(estimate?.rows[0]?.[0] ?? 0) };
    },

    digests: createMysqlDigests(catalog, (statements, what) =>
      session.run(statements, { what, timeoutMs: DIGEST_TIMEOUT_MS }),
    ),

    write: (write) => writeAsAuthority(parts, write),

    async reread(name, keys, epoch, seen) {
      return rereadKeys(parts, await catalog.collection(name), keys, epoch, seen);
    },

    async holdKey(name, key, epoch, limits, work) {
      return holdKey(parts, await catalog.collection(name), key, epoch, limits, work);
    },

    async canonicalise(name, records) {
      if (records.length === 0) return [];
      return canonicalRecords(session, await catalog.collection(name), records);
    },
  };
}
