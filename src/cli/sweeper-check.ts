import type { OpenedMigration } from '../config/index.ts';
import { messageOf } from '../errors/index.ts';
import type { Side } from '../migration/index.ts';
import type { Finding } from '../store/index.ts';

/** Whether the sweeper can work on this side: its column is there, holds a time, and has an index. */
export async function sweeperFindings(
  { migration, stores }: Pick<OpenedMigration, 'migration' | 'stores'>,
  side: Side,
): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const { name, modified } of migration.collections.values()) {
    const column = modified?.[side];
    if (column === null || column === undefined) continue;
    const rows = stores[side].modified;
    const id = 'sweeper/column';
    if (!rows) {
      const message = `"${name}" names the column "${column}" for the sweeper, and a ${stores[side].engine} store has none.`;
      found.push({ id, verdict: 'fail', message, fix: 'Leave `modified` out.' });
      continue;
    }
    try {
      for (const { severity, text, fix } of await rows.check(name, column)) {
        const message = `"${name}": ${text}.`;
        const place = severity === 'fail' ? id : 'sweeper/index';
        found.push({ id: place, verdict: severity, message, fix });
      }
    } catch (error) {
      const message = `"${name}": the column "${column}" could not be looked at: ${messageOf(error)}`;
      found.push({ id, verdict: 'unknown', message, fix: 'Correct what it says.' });
    }
  }
  return found;
}
