import type { KeyRange, RecordStore } from '../../store/index.ts';
import { canonicalBatches, canonicalRecords } from './postgres-canonical.ts';
import { type CatalogCollection, tablesOf } from './postgres-catalog.ts';
import { createPostgresDigests, DIGEST_TIMEOUT_MS } from './postgres-digest.ts';
import { holdKey } from './postgres-hold-key.ts';
import {
  boundaryStatement,
  checkKeys,
  estimateStatement,
  fenceStatement,
  firstKey,
  lastKeyStatement,
  readEstimate,
  readFences,
  readRecords,
  readStatements,
  scannedRecords,
  scanStatements,
  toAnswers,
} from './postgres-read.ts';
import { rereadKeys } from './postgres-reread.ts';
import { rereadLogged } from './postgres-reread-log.ts';
import type { QueryOptions } from './postgres-session.ts';
import { type WriteParts, writeAsAuthority } from './postgres-write.ts';

function checkRange(collection: CatalogCollection, { after, until }: KeyRange): void {
  checkKeys(
    collection,
    [after, until].filter((bound) => bound !== null),
  );
}

/** Reads, scans and writes of one PostgreSQL store; the algorithms stand in `postgres-read`, `-write` and `-reread`. */
export function createPostgresRecordStore(parts: WriteParts): RecordStore {
  const { session, catalog, layout, presence } = parts;

  /** An aggregate is read by several statements, which have to see the same moment. */
  const reading = (collection: CatalogCollection, what: string): QueryOptions => ({
    what: `${what} of "${collection.collection}"`,
    ...(collection.children.length > 0 ? { oneSnapshot: { lockFirst: tablesOf(collection) } } : {}),
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
      const reads = readStatements(collection, keys);
      const fences = withFence ? [fenceStatement(layout, collection, keys)] : [];
      try {
        const results = await session.run([...fences, ...reads], query);
        const records = readRecords(collection, results.slice(fences.length), keys.length);
        return toAnswers(records, withFence ? readFences(results[0], keys.length) : []);
      } catch (error) {
        if (!withFence || !presence.isMissing(error)) throw error;
        // Uninstalled meanwhile: there is no fence any more.
        const results = await session.run(reads, query);
        return toAnswers(readRecords(collection, results, keys.length), []);
      }
    },

    async scan(name, range, limit) {
      const collection = await catalog.collection(name);
      checkRange(collection, range);
      const results = await session.run(
        scanStatements(collection, range, limit),
        reading(collection, 'scan'),
      );
      return scannedRecords(collection, results);
    },

    async boundary(name, range, rows) {
      const collection = await catalog.collection(name);
      checkRange(collection, range);
      const statement = boundaryStatement(collection, range, rows);
      const [result] = await session.run([statement], { what: `boundary in "${name}"` });
      return firstKey(result);
    },

    async extent(name) {
      const collection = await catalog.collection(name);
      const [last, estimate] = await session.run(
        [lastKeyStatement(collection), estimateStatement(collection)],
        { what: `extent of "${name}"` },
      );
      return { last: firstKey(last), estimatedRows: readEstimate(estimate) };
    },

    digests: createPostgresDigests(catalog, (statements, what) =>
      session.run(statements, { what, timeoutMs: DIGEST_TIMEOUT_MS }),
    ),

    write: (write) => writeAsAuthority(parts, write),

    async reread(name, keys, epoch, seen) {
      const collection = await catalog.collection(name);
      return parts.logged.has(name)
        ? rereadLogged(session, layout, collection, keys, epoch, seen)
        : rereadKeys(session, layout, collection, keys, epoch);
    },

    async holdKey(name, key, epoch, limits, work) {
      return holdKey(parts, await catalog.collection(name), key, epoch, limits, work);
    },

    async canonicalise(name, records) {
      if (records.length === 0) return [];
      const collection = await catalog.collection(name);
      const batches = canonicalBatches(collection, records);
      const results = await session.run(
        batches.map(({ statement }) => statement),
        { what: `spelling of "${name}"` },
      );
      const lines = results.map(({ rows }) => rows);
      return canonicalRecords(collection, records, batches, lines);
    },
  };
}
