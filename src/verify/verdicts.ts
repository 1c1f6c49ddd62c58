import type { MigrationContext, Mismatch, MismatchGone, MismatchLine } from '../control/index.ts';
import { dispositionOf } from '../errors/index.ts';
import type { Decision } from './rechecker.ts';
import { pause, stopReason, type VerifyScope } from './verify-scope.ts';

/** What the ledger is told of a decision. `unresolved` stays a suspect: the next round looks again. */
export function mismatchOf(
  context: MigrationContext,
  collection: string,
  decision: Decision,
): Mismatch {
  const { difference, suspicion, versions } = decision;
  // A change of the key that waits for a person: whatever the fields look like, the follower has an older state.
  const behind = decision.standing === 'dead' && difference?.kind === 'different';
  const found = behind ? 'stale' : difference?.class;
  return {
    collection,
    key: decision.id,
    kind: difference?.kind ?? 'different',
    ...(found === undefined ? {} : { class: found }),
    status: decision.verdict === 'persistent' ? 'open' : 'suspect',
    detector: suspicion.detector,
    differences: difference?.fields ?? [],
    ...(versions === undefined ? {} : { versions }),
    firstSeenMs: suspicion.firstSeenMs,
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
const KNOWN_MAX = 10_000;
const TOLD_MAX = 20;

/**
 * Persistent and unresolved ones are recorded, transient ones are gone where the ledger knows them (`drops`: they came from the ledger). What the
 * ledger makes of it is its own: an explanation stands while the mismatch looks as it did, and what comes back is told in the audit.
 */
export async function openVerdictWriter(
  scope: VerifyScope,
  options: { readonly drops: boolean },
): Promise<VerdictWriter> {
  const { context, collection } = scope;
  const { control, migration, runtime, events } = context;
  const { name } = collection;
  const known = new Map<string, MismatchLine>();
  for (const status of ['explained', 'unexplained'] as const) {
    const filter = { status, collection: name, limit: KNOWN_MAX };
    for (const line of await control.mismatches.list(migration.name, filter))
      known.set(line.key, line);
  }
  let records: readonly Mismatch[] = [];
  let gone: readonly MismatchGone[] = [];

  const write = async (): Promise<void> => {
    const [recording, leaving] = [records, gone];
    if (recording.length > 0) {
      const recurring = await control.mismatches.record(migration.name, recording);
      if (recurring.length > 0) await tell(context, recurring);
    }
    records = records.slice(recording.length);
    if (leaving.length > 0) await control.mismatches.gone(migration.name, leaving);
    gone = gone.slice(leaving.length);
  };

  return {
    add(decision) {
      const kind = decision.difference?.kind ?? 'different';
      const line = known.get(decision.id);
      if (decision.verdict === 'transient') {
        events.emit({ type: 'mismatch', collection: name, kind, status: 'transient' });
        // A line that somebody has seen since it was read is another suspicion.
        const { seenMs = line?.lastSeenMs } = decision;
        const place = { collection: name, key: decision.id };
        if (options.drops || line)
          gone = [...gone, seenMs === undefined ? place : { ...place, seenMs }];
        return;
      }
      const mismatch = mismatchOf(context, name, decision);
      records = [...records, mismatch];
      const status = decision.verdict === 'persistent' ? 'open' : 'suspect';
      // What was decided already is no news.
      const told = line !== undefined && line.kind === kind && line.status === 'explained';
      if (!told) events.emit({ type: 'mismatch', collection: name, kind, status });
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

/** What somebody had settled is there again: that goes into the audit. */
async function tell(
  { control, migration, instance }: MigrationContext,
  lines: readonly MismatchLine[],
): Promise<void> {
  const detail = {
    mismatches: lines.length,
    first: lines.slice(0, TOLD_MAX).map(({ collection, key }) => ({ collection, key })),
    classes: [...new Set(lines.map((line) => line.class))],
  };
  const entry = { actor: instance, action: 'mismatch-recurring', reason: '', detail };
  await control.note(migration.name, entry);
}
