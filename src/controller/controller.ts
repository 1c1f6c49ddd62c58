import {
  applyEvent,
  type MigrationContext,
  refuseForeignGuard,
  waitForAcknowledgements,
} from '../control/index.ts';
import { defaultCutoverLimits, rehearseSwitch, resumeCutover } from '../cutover/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import { defaultProfile, type Gate } from '../gates/index.ts';
import { authorityOf, type MigrationState, otherSide, type Phase } from '../migration/index.ts';
import { advanceMigration, noAdvance, phaseAhead, planFor } from './advance-migration.ts';
import { approveStep } from './approve-step.ts';
import type { Act, Controller, ControllerOptions, Plan } from './controller-types.ts';
import { drillRollback } from './drill-rollback.ts';
import { createGapDesk } from './gap-desk.ts';
import { migrationStatus } from './migration-status.ts';
import { rescueMigration, surveyRescue } from './rescue-migration.ts';
import { acknowledgeRogueWrites, rogueWrites } from './rogue-writes.ts';
import { abortMigration, decommissionMigration, rollbackMigration } from './rollback-migration.ts';
import { startMigration } from './start-migration.ts';

const HISTORY_LINES = 100;
const GUARD_MS = 2_000;
/** Between two looks at a queue that may grow. */
const GROWTH_MS = 500;

/** The controller of an opened migration. Owns nothing, so there is nothing to close. */
export function createController(
  context: MigrationContext,
  options: ControllerOptions = {},
): Controller {
  const { control, migration } = context;
  const profile = options.profile ?? defaultProfile;
  const limits = { ...defaultCutoverLimits, ...options.cutover };
  const further = (to: Phase): readonly Gate[] => options.gates?.[to] ?? [];
  const planNow = async (to: Phase | undefined, requester: string | null): Promise<Plan> => {
    await refuseForeignGuard(context, { deadlineMs: GUARD_MS });
    const state = await control.load(migration.name);
    const ahead = to ?? phaseAhead(state.phase);
    if (ahead === null) throw noAdvance(state.phase);
    return planFor(context, state, ahead, profile, further(ahead), requester);
  };
  return {
    status: () => migrationStatus(context, profile, further, limits),
    plan: (to, requester) => planNow(to, requester ?? null),
    approve: (approval) => approveStep(context, approval, planNow),
    start: (start) => startMigration(context, start),
    advance: (advance) => advanceMigration(context, options, profile, advance),
    dial: (percent, segments, act) => setDial(context, percent, segments, act),
    hold: (act) => applyEvent(context, { type: 'hold-work' }, act),
    resume: (act) => applyEvent(context, { type: 'resume-work' }, act),
    rollback: (rollback) => rollbackMigration(context, options, rollback),
    surveyRescue: (to) => surveyRescue(context, to),
    rescue: (rescue) => rescueMigration(context, options, rescue),
    gap: createGapDesk(context),
    abort: (act) => abortMigration(context, options, act),
    decommission: (act) => decommissionMigration(context, act),
    async rehearse(wanted) {
      const state = await control.load(migration.name);
      const to = wanted ?? otherSide[authorityOf(state.phase)];
      const phaseAfter: Phase = to === 'target' ? 'write-switch' : 'read-switch';
      const needsWorker = to === 'source';
      const options = { ...limits, to, phaseAfter, growthMs: GROWTH_MS, needsWorker };
      return rehearseSwitch(context, state, options);
    },
    drill: (act) => drillRollback(context, limits, act),
    rogueWrites: async (limit = HISTORY_LINES) =>
      rogueWrites(context, await control.load(migration.name), limit),
    acknowledgeRogueWrites: (act) => acknowledgeRogueWrites(context, act),
    attestGone: (instance, act) => attestGone(context, instance, act),
    waitForAcknowledgements: (version, wait) =>
      waitForAcknowledgements(context, version, { ...wait, expired: wait.expired ?? 'wait' }),
    resumeCutover: (resume = {}) =>
      resumeCutover(context, { ...options.cutover, release: true, ...resume }),
    history: (limit = HISTORY_LINES) => control.history(migration.name, limit),
  };
}

async function setDial(
  context: MigrationContext,
  percent: number,
  segments: readonly string[] | undefined,
  act: Act,
): Promise<MigrationState> {
  const basisPoints = Math.round(percent * 100);
  const exact = Number.isFinite(percent) && Math.abs(basisPoints - percent * 100) < 1e-6;
  if (!exact || basisPoints < 0 || basisPoints > 10_000) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `A dial of ${percent} % is not between 0 and 100 in steps of 0.01.`,
    );
  }
  const event = { type: 'dial', basisPoints, ...(segments ? { segments } : {}) } as const;
  return applyEvent(context, event, act);
}

async function attestGone(context: MigrationContext, instance: string, act: Act): Promise<void> {
  const { control, migration } = context;
  const { instances } = await control.fleet.list(migration.name);
  const known = instances.find(({ id }) => id === instance);
  if (known === undefined) {
    const ids = instances.map(({ id, label }) => (label ? `${id} (${label})` : id)).join(', ');
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `No instance "${instance}" is registered (there are: ${ids || 'none'}).`,
    );
  }
  // The word first, then the deed: an instance must never vanish without somebody answering for it.
  await control.note(migration.name, {
    ...act,
    action: 'attest-gone',
    detail: { instance, label: known.label, acknowledgedVersion: known.acknowledgedVersion },
  });
  await control.fleet.remove(migration.name, instance);
}
