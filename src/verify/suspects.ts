import type { MigrationContext, Mismatch, MismatchFilter, MismatchLine } from '../control/index.ts';
import { addReports, nothingRechecked, RecheckDesk, type SuspectReport } from './recheck-desk.ts';
import type { RecheckOptions } from './rechecker.ts';
import { type ScopeOptions, type VerifyScope, verifyScope } from './verify-scope.ts';

export interface SuspectOptions extends ScopeOptions {
  readonly recheck?: RecheckOptions;
  /** Lines of the ledger in one round, suspects first. Default 1000. */
  readonly limit?: number;
  /** Open mismatches that were last seen longer ago are looked at, too, and dropped when they have gone by themselves. Default 10 000. */
  readonly openAfterMs?: number;
}

/**
 * Rechecks the suspects of the ledger (every detector puts them there) and open mismatches of some age: drops what agrees, opens what differs
 * for good. Takes as long as the recheck delays when there is something to do. Idempotent; several processes may do it at once.
 */
export async function recheckSuspects(
  context: MigrationContext,
  options: SuspectOptions,
  signal: AbortSignal,
): Promise<SuspectReport> {
  let report = nothingRechecked;
  for (const [name, lines] of await linesToRecheck(context, options)) {
    const desk = new RecheckDesk(
      verifyScope(context, name, options, signal),
      options.recheck ?? {},
    );
    desk.admit(lines);
    await desk.drain();
    report = addReports(report, desk.takeReport());
  }
  return report;
}

/** By collection. */
export async function linesToRecheck(
  context: MigrationContext,
  options: Pick<SuspectOptions, 'limit' | 'openAfterMs'>,
): Promise<ReadonlyMap<string, readonly Mismatch[]>> {
  const limit = options.limit ?? 1_000;
  const openBefore = context.runtime.clock.now() - (options.openAfterMs ?? 10_000);
  const suspects = await longestUnseen(context, 'suspect', limit, limit, () => true);
  const isDue = ({ lastSeenMs }: Mismatch): boolean => lastSeenMs < openBefore;
  const open = await longestUnseen(context, 'unexplained', limit - suspects.length, limit, isDue);
  const found = new Map<string, Mismatch[]>();
  for (const line of [...suspects, ...open])
    found.set(line.collection, [...(found.get(line.collection) ?? []), line]);
  return found;
}

const PAGES_MAX = 50;

/**
 * The lines that were seen longest ago and can be looked at, so many. A look that decides nothing is a sight, too: such a line goes to the back, and those that are looked at in
 * vain each time do not keep the others from their turn. A named closure has no keys, and a collection may have left the configuration: nobody can recheck those, and they stay;
 * so they are passed over, or they would stand in the way of all others.
 */
async function longestUnseen(
  { control, migration }: MigrationContext,
  status: 'suspect' | 'unexplained',
  limit: number,
  pageLines: number,
  isDue: (line: Mismatch) => boolean,
): Promise<readonly Mismatch[]> {
  const found: Mismatch[] = [];
  let after: MismatchLine | null = null;
  for (let page = 0; page < PAGES_MAX && found.length < limit; page++) {
    const filter: MismatchFilter = { status, limit: pageLines, lastSeen: { after } };
    const lines: readonly MismatchLine[] = await control.mismatches.list(migration.name, filter);
    found.push(
      ...lines.filter((line) => migration.collections.has(line.collection) && isDue(line)),
    );
    after = lines.at(-1) ?? null;
    if (lines.length < pageLines) break;
  }
  return found.slice(0, limit);
}

/** The ledger's suspects and open lines of one collection that were last seen before `beforeMs` (wall clock), the first 10 000 of each by their last sight. */
export async function recheckLedger(
  scope: VerifyScope,
  options: { readonly recheck: RecheckOptions; readonly beforeMs: number },
): Promise<SuspectReport> {
  const { control, migration } = scope.context;
  const desk = new RecheckDesk(scope, options.recheck);
  for (const status of ['suspect', 'unexplained'] as const) {
    const found = await control.mismatches.list(migration.name, {
      status,
      collection: scope.collection.name,
      lastSeen: { after: null },
      limit: 10_000,
    });
    desk.admit(found.filter(({ lastSeenMs }) => lastSeenMs < options.beforeMs));
  }
  await desk.drain();
  return desk.takeReport();
}
