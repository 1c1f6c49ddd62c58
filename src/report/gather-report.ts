import type { AuditEntry, MigrationContext } from '../control/index.ts';
import { comparatorsOf, rogueAcknowledged, rogueWriteNote } from '../control/index.ts';
import type { Controller, Status } from '../controller/index.ts';
import { followingBegan, type GateProfile } from '../gates/index.ts';
import { authorityOf } from '../migration/index.ts';
import { withDeadline } from '../runtime/index.ts';
import { type AuditTrail, readAudit } from './audit-trail.ts';
import { decisionsOf, drillsOf, stepsOf, switchesOf } from './history.ts';
import { independentEvidence, paritySeries } from './independent-evidence.ts';
import { mismatchFacts } from './mismatch-facts.ts';
import { type ParityWindow, parityOf } from './parity-facts.ts';
import { type Programme, programmeStatus } from './programme.ts';
import { notesOf, proofsOf } from './proofs.ts';
import {
  type CollectionFacts,
  type IntruderFacts,
  type PipelineFacts,
  type ReportData,
  type ReportSubject,
  reportSchemaVersion,
} from './report-data.ts';
import { measuredSeries } from './series.ts';
import { uncheckedOf } from './unchecked.ts';
import { gateWindow, verdictOf } from './verdict.ts';

export interface GatherOptions {
  readonly controller: Pick<Controller, 'status'>;
  readonly profile: GateProfile;
  readonly programme: Programme;
  /** Addresses without passwords. */
  readonly displays: { readonly source: string; readonly target: string };
  /** Who asked for it. */
  readonly by: string;
  /** Leave out what happened before; null: nothing. */
  readonly sinceMs: number | null;
  /** Name the keys of records that differ. Values are never in it. */
  readonly showKeys: boolean;
}

/** Dead letters that are looked at to say why. */
const DEAD_MAX = 1_000;
const STORE_MS = 2_000;

/** Collects what is known of a migration; changes nothing. A store that does not answer is reported as such. Errors: CONTROL_UNAVAILABLE. */
export async function gatherReport(
  context: MigrationContext,
  options: GatherOptions,
): Promise<ReportData> {
  const { control, migration, runtime } = context;
  const { profile, programme, sinceMs, showKeys } = options;
  const status = await options.controller.status();
  const { state } = status;
  const nowMs = runtime.clock.now();
  const trail = await readAudit(context, () => false);
  const entries = trail.entries.filter(({ atMs }) => sinceMs === null || atMs >= sinceMs);
  const beganMs = (await followingBegan(context, state))?.atMs ?? 0;
  const windows = windowsOf(beganMs, profile, sinceMs, nowMs);
  const fromMinute = Math.floor(Math.min(nowMs, ...windows.map(({ fromMs }) => fromMs)) / 60_000);
  const [evidence, samples, mismatches, standing, pipeline] = await Promise.all([
    independentEvidence(context, fromMinute, nowMs),
    control.samples.since(migration.name, Math.floor((sinceMs ?? 0) / 60_000)),
    mismatchFacts(control, migration.name, showKeys),
    programmeStatus(context, programme),
    pipelineOf(context, status),
  ]);
  const facts = {
    collections: collectionsOf(context, status),
    proofs: proofsOf(entries, {
      generation: state.generation,
      comparators: comparatorsOf(migration, nowMs),
      beganMs,
      showKeys,
    }),
    parity: parityOf(evidence, windows, profile.confidence),
    mismatches,
    intruders: intrudersOf(status, entries),
  };
  const unchecked = uncheckedOf({
    context,
    status,
    samples,
    sinceMs,
    nowMs,
    profile: profile.name,
    auditCut: trail.cut,
    ...facts,
  });
  return {
    subject: subjectOf(options, status, control.display, trail, nowMs),
    verdict: verdictOf({ status, unchecked: unchecked.length, ...facts }),
    history: stepsOf(entries),
    decisions: decisionsOf(entries),
    ...facts,
    repairs: notesOf(entries, repairs, showKeys),
    pipeline,
    wayBack: wayBackOf(status, entries),
    fleet: fleetOf(status),
    programme: standing,
    gates: gatesNow(status),
    unchecked,
    series: [...paritySeries(evidence, profile.confidence), ...measuredSeries(samples)],
  };
}

const repairs: ReadonlySet<string> = new Set([
  'repair',
  'repair-stopped',
  'repair-resumed',
  'mismatch-recurring',
  'dlq-redrive',
  'dlq-discard',
  'rescue-apply',
  'rescue-resolve',
]);

/** The window that the gates look at, and the whole time since the follower has had every change. */
function windowsOf(
  began: number,
  profile: GateProfile,
  sinceMs: number | null,
  nowMs: number,
): readonly ParityWindow[] {
  const from = Math.max(began, nowMs - profile.windowMinutes * 60_000);
  return [
    { name: gateWindow, fromMs: from, untilMs: nowMs },
    ...(sinceMs === null
      ? [{ name: 'since following began', fromMs: began, untilMs: nowMs }]
      : [{ name: 'as asked', fromMs: sinceMs, untilMs: nowMs }]),
  ];
}

function subjectOf(
  { displays, by, sinceMs }: GatherOptions,
  { state }: Status,
  control: string,
  { cut }: AuditTrail,
  observedAtMs: number,
): ReportSubject {
  return {
    schemaVersion: reportSchemaVersion,
    migration: state.migration,
    observedAtMs,
    sinceMs,
    by,
    phase: state.phase,
    stateVersion: state.version,
    generation: state.generation,
    epoch: state.epoch,
    dialBasisPoints: state.dialBasisPoints,
    authority: authorityOf(state.phase),
    ...displays,
    control,
    auditCut: cut,
  };
}

function collectionsOf(
  { migration }: MigrationContext,
  { backfill }: Status,
): readonly CollectionFacts[] {
  return [...migration.collections.values()].map((collection) => {
    const checkpoint = backfill.find((one) => one.collection === collection.name);
    return {
      collection: collection.name,
      sourceTable: collection.source.table,
      targetTable: collection.target.table,
      capture: collection.capture,
      transformed: !collection.identity,
      transformVersion: collection.transformVersion,
      shadowReadSample: collection.shadowReadSample,
      ignored: Object.entries(collection.ignore).map(([field, { reason, until }]) => ({
        field,
        reason,
        until,
      })),
      backfill:
        checkpoint === undefined
          ? null
          : {
              rowsRead: checkpoint.rowsRead,
              rowsInserted: checkpoint.rowsInserted,
              rowsDead: checkpoint.rowsDead,
              startedAtMs: checkpoint.startedAtMs,
              finishedAtMs: checkpoint.finishedAtMs,
            },
    };
  });
}

async function pipelineOf(context: MigrationContext, status: Status): Promise<PipelineFacts> {
  const counts = new Map<string, PipelineFacts['deadLetters'][number]>();
  for (const side of ['source', 'target'] as const) {
    if ((status.sides[side].queue?.dead ?? 0) === 0) continue;
    const asked = context.stores[side].queue.deadLetters(DEAD_MAX);
    const what = `the dead letters of the ${side}`;
    const letters = await withDeadline(context.runtime.clock, STORE_MS, what, asked).catch(
      () => [],
    );
    for (const { collection, reason } of letters) {
      const id = JSON.stringify([side, collection, reason]);
      const count = (counts.get(id)?.count ?? 0) + 1;
      counts.set(id, { side, collection, reason, count });
    }
  }
  return {
    sides: (['source', 'target'] as const).map((side) => {
      const { role, queue, error } = status.sides[side];
      const { waiting = null, dead = null, oldestMs = null } = queue ?? {};
      return { side, role, waiting, dead, oldestMs, error };
    }),
    deadLetters: [...counts.values()],
    log:
      status.log === null
        ? null
        : (status.log.error ?? (status.log.level ? 'applied to its end' : 'behind its end')),
  };
}

function wayBackOf({ rollback }: Status, entries: readonly AuditEntry[]): ReportData['wayBack'] {
  const { ready, message, readsMs, writesMs } = rollback;
  return {
    ready,
    message,
    readsMs,
    writesMs,
    switches: switchesOf(entries),
    drills: drillsOf(entries),
    rollbacks: stepsOf(entries).filter(({ action }) => /rollback|rescue/.test(action)),
  };
}

function intrudersOf({ rogues }: Status, entries: readonly AuditEntry[]): IntruderFacts {
  return {
    watched: rogues && { side: rogues.side, total: rogues.total, blind: rogues.blind },
    notes: notesOf(entries, new Set([rogueWriteNote, rogueAcknowledged]), false),
  };
}

function fleetOf({ fleet }: Status): ReportData['fleet'] {
  return fleet.flatMap(({ instances }) =>
    instances.map(({ id, label, kind, acknowledgedVersion, alive, lastSeenMs }) => ({
      id,
      label,
      kind,
      acknowledgedVersion,
      alive,
      lastSeenMs,
    })),
  );
}

function gatesNow({ next }: Status): ReportData['gates'] {
  if (next === null) return null;
  const { to, verdict, profile, gates } = next;
  return {
    to,
    verdict,
    profile,
    gates: gates.map(({ gate, verdict: answer, message, overridable }) => ({
      gate,
      verdict: answer,
      message,
      overridable,
    })),
  };
}
