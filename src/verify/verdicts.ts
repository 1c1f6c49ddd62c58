import type { MigrationContext, Mismatch, MismatchStatus } from '../control/index.ts';
import { dispositionOf } from '../errors/index.ts';
import type { Decision } from './rechecker.ts';
import { pause, stopReason, type VerifyScope } from './verify-scope.ts';

/** The ledger's line for a decision. `unresolved` stays a suspect: the next round looks again. */
export function mismatchOf(
  context: MigrationContext,
  collection: string,
  decision: Decision,
): Mismatch {
  const status: MismatchStatus = decision.verdict === 'persistent' ? 'open' : 'suspect';
  return {
    collection,
    key: decision.id,
    kind: decision.difference?.kind ?? 'different',
    status,
    detector: decision.suspicion.detector,
    differences: decision.difference?.fields ?? [],
    firstSeenMs: decision.suspicion.firstSeenMs,
    lastSeenMs: context.runtime.clock.now(),
    rechecks: decision.rechecks,
    note: decision.note,
  };
}

/** Decisions on their way to the mismatch ledger. */
export interface VerdictWriter {
  add(decision: Decision): void;
  /** Writes what is left; keeps trying while the control store cannot be reached and the work goes on. Throws what will not pass. */
  flush(): Promise<void>;
}

const GIVE_UP_MS = 60_000;
const RETRY_MS = 500;

/**
 * Persistent and unresolved ones are recorded, transient ones dropped where the ledger knows them (`drops`: they came from the ledger). A
 * mismatch that a person has explained stays explained while it is of the same kind.
 */
export async function openVerdictWriter(
  scope: VerifyScope,
  options: { readonly drops: boolean },
): Promise<VerdictWriter> {
  const { context, collection } = scope;
  const { control, migration, runtime, events } = context;
  const { name } = collection;
  const linesOf = async (status: MismatchStatus): Promise<ReadonlyMap<string, Mismatch>> => {
    const lines = await control.mismatches.list(migration.name, { status, limit: 10_000 });
    return new Map(lines.flatMap((one) => (one.collection === name ? [[one.key, one]] : [])));
  };
  const explained = await linesOf('explained');
  const open = await linesOf('open');
  let records: readonly Mismatch[] = [];
  let gone: readonly { readonly collection: string; readonly key: string }[] = [];

  const write = async (): Promise<void> => {
    const [recording, dropping] = [records, gone];
    if (recording.length > 0) await control.mismatches.record(migration.name, recording);
    records = records.slice(recording.length);
    if (dropping.length > 0) await control.mismatches.drop(migration.name, dropping);
    gone = gone.slice(dropping.length);
  };

  return {
    add(decision) {
      const kind = decision.difference?.kind ?? 'different';
      const known = explained.get(decision.id);
      if (decision.verdict === 'transient') {
        events.emit({ type: 'mismatch', collection: name, kind, status: 'transient' });
        if (options.drops || known) gone = [...gone, { collection: name, key: decision.id }];
        return;
      }
      // Not knowing is no reason to take back what has been confirmed.
      if (decision.verdict === 'unresolved' && open.has(decision.id)) return;
      const mismatch = mismatchOf(context, name, decision);
      const stays = known !== undefined && known.kind === kind;
      records = [
        ...records,
        stays ? { ...mismatch, status: 'explained', note: known.note } : mismatch,
      ];
      const status = decision.verdict === 'persistent' ? 'open' : 'suspect';
      if (!stays) events.emit({ type: 'mismatch', collection: name, kind, status });
    },
    async flush() {
      const begun = runtime.clock.monotonic();
      for (;;) {
        try {
          await write();
          return;
        } catch (error) {
          const spentMs = runtime.clock.monotonic() - begun;
          const passing = dispositionOf(error) === 'retry' && spentMs < GIVE_UP_MS;
          if (!passing || stopReason(scope) !== null) throw error;
          await pause(scope, RETRY_MS);
        }
      }
    },
  };
}
