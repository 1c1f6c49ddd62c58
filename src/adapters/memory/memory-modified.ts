import { ChangeoverError } from '../../errors/index.ts';
import {
  type ModifiedPlace,
  type ModifiedRows,
  modifiedFindings,
  type RecordStore,
} from '../../store/index.ts';
import { type MemorySession, shapeOf } from './memory-session.ts';
import { compareKeys } from './memory-table.ts';

/** See `ModifiedRows`. Times are texts that `Date` can read; every table is an index of every column. */
export function createMemoryModified(
  session: MemorySession,
  records: Pick<RecordStore, 'scan'>,
): ModifiedRows {
  const placesOf = async (collection: string, column: string): Promise<ModifiedPlace[]> => {
    const range = { after: null, until: null };
    const rows = await records.scan(collection, range, Number.MAX_SAFE_INTEGER);
    return rows.flatMap(({ key, record }) => {
      const at = record[column];
      return typeof at === 'string' ? [{ at, key }] : [];
    });
  };
  const timeOf = (at: string): number => {
    const ms = Date.parse(at);
    if (!Number.isNaN(ms)) return ms;
    throw new ChangeoverError('CONFIG_INVALID', 'The column for the sweeper holds no time.');
  };
  const order = (a: ModifiedPlace, b: ModifiedPlace): number =>
    timeOf(a.at) - timeOf(b.at) || compareKeys(a.key, b.key);
  return {
    async check(collection, column) {
      const { table, columns } = shapeOf(session, collection);
      return columns && !columns.includes(column) ? [modifiedFindings.missing(table, column)] : [];
    },
    async horizon(collection, column) {
      const now = session.context.runtime.clock.now();
      const past = (await placesOf(collection, column)).filter(({ at }) => timeOf(at) <= now);
      return { newest: past.sort(order).at(-1)?.at ?? null, openMs: 0 };
    },
    async keys(collection, column, { from, backMs, until, after }, limit) {
      const begin = timeOf(from) - backMs;
      const end = timeOf(until);
      return (await placesOf(collection, column))
        .filter(({ at }) => timeOf(at) >= begin && timeOf(at) <= end)
        .sort(order)
        .filter((place) => after === null || order(place, after) > 0)
        .slice(0, limit);
    },
  };
}
