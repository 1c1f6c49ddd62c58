import { createHash } from 'node:crypto';
import type { ColumnType } from '../../mapping/index.ts';
import type { Row } from '../../record/index.ts';
import {
  type DigestPlan,
  encodeRow,
  type RecordDigests,
  type RecordReader,
  ROW_SEPARATOR,
  type StoredRecord,
} from '../../store/index.ts';
import { type MemorySession, shapeOf } from './memory-session.ts';

const EVERYTHING = { after: null, until: null } as const;
/** Memory tables have no types: every column holds any text. */
const TEXT: ColumnType = { kind: 'text', declared: 'text', nullable: true };

/** Digests of one memory store: the row texts of `encodeRow`, hashed in this process. Only `sha256`. */
export function createMemoryDigests(
  session: MemorySession,
  scan: RecordReader['scan'],
): RecordDigests {
  return {
    async facts(name) {
      const shape = shapeOf(session, name);
      const obstacle =
        Object.keys(shape.children ?? {}).length > 0 ? 'its records have children' : '';
      const names = new Set([...shape.key, ...(shape.columns ?? [])]);
      if (obstacle === '' && shape.columns === undefined) {
        const all = await scan(name, EVERYTHING, Number.MAX_SAFE_INTEGER);
        for (const { record } of all) for (const field of Object.keys(record)) names.add(field);
      }
      return {
        spelling: 'postgres',
        functions: obstacle === '' ? ['sha256'] : [],
        obstacle,
        columns: new Map([...names].map((column) => [column, TEXT])),
        key: shape.key.map((column) => ({ name: column, order: 'memory' })),
      };
    },
    async ranges(name, plan, ranges) {
      return Promise.all(
        ranges.map(async (range) => {
          const rows = await scan(name, range, Number.MAX_SAFE_INTEGER);
          const text = rows.map((row) => textOf(plan, row)).join(ROW_SEPARATOR);
          return { rows: rows.length, digest: sha256(text), bytes: Buffer.byteLength(text) };
        }),
      );
    },
    async rows(name, plan, range, limit) {
      const rows = await scan(name, range, limit);
      return rows.map((row) => ({ key: row.key, digest: sha256(textOf(plan, row)).slice(0, 32) }));
    },
  };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

function textOf({ columns }: DigestPlan, { record }: StoredRecord): string {
  const row = record as Row;
  const encoded = columns.map(({ encoding }) => ({
    encoding,
    type: TEXT,
    spelling: 'postgres' as const,
  }));
  return (
    encodeRow(
      encoded,
      columns.map(({ name }) => row[name] ?? null),
    ) ?? ''
  );
}
