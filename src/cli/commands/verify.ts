import { createThrottle } from '../../backfill/index.ts';
import { comparatorsOf } from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { collectionOf, type MigrationState, routingTable } from '../../migration/index.ts';
import {
  persistentTotal,
  recordBaseline,
  type VerifyReport,
  verifyCollection,
} from '../../verify/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import {
  type CommandContext,
  followState,
  interruption,
  type Session,
  withSession,
} from '../session.ts';
import { extentOptions, keys, range, share, type VerifyFlags } from '../verify-flags.ts';
import { proofNote, verifyText } from '../verify-text.ts';
import { grouped } from '../words.ts';

export const addVerify: AddCommand = (program, perform) => {
  program
    .command('verify [collections...]')
    .description('compare whole collections, in both directions')
    .option('--sample <share>', 'only about this share, in random pages: 1% or 0.01', share)
    .option('--scope <from..until>', 'only keys behind FROM, up to and including UNTIL', range)
    .option('--keys <key>', 'only this key; can be given several times', keys)
    .option('--recheck', 'prove by recheck, also where both stores share a log position')
    .option('--afresh', 'begin anew where an earlier comparison was stopped')
    .action((names: string[], _options, command) => {
      const flags = flagsOf<VerifyFlags>(command);
      return perform(flags, (context) => verify(context, names, flags));
    });
};

/** `verify`: compares collections in both directions, records what differs for good, and notes it for the gates. */
function verify(
  context: CommandContext,
  names: readonly string[],
  flags: VerifyFlags,
): Promise<CommandResult> {
  return withSession(context, {}, async (session) => {
    const { migration } = session;
    const wanted = names.length > 0 ? names : [...migration.migration.collections.keys()];
    if ((flags.keys ?? flags.scope) !== undefined && wanted.length !== 1)
      throw new ChangeoverError('KEY_INVALID', 'Keys belong to one collection: name it.');
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
        await recordBaseline(migration, report);
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
  flags: VerifyFlags,
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
    ...extentOptions(flags, migration.options.verify),
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
      comparators: comparatorsOf(migration.migration, report.startedAtMs),
      compared: report.compared,
      extent: report.extent,
      proof: proofNote(report.proof),
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
    text: reports.flatMap(verifyText),
  };
}
