import { isChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import type { HoldLimits, Reread } from '../../store/index.ts';
import type { CatalogCollection } from './postgres-catalog.ts';
import type { PostgresStoreParts } from './postgres-door-entry.ts';
import {
  keyColumns,
  keyElements,
  keyEquals,
  keyLockId,
  keySpelling,
  keyUnnest,
} from './postgres-key-sql.ts';
import { readRecords, readStatements } from './postgres-read.ts';
import { checkRereadKeys } from './postgres-reread.ts';
import { keyOfRow } from './postgres-rows.ts';
import { textArray } from './postgres-text.ts';

/** What the statements take beyond waiting and holding. */
const WORK_MS = 2_000;

/**
 * See `RecordStore.holdKey`. The key's advisory lock keeps writers of ours out, the share lock of its row all others. One key and nothing else is waited for, so nobody's
 * transaction can be our deadlock victim. A record of several tables that is captured from the log cannot be held: writers of its children do not touch the root.
 */
export async function holdKey<T>(
  { session, layout, logged }: Pick<PostgresStoreParts, 'session' | 'layout' | 'logged'>,
  collection: CatalogCollection,
  key: Key,
  epoch: number,
  { waitMs, holdMs }: HoldLimits,
  work: (held: Reread) => Promise<T>,
): Promise<T | 'busy'> {
  checkRereadKeys(collection, [key]);
  const byLog = logged.has(collection.collection);
  if (byLog && collection.children.length > 0) return 'busy';
  const { root } = collection;
  const elements = keyElements(root.key, 'k');
  const from = keyUnnest(root.key.length, 1, 'k');
  const values = keyColumns([key], root.key.length).map((column) => textArray(column));
  const id = keyLockId(root.key, elements, layout.keySeed(collection.collection));
  const drawn = byLog
    ? `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn - 1`
    : `SELECT nextval('${layout.version}'::regclass)`;
  try {
    return await session.transaction(
      async (transaction) => {
        const [, , spelled, locked, sequence, ...read] = await transaction.run([
          { text: `SELECT set_config('lock_timeout', $1, true)`, values: [String(waitMs)] },
          {
            text: `SELECT ${layout.enter}(CASE WHEN role = 'sealed' THEN role ELSE 'authority' END, $1::int, false) FROM ${layout.guard}`,
            values: [String(epoch)],
          },
          {
            text: `SELECT ${keySpelling(root.key, elements).join(', ')}, pg_catalog.pg_advisory_xact_lock(${id}) FROM ${from}`,
            values,
          },
          {
            text: `SELECT k.n FROM ${from} JOIN ${root.quoted} t ON ${keyEquals(root.key, 't', elements)} FOR SHARE OF t`,
            values,
          },
          { text: drawn },
          ...readStatements(collection, [key]),
        ]);
        const record = readRecords(collection, read, 1)[0] ?? null;
        // Inserted in between, or absent where no lock stands for absence.
        const held = locked?.rows.length === 1;
        if (record === null ? byLog : !held) return 'busy';
        const own =
          record === null
            ? ((spelled?.rows[0] ?? key).slice(0, key.length) as Key)
            : keyOfRow(collection, record as Readonly<Record<string, string>>);
        const version = { epoch, sequence: BigInt(sequence?.rows[0]?.[0] ?? 0) };
        return work({ key: own, state: 'read', record, version });
      },
      {
        timeoutMs: 2 * waitMs + holdMs + WORK_MS,
        what: `a look at a key of "${collection.collection}" under its lock`,
      },
    );
  } catch (error) {
    if (isChangeoverError(error, 'STORE_CONFLICT')) return 'busy';
    throw error;
  }
}
