import { type AuditEntry, approvalAction, rogueAcknowledged } from '../control/index.ts';
import { textOf } from './detail-text.ts';
import type { Decision, PhaseStep, StepGate, WayBackFacts } from './report-data.ts';

type Detail = AuditEntry['detail'];

/** Every step from phase to phase, oldest first, with the answers of the gates at that moment. */
export function stepsOf(entries: readonly AuditEntry[]): readonly PhaseStep[] {
  const steps: PhaseStep[] = [];
  /** The gates of a write switch stand with its beginning, the phase changes with its commit. */
  let begun: Detail | null = null;
  for (const { stateVersion, atMs, actor, action, reason, detail } of entries) {
    if (action === 'cutover-begin') begun = evidenceIn(detail);
    const { from, phase } = detail;
    if (stateVersion === null || typeof from !== 'string' || typeof phase !== 'string') continue;
    if (from === phase) continue;
    const evidence = action === 'cutover-commit' && begun !== null ? begun : detail;
    steps.push({
      atMs,
      stateVersion,
      action,
      from,
      to: phase,
      actor,
      reason,
      profile: textOf(evidence['profile']),
      gates: gatesOf(evidence),
    });
    if (action === 'cutover-commit') begun = null;
  }
  return steps;
}

/** What an advance leaves in the audit of its gates; a change of authority has it one level down. */
function evidenceIn(detail: Detail): Detail {
  const { evidence } = detail;
  return evidence !== null && typeof evidence === 'object' && !Array.isArray(evidence)
    ? (evidence as Detail)
    : detail;
}

/** Gates as an advance leaves them in the audit. */
function gatesOf({ gates, overrides }: Detail): readonly StepGate[] {
  if (!Array.isArray(gates)) return [];
  const reasons = (overrides ?? {}) as Readonly<Record<string, unknown>>;
  return (gates as readonly Readonly<Record<string, unknown>>[]).map((gate) => {
    const name = textOf(gate['gate']) ?? '?';
    return {
      gate: name,
      verdict: textOf(gate['verdict']) ?? 'unknown',
      message: textOf(gate['message']) ?? '',
      override: textOf(reasons[name]),
    };
  });
}

/** Notes in which somebody answers for something. */
const words: Readonly<Record<string, string>> = {
  [approvalAction]: 'approval',
  'attest-gone': 'instance attested gone',
  [rogueAcknowledged]: 'foreign writes acknowledged',
  'hold-work': 'background work held',
  'resume-work': 'background work resumed',
};

/** What people said of mismatches: `mismatch-explained`, …; that one came back is nobody's word. */
const ofMismatches = /^mismatch-(?!recurring$)/;

/** Overrides, approvals and what else a person gave a word for, oldest first. */
export function decisionsOf(entries: readonly AuditEntry[]): readonly Decision[] {
  const found: Decision[] = [];
  for (const { atMs, actor, action, reason, detail } of entries) {
    const { overrides } = evidenceIn(detail);
    if (overrides !== null && typeof overrides === 'object')
      for (const [gate, why] of Object.entries(overrides))
        found.push({ atMs, kind: 'override', what: gate, actor, reason: String(why) });
    const kind = words[action] ?? (ofMismatches.test(action) ? action.replace('-', ' ') : null);
    if (kind !== null) found.push({ atMs, kind, what: subjectOf(detail), actor, reason });
  }
  return found;
}

function subjectOf(detail: Detail): string {
  const named = ['to', 'gate', 'label', 'collection', 'mismatches', 'ticket', 'owner', 'side'];
  const found = named.flatMap((name) => {
    const value = detail[name];
    return typeof value === 'string' || typeof value === 'number' ? [`${name} ${value}`] : [];
  });
  return found.join(', ');
}

const number = (value: unknown): number | null => (typeof value === 'number' ? value : null);

/** Changes of authority: what was predicted and what it was. */
export function switchesOf(entries: readonly AuditEntry[]): WayBackFacts['switches'] {
  return entries
    .filter(({ action }) => action === 'cutover-prediction')
    .map(({ atMs, detail }) => ({
      atMs,
      attempt: textOf(detail['attempt']) ?? '',
      outcome: textOf(detail['outcome']) ?? '',
      predictedMs: number(detail['predictedMs']),
      actualMs: number(detail['actualMs']),
      budgetMs: number(detail['budgetMs']),
    }));
}

export function drillsOf(entries: readonly AuditEntry[]): WayBackFacts['drills'] {
  return entries
    .filter(({ action }) => action === 'rollback-drill')
    .map(({ atMs, actor, detail }) => ({
      atMs,
      actor,
      ok: detail['ok'] === true,
      phase: textOf(detail['phase']) ?? '',
      spreadMs: number(detail['spreadMs']),
      arrivalMs: number(detail['arrivalMs']),
      estimateMs: number(detail['estimateMs']),
      failed: (Array.isArray(detail['checks']) ? detail['checks'] : [])
        .filter((check: Detail) => check['verdict'] === 'fail')
        .map((check: Detail) => textOf(check['check']) ?? '?'),
    }));
}
