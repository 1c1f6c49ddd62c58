import { endStreams } from '../capture/index.ts';
import { applyEvent, type MigrationContext } from '../control/index.ts';
import { switchAuthority } from '../cutover/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import {
  earliestOf,
  evaluateGates,
  type Gate,
  type GateProfile,
  type GateResult,
  gatesBefore,
  planHash,
  worstVerdict,
} from '../gates/index.ts';
import {
  isRefusal,
  type MigrationState,
  nextPhase,
  type Phase,
  routingTable,
  transition,
} from '../migration/index.ts';
import type { AdvanceOptions, AdvanceResult, ControllerOptions, Plan } from './controller-types.ts';
import { changeRole } from './guard-role.ts';
import { lastDrill } from './last-drill.ts';
import { journalledFrom } from './start-migration.ts';

/** The override by which a switch begins although its pause is predicted to be too long. */
const predictedPause = 'predicted-pause';
const RETIRE_GUARD_MS = 5_000;

/** The phase that `advance` enters from here by itself; null when there is none. */
export function phaseAhead(phase: Phase): Phase | null {
  return phase === 'read-switch' ? 'write-switch' : nextPhase[phase];
}

/** Evaluates the gates before `to` on the given state. `requester`: who wants to advance; null: somebody looks. */
export async function planFor(
  context: MigrationContext,
  state: MigrationState,
  to: Phase,
  profile: GateProfile,
  further: readonly Gate[],
  requester: string | null,
): Promise<Plan> {
  refuseUnlessPossible(context, state, to);
  const asked = [...gatesBefore(to, profile), ...further];
  const hash = planHash(context, state, to, profile, asked);
  const gates = await evaluateGates(asked, {
    context,
    state,
    to,
    profile,
    requester,
    plan: hash,
    lastDrill: () => lastDrill(context, state),
  });
  return {
    stateVersion: state.version,
    from: state.phase,
    to,
    verdict: worstVerdict(gates),
    gates,
    profile: profile.name,
    hash,
    earliest: earliestOf(gates),
  };
}

/** For `off`, which is left by `start`, and for the last phase. */
export function noAdvance(phase: Phase): ChangeoverError {
  const hint = phase === 'off' ? 'start it' : 'it is the last phase';
  return new ChangeoverError('TRANSITION_REFUSED', `There is no advance from ${phase}: ${hint}.`);
}

function refuseUnlessPossible(context: MigrationContext, state: MigrationState, to: Phase): void {
  const event =
    to === 'write-switch'
      ? ({
          type: 'cutover-begin',
          attempt: '-',
          owner: context.instance,
          to: 'target',
          phaseAfter: to,
        } as const)
      : ({ type: 'advance', to } as const);
  const probe = transition(state, event);
  if (isRefusal(probe))
    throw new ChangeoverError(
      'TRANSITION_REFUSED',
      `advance to ${to} is refused: ${probe.refused}.`,
      {
        data: { phase: state.phase, to },
      },
    );
}

/** One phase forward, see `Controller.advance`. */
export async function advanceMigration(
  context: MigrationContext,
  controller: ControllerOptions,
  profile: GateProfile,
  options: AdvanceOptions,
): Promise<AdvanceResult> {
  const state = await context.control.load(context.migration.name);
  if (options.expectedVersion !== undefined && options.expectedVersion !== state.version) {
    throw new ChangeoverError(
      'STATE_CHANGED',
      `The plan was made for state version ${options.expectedVersion}, the state is at ${state.version}.`,
    );
  }
  const to = options.to ?? phaseAhead(state.phase);
  if (to === null) throw noAdvance(state.phase);
  const plan = await planFor(
    context,
    state,
    to,
    profile,
    controller.gates?.[to] ?? [],
    options.actor,
  );
  checkOverrides(plan, options.overrides ?? {});
  refuseUnlessOpen(plan, options.overrides ?? {});
  const evidence = auditEvidence(plan, options.overrides ?? {});
  const { actor, reason } = options;
  if (to === 'write-switch') {
    const cutover = await switchAuthority(context, {
      ...controller.cutover,
      ...(controller.drain ? { drain: controller.drain } : {}),
      ...(controller.recheck ? { recheck: controller.recheck } : {}),
      ...(controller.onStep ? { onStep: controller.onStep } : {}),
      ...(options.overrides?.['unexplained-mismatches'] ? { inDoubt: 'ignore' } : {}),
      ...(options.overrides?.[predictedPause] ? { prediction: 'note' } : {}),
      to: 'target',
      phaseAfter: to,
      actor,
      reason,
      evidence,
      expectedVersion: state.version,
    });
    return { state: cutover.state, gates: plan.gates, cutover };
  }
  const publish = (): Promise<MigrationState> =>
    applyEvent(
      context,
      { type: 'advance', to },
      { actor, reason, detail: evidence },
      state.version,
    );
  const begins = !follows(state.phase) && follows(to);
  const next = await (begins ? journalledFrom(context, state, publish) : publish());
  // After the state, so that nobody can skip the journal while the reverse direction still needs it. `resumeCutover` repeats it.
  if (to === 'retired') {
    await changeRole(context, 'target', 'authority', 'idle', next.epoch, RETIRE_GUARD_MS).catch(
      () => {},
    );
    // A worker repeats this one too.
    await endStreams(context, 'target').catch(() => {});
  }
  return { state: next, gates: plan.gates };
}

const follows = (phase: Phase): boolean => routingTable[phase].follow === 'apply';

function checkOverrides(plan: Plan, overrides: Readonly<Record<string, string>>): void {
  for (const [name, reason] of Object.entries(overrides)) {
    // No gate: it is decided last of all, in the preflight of the switch.
    if (name === predictedPause && plan.to === 'write-switch' && reason.trim() !== '') continue;
    const gate = plan.gates.find((result) => result.gate === name);
    if (gate === undefined) {
      const known = plan.gates.map((result) => result.gate).join(', ');
      throw new ChangeoverError(
        'CONFIG_INVALID',
        `There is no gate "${name}" before ${plan.to} (there are: ${known}).`,
      );
    }
    if (!gate.overridable)
      throw new ChangeoverError(
        'CONFIG_INVALID',
        `Gate "${name}" cannot be overridden: ${gate.message}`,
      );
    if (reason.trim() === '')
      throw new ChangeoverError('CONFIG_INVALID', `The override of gate "${name}" needs a reason.`);
  }
}

function refuseUnlessOpen(plan: Plan, overrides: Readonly<Record<string, string>>): void {
  const closed = plan.gates.filter(
    ({ gate, verdict }) => verdict !== 'pass' && overrides[gate] === undefined,
  );
  if (closed.length === 0) return;
  throw new ChangeoverError(
    'GATE_FAILED',
    `${closed.length} of ${plan.gates.length} gates before ${plan.to} ${closed.length === 1 ? 'is' : 'are'} not passed: ${closed
      .map(({ gate, verdict, message }) => `${gate} ${verdict} (${message})`)
      .join('; ')}.`,
    { data: { to: plan.to, gates: closed.map(({ gate }) => gate) } },
  );
}

function auditEvidence(
  plan: Plan,
  overrides: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  const gates = plan.gates.map(({ gate, verdict, message, evidence }: GateResult) => ({
    gate,
    verdict,
    message,
    evidence,
  }));
  return { gates, overrides, profile: plan.profile, plan: plan.hash };
}
