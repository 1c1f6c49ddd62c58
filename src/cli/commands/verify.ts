import { createThrottle } from '../../backfill/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { collectionOf, type MigrationState, routingTable } from '../../migration/index.ts';
import { persistentTotal, type VerifyReport, verifyCollection } from '../../verify/index.ts';
import { type AddCommand, flagsOf, fraction } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import {
  type CommandContext,
  followState,
  interruption,
  type Session,
  withSession,
} from '../session.ts';
import { count, duration, grouped } from '../words.ts';

export const addVerify: AddCommand = (program, perform) => {
  program
    .command('verify [collections...]')
    .description('compare whole collections, in both directions')
    .option('--sample <share>', 'only about this share, 0 … 1', fraction)
    .action((names: string[], _options, command) => {
      const flags = flagsOf<VerifyFlags>(command);
      return perform(flags, (context) => verify(context, names, flags));
    });
};

interface VerifyFlags {
  /** Share of the records; the whole otherwise. */
  readonly sample?: number;
}

/** `verify`: compares collections in both directions, records what differs for good, and notes it for the gates. */
function verify(
  context: CommandContext,
  names: readonly string[],
  flags: VerifyFlags,
): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const { migration } = session;
    const wanted = names.length > 0 ? names : [...migration.migration.collections.keys()];
    for (const name of wanted) collectionOf(migration.migration, name);
    refuseWithoutFollower(await migration.control.load(migration.migration.name));
    const state = await followState(session);
    const { signal, stop } = interruption();
    const unsubscribe = migration.events.subscribe((event) => {
      if (event.type === 'verify' && !event.finished) {
        context.progress(
          `${event.collection}: ${grouped(event.compared)} compared, ${event.suspects} to be looked at again`,
        );
      }
    });
    try {
      const reports: VerifyReport[] = [];
      for (const name of wanted) {
        if (signal.aborted) break;
        const report = await verifyOne(session, name, flags, state.current, signal);
        reports.push(report);
        await noteReport(session, report, state.current().generation);
      }
      return verifyResult(reports, wanted, state.current().version);
    } finally {
      unsubscribe();
      stop();
      state.close();
    }
  });
}

/** In `off`, a rehearsal and the end nobody keeps the other store alike: every record would be a false alarm. */
function refuseWithoutFollower({ phase }: MigrationState): void {
  if (routingTable[phase].follow === 'apply') return;
  throw new ChangeoverError(
    'TRANSITION_REFUSED',
    `There is nothing to verify in ${phase}: no store follows the other.`,
  );
}

function verifyOne(
  { migration }: Session,
  name: string,
  { sample }: VerifyFlags,
  currentState: () => ReturnType<Awaited<ReturnType<typeof followState>>['current']>,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { rowsPerSecondMax, pageRows } = migration.options.verify;
  const throttle = createThrottle(migration.runtime.clock, { rowsPerSecondMax });
  const options = {
    currentState,
    batchRows: pageRows,
    // A person asked for it: what is held is the background.
    ignoreHold: true,
    pace: (records: number, scope: AbortSignal) => throttle.acquire(records, { signal: scope }),
    ...(sample === undefined ? {} : { sample }),
  };
  return verifyCollection(migration, name, options, signal);
}

/** What the gate `verify-passed` reads. A sample proves nothing about the whole and is not noted as finished. */
async function noteReport(
  { migration, act }: Session,
  report: VerifyReport,
  generation: number,
): Promise<void> {
  await migration.control.note(migration.migration.name, {
    ...act,
    action: 'verify',
    detail: {
      generation,
      collections: [report.collection],
      finished: report.outcome !== 'stopped' && report.extent === 'full',
      open: persistentTotal(report) + report.unresolved,
      startedAtMs: report.startedAtMs,
      compared: report.compared,
      extent: report.extent,
    },
  });
}

function verifyResult(
  reports: readonly VerifyReport[],
  wanted: readonly string[],
  stateVersion: number,
): CommandResult {
  const failed = reports.some(({ outcome }) => outcome === 'failed');
  const stopped =
    reports.length < wanted.length || reports.some(({ outcome }) => outcome === 'stopped');
  return {
    kind: 'verify',
    verdict: failed ? 'no' : stopped ? 'partial' : 'yes',
    stateVersion,
    data: { reports },
    next: failed
      ? ['changeover mismatch list', 'changeover mismatch repair COLLECTION']
      : ['changeover plan'],
    text: [...reports.flatMap(reportText), ...(reports[0] ? [reports[0].proof] : [])],
  };
}

function reportText(report: VerifyReport): readonly string[] {
  const { collection, outcome, compared, durationMs, persistent, transient, waiting, reason } =
    report;
  const undecided = report.unresolved - waiting;
  const head = `${collection}: ${outcome}${reason ? ` (${reason})` : ''}, ${count(compared, 'record')} compared in ${duration(durationMs)}`;
  const { missing, extra, different } = persistent;
  const found = persistentTotal(report) > 0;
  return [
    `${head}: ${found ? `${missing} missing, ${extra} extra, ${different} different` : 'no lasting difference'}`,
    ...(transient > 0
      ? [`  ${transient} differed while they were being written and agreed at a second look`]
      : []),
    ...(waiting > 0
      ? [
          `  ${count(waiting, 'key')} not applied yet: the follower is behind (changeover status); a worker looks again`,
        ]
      : []),
    ...(undecided > 0
      ? [
          `  ${count(undecided, 'key')} could not be decided and stay in doubt: changeover mismatch recheck`,
        ]
      : []),
  ];
}
