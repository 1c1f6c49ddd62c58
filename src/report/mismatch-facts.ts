import type { ControlStore, MismatchTally } from '../control/index.ts';
import type { MismatchFacts } from './report-data.ts';

/** Keys that a report names, at most. */
const KEYS_MAX = 500;

/** Mismatches by class × field × status; their keys only where they were asked for. Errors: CONTROL_UNAVAILABLE. */
export async function mismatchFacts(
  { mismatches }: Pick<ControlStore, 'mismatches'>,
  migration: string,
  showKeys: boolean,
): Promise<MismatchFacts> {
  const [tallies, unexplained] = await Promise.all([
    mismatches.tally(migration),
    mismatches.count(migration, 'unexplained'),
  ]);
  const byStatus: Record<string, number> = {};
  for (const { status, count } of tallies) byStatus[status] = (byStatus[status] ?? 0) + count;
  const lines = showKeys ? await mismatches.list(migration, { limit: KEYS_MAX }) : [];
  return {
    unexplained,
    byStatus,
    rows: rowsOf(tallies),
    keys: lines.map(({ collection, key, status }) => ({ collection, key, status })),
  };
}

/** One row for each field that differs: a record with two of them stands in two rows. */
function rowsOf(tallies: readonly MismatchTally[]): MismatchFacts['rows'] {
  const rows = new Map<string, MismatchFacts['rows'][number]>();
  for (const { collection, status, class: whole, fields, count } of tallies) {
    const each = fields.length > 0 ? fields : [{ field: '', class: whole }];
    for (const { field, class: named } of each) {
      const id = JSON.stringify([collection, named, field, status]);
      const before = rows.get(id)?.count ?? 0;
      rows.set(id, { collection, class: named, field, status, count: before + count });
    }
  }
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}
