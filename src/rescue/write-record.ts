import { ChangeoverError, dispositionOf, isChangeoverError, messageOf } from '../errors/index.ts';
import type { DataRecord } from '../record/index.ts';
import { collectionOfRecord, type OpenGap } from './open-gap.ts';
import { sameRecord } from './same-record.ts';
import { logIsRead, touchedKeys } from './touched.ts';
import type { Weighed } from './weigh-gap.ts';

const TIMEOUT_MS = 10_000;

/** What became of one record. `left`: nobody can say now (busy, no answer); it stays as it was. */
export interface WriteOutcome {
  readonly outcome: 'written' | 'conflict' | 'refused' | 'left';
  readonly note: string;
}

/**
 * Writes one record of the gap into the source, as an ordinary own write of the new epoch: journalled, so that it comes back to the target. Under the key's lock,
 * before it commits, it is looked at again: the source still holds what was `seen`, and (unless a person has decided, `byPerson`) nobody has
 * written the record since the rescue. Whoever writes at the same time comes before this look, and stops it, or after the commit, and stands.
 */
export async function writeRecord(
  gap: OpenGap,
  weighed: Weighed,
  seen: DataRecord | null,
  byPerson: boolean,
): Promise<WriteOutcome> {
  const { context, state } = gap;
  const { record, wanted, keys } = weighed;
  const collection = collectionOfRecord(gap, record);
  const [key = []] = keys;
  try {
    await context.stores.source.records.write({
      collection: collection.name,
      key,
      action: wanted === null ? 'delete' : 'put',
      record: wanted ?? {},
      check: (current) => {
        if (!sameRecord(current, seen)) throw new Overtaken('the source holds something else now');
      },
      epoch: state.epoch,
      journal: collection.capture === 'log' ? 'log' : 'change',
      graceMs: 0,
      timeoutMs: TIMEOUT_MS,
      beforeCommit: async () => {
        if (byPerson) return;
        await logIsRead(gap, collection);
        const [touched] = await touchedKeys(gap, collection, [keys]);
        if (touched) throw new Overtaken('the source was written since the rescue');
      },
    });
    return { outcome: 'written', note: '' };
  } catch (error) {
    if (isChangeoverError(error, 'STATE_CHANGED'))
      return { outcome: 'conflict', note: String(error.data['why'] ?? messageOf(error)) };
    if (isChangeoverError(error, 'AUTHORITY_FENCED', 'BUG', 'CLOSED')) throw error;
    const refused = dispositionOf(error) === 'reject';
    return { outcome: refused ? 'refused' : 'left', note: messageOf(error) };
  }
}

/** Stops the write from inside: the transaction rolls back. */
class Overtaken extends ChangeoverError {
  constructor(why: string) {
    super('STATE_CHANGED', `The record of the gap is not written: ${why}.`, { data: { why } });
  }
}
