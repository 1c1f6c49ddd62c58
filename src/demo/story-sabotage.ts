import pg from 'pg';
import type { History, WriteOfLedger } from './judge.ts';
import type { Sabotage } from './story-options.ts';

/** Damages the target once, after the story: for the test that shows the proof to be able to fail. */
export async function sabotage(url: string, kind: Sabotage, history: History): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'sabotage' });
  await client.connect();
  try {
    const id = victim(kind, history);
    if (kind === 'lose') {
      await client.query('DELETE FROM addresses WHERE customer_id = $1', [id]);
      await client.query('DELETE FROM contact_points WHERE customer_id = $1', [id]);
      await client.query('DELETE FROM customers WHERE id = $1', [id]);
    } else if (kind === 'spoil') {
      await client.query("UPDATE customers SET note = COALESCE(note, '') || '!' WHERE id = $1", [
        id,
      ]);
    } else {
      await client.query(
        `INSERT INTO customers (id, given_name, newsletter, tags, created_at, changed_at, status, revision)
         VALUES ($1, 'Lazarus', false, '{}', now(), now(), 'active', 0)`,
        [id],
      );
    }
  } finally {
    await client.end();
  }
}

/** A customer whose end is beyond doubt: present for `lose` and `spoil`, deleted for `resurrect`. */
function victim(kind: Sabotage, history: History): string {
  for (const [id, writes] of history.byId) {
    const last = lastOf(writes);
    if (last && (last.digest === null) === (kind === 'resurrect')) return id;
  }
  throw new Error(`no customer is fit for the sabotage "${kind}"`);
}

function lastOf(writes: readonly WriteOfLedger[]): WriteOfLedger | null {
  if (writes.some(({ outcome }) => outcome !== 'acknowledged')) return null;
  const sorted = [...writes].sort((a, b) => a.to - b.to);
  const last = sorted.at(-1);
  return last && sorted.every((write) => write === last || write.to < last.from) ? last : null;
}
