import { createHash } from 'node:crypto';
import type { ColumnType } from '../../src/mapping/index.ts';
import type { Scalar } from '../../src/record/index.ts';
import {
  type DigestEncoding,
  encodeRow,
  type MigrationStore,
  type RecordDigests,
} from '../../src/store/index.ts';
import { GOLDEN, type GoldenCell } from './golden-reads.ts';
import type { GoldenType } from './golden-values.ts';
import { aWrite } from './postgres-store.ts';

const everything = { after: null, until: null };

/** A cell of the golden table: one column for each type, one row for each value. */
export function goldenCells(types: readonly GoldenType[]): readonly GoldenCell[] {
  const cells: GoldenCell[] = [];
  types.forEach(([, ...texts], column) => {
    for (const text of texts) {
      const given = typeof text === 'string' ? text : text[0];
      cells.push({ id: String(cells.length + 1), column: `c${column}`, given });
    }
  });
  return cells;
}

/** Statement for `CREATE TABLE golden`. */
export const goldenTable = (types: readonly GoldenType[]): string =>
  `CREATE TABLE ${GOLDEN} (id int PRIMARY KEY, ${types.map(([type], index) => `c${index} ${type}`).join(', ')})`;

/** Every form in which a column of this kind may be digested, beside any other. */
export function formsOf(type: ColumnType): readonly DigestEncoding[] {
  switch (type.kind) {
    case 'integer':
    case 'year':
    case 'boolean':
      return [{ form: 'integer' }];
    case 'decimal': {
      const { precision, scale = 0 } = type;
      if (precision === undefined) return [{ form: 'plain' }];
      const whole: readonly DigestEncoding[] = scale === 0 ? [{ form: 'integer' }] : [];
      return [...whole, { form: 'plain' }, ...[scale, scale + 2].map((one) => decimal(one))];
    }
    case 'text':
    case 'label':
      return [{ form: 'text' }, { form: 'trimmed' }];
    case 'json':
    case 'label-set':
      return [{ form: 'text' }];
    case 'uuid':
      return [{ form: 'plain' }, { form: 'text' }, { form: 'hex' }];
    case 'bytes':
      return [{ form: 'hex' }];
    case 'bits':
      return [{ form: 'plain' }];
    case 'date':
      return [{ form: 'plain' }];
    case 'date-time':
    case 'instant':
      return [{ form: 'moment' }];
    case 'time':
    case 'interval':
      return [{ form: 'clock' }];
    default:
      return [];
  }
}

const decimal = (scale: number): DigestEncoding => ({ form: 'decimal', scale });

/** A value whose digest in the store is another one than in JavaScript. */
export interface Unlike {
  readonly type: string;
  readonly form: string;
  readonly value: Scalar;
}

/** Writes the cells and compares the digest of each row, under each form of each column, with that of JavaScript. `tried`: how many were compared. */
export async function unlikeDigests(
  store: MigrationStore,
  cells: readonly GoldenCell[],
): Promise<{ readonly tried: number; readonly unlike: readonly Unlike[] }> {
  await store.setup.install('authority', 1);
  for (const { id, column, given } of cells)
    await store.records.write(aWrite(GOLDEN, [id], { [column]: given }));
  const digests = store.records.digests as RecordDigests;
  const { columns, spelling } = await digests.facts(GOLDEN);
  const rows = await store.records.scan(GOLDEN, everything, 10_000);
  const records = new Map(rows.map(({ key, record }) => [key[0], record]));
  const id = { name: 'id', encoding: { form: 'integer' } as const };
  const unlike: Unlike[] = [];
  let tried = 0;
  for (const [name, type] of columns) {
    if (name === 'id') continue;
    for (const encoding of formsOf(type)) {
      const plan = { function: 'sha256', columns: [id, { name, encoding }] } as const;
      const found = await digests.rows(GOLDEN, plan, everything, 10_000);
      for (const { key, digest } of found) {
        const value = (records.get(key[0])?.[name] ?? null) as Scalar;
        const text = encodeRow(
          [
            { type: columns.get('id') as ColumnType, spelling, encoding: id.encoding },
            { type, spelling, encoding },
          ],
          [key[0] ?? '', value],
        );
        tried += 1;
        if (digest !== sha256(text ?? '').slice(0, 32))
          unlike.push({ type: type.declared, form: encoding.form, value });
      }
    }
  }
  return { tried, unlike };
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
