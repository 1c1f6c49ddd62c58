import type { MigrationContext, Mismatch } from '../control/index.ts';
import { decodeKey } from '../record/index.ts';
import { createComparator } from './comparator.ts';
import { createEvidenceTally } from './evidence-tally.ts';
import { createRechecker, type RecheckOptions } from './rechecker.ts';
import { openVerdictWriter } from './verdicts.ts';
import { type ScopeOptions, stopReason, type VerifyScope, verifyScope } from './verify-scope.ts';

export interface SuspectOptions extends ScopeOptions {
  readonly recheck?: RecheckOptions;
  /** Lines of the ledger in one round, suspects first. Default 1000. */
  readonly limit?: number;
  /** Open mismatches that were last seen longer ago are looked at, too, and dropped when they have gone by themselves. Default 10 000. */
  readonly openAfterMs?: number;
}

/** What a round over the ledger came to. */
export interface SuspectReport {
  readonly checked: number;
  /** They agree now. */
  readonly dropped: number;
  /** They differ for good. */
  readonly opened: number;
  readonly unresolved: number;
}

const nothing: SuspectReport = { checked: 0, dropped: 0, opened: 0, unresolved: 0 };
const sum = (a: SuspectReport, b: SuspectReport): SuspectReport => ({
  checked: a.checked + b.checked,
  dropped: a.dropped + b.dropped,
  opened: a.opened + b.opened,
  unresolved: a.unresolved + b.unresolved,
});

/**
 * Rechecks the suspects of the ledger (shadow reads put them there) and open mismatches of some age: drops what agrees, opens what differs
 * for good. Takes as long as the recheck delays when there is something to do. Idempotent; several workers may do it at once.
 */
export async function recheckSuspects(
  context: MigrationContext,
  options: SuspectOptions,
  signal: AbortSignal,
): Promise<SuspectReport> {
  const limit = options.limit ?? 1_000;
  const { control, migration, runtime } = context;
  const openBefore = runtime.clock.now() - (options.openAfterMs ?? 10_000);
  const suspects = await control.mismatches.list(migration.name, { status: 'suspect', limit });
  const open = (await control.mismatches.list(migration.name, { status: 'open', limit })).filter(
    ({ lastSeenMs }) => lastSeenMs < openBefore,
  );
  // A named closure has no keys, and a collection may have left the configuration: nobody can recheck those here.
  const lines = [...suspects, ...open]
    .filter(({ collection }) => migration.collections.has(collection))
    .slice(0, limit);
  let report = nothing;
  for (const name of new Set(lines.map(({ collection }) => collection))) {
    const scope = verifyScope(context, name, options, signal);
    const own = lines.filter(({ collection }) => collection === name);
    report = sum(report, await recheckLines(scope, own, options.recheck ?? {}));
  }
  return report;
}

/** The ledger's suspects and open lines of one collection that were last seen before `beforeMs` (wall clock). */
export async function recheckLedger(
  scope: VerifyScope,
  options: { readonly recheck: RecheckOptions; readonly beforeMs: number },
): Promise<SuspectReport> {
  const { control, migration } = scope.context;
  const lines: Mismatch[] = [];
  for (const status of ['suspect', 'open'] as const) {
    const found = await control.mismatches.list(migration.name, { status, limit: 10_000 });
    for (const line of found)
      if (line.collection === scope.collection.name && line.lastSeenMs < options.beforeMs)
        lines.push(line);
  }
  return recheckLines(scope, lines, options.recheck);
}

async function recheckLines(
  scope: VerifyScope,
  lines: readonly Mismatch[],
  recheck: RecheckOptions,
): Promise<SuspectReport> {
  if (lines.length === 0) return nothing;
  const { context, collection } = scope;
  const open = new Set(lines.flatMap(({ key, status }) => (status === 'open' ? [key] : [])));
  const tallies = new Map(
    lines.map(({ detector }) => [
      detector,
      createEvidenceTally(context, collection.name, detector),
    ]),
  );
  const writer = await openVerdictWriter(scope, { drops: true });
  let report = nothing;
  const rechecker = createRechecker(scope, createComparator(scope), recheck, (decision) => {
    writer.add(decision);
    const { verdict, suspicion, id } = decision;
    report = sum(report, {
      checked: 1,
      dropped: Number(verdict === 'transient'),
      opened: Number(verdict === 'persistent'),
      unresolved: Number(verdict === 'unresolved'),
    });
    // A mismatch that was open before has been counted when it was opened.
    if (verdict === 'persistent' && !open.has(id))
      tallies.get(suspicion.detector)?.add({ confirmed: 1 });
  });
  for (const { key, detector, firstSeenMs, rechecks } of lines)
    rechecker.suspect(decodeKey(key), { detector, firstSeenMs, rechecks });
  while (rechecker.size > 0 && stopReason(scope) === null) {
    await rechecker.drain(Math.max(0, rechecker.size - 500));
    await writer.flush();
  }
  await writer.flush();
  for (const tally of tallies.values()) await tally.flush();
  return report;
}
