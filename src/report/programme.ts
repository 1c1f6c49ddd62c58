import type { AuditEntry, BackfillCheckpoint, MigrationContext } from '../control/index.ts';
import { isPhase, type MigrationState, type Phase, phaseOrder } from '../migration/index.ts';
import { readAudit } from './audit-trail.ts';

/** What was promised to whoever pays. */
export interface Programme {
  /** By the end of this day (UTC), `YYYY-MM-DD`, the migration is to be over; null: none was set. */
  readonly killDate: string | null;
  readonly killDateNearDays: number;
  /** A phase, a date, or words; null: none was declared. */
  readonly pointOfNoReturn: string | null;
  /** Money a day; 0: not told. */
  readonly costPerDay: number;
  readonly currency: string | null;
  /** Days without progress after which a phase is stalled; 0: never. */
  readonly stalledAfterDays: Readonly<Record<Phase, number>>;
}

/** What was the last progress. */
export type Progress = 'advance' | 'backfill' | 'comparison';

/** How a migration stands against what was promised. Nothing acts on it. */
export interface ProgrammeStatus {
  /** `stalled` and `overdue` are for a person; `unknown`: the audit does not tell. */
  readonly verdict: 'fine' | 'near' | 'stalled' | 'overdue' | 'unknown';
  /** One sentence each; empty when all is fine. */
  readonly reasons: readonly string[];
  readonly phase: Phase;
  /** When its phase was entered; null: it never began, or the audit does not tell. */
  readonly phaseSinceMs: number | null;
  readonly lastProgress: { readonly what: Progress; readonly atMs: number } | null;
  readonly stalledAfterDays: number;
  readonly killDate: { readonly date: string; readonly daysLeft: number } | null;
  readonly pointOfNoReturn: { readonly text: string; readonly passed: boolean | null } | null;
  readonly cost: ProgrammeCost | null;
}

/** From the first start to now, or to `retired`. */
export interface ProgrammeCost {
  readonly beganMs: number;
  readonly days: number;
  readonly perDay: number;
  readonly amount: number;
  readonly currency: string;
}

const DAY_MS = 86_400_000;

/** Judges by the control store alone. Errors: CONTROL_UNAVAILABLE. */
export async function programmeStatus(
  context: Pick<MigrationContext, 'control' | 'migration' | 'runtime'>,
  programme: Programme,
): Promise<ProgrammeStatus> {
  const { control, migration, runtime } = context;
  const nowMs = runtime.clock.now();
  const state = await control.load(migration.name);
  const { entries } = await readAudit(context, (read) => read.some(isFirstStart));
  const stalledAfterDays = programme.stalledAfterDays[state.phase];
  const since = enteredAt(entries, state);
  const fromMinute = Math.floor((nowMs - Math.max(1, stalledAfterDays) * DAY_MS) / 60_000);
  const [evidence, checkpoints] = await Promise.all([
    control.evidence.since(migration.name, fromMinute),
    Promise.all(
      [...migration.collections.keys()].map((name) => control.checkpoint(migration.name, name)),
    ),
  ]);
  const compared = evidence.filter(({ compared }) => compared > 0).at(-1)?.minute ?? null;
  const own = checkpoints.filter((one) => one?.generation === state.generation);
  const lastProgress = newest([
    { what: 'advance', atMs: lastAdvance(entries) },
    { what: 'backfill', atMs: Math.max(...own.map(copiedAt), Number.NEGATIVE_INFINITY) },
    { what: 'comparison', atMs: compared === null ? null : compared * 60_000 },
  ]);
  const facts = {
    phase: state.phase,
    phaseSinceMs: since,
    lastProgress,
    stalledAfterDays,
    killDate: killDateOf(programme, nowMs),
    pointOfNoReturn: pointOf(programme, state, nowMs),
    cost: costOf(programme, entries, state, nowMs),
  };
  return { ...judge(facts, programme, nowMs), ...facts };
}

type Facts = Omit<ProgrammeStatus, 'verdict' | 'reasons'>;

function judge(
  { phase, phaseSinceMs, lastProgress, stalledAfterDays, killDate }: Facts,
  { killDateNearDays }: Programme,
  nowMs: number,
): Pick<ProgrammeStatus, 'verdict' | 'reasons'> {
  // Nothing is under way, or all is done: there is nothing that could be late.
  const under = phase !== 'off' && phase !== 'retired';
  if (!under) return { verdict: 'fine', reasons: [] };
  const reasons: string[] = [];
  let verdict: ProgrammeStatus['verdict'] = 'fine';
  if (killDate !== null && killDate.daysLeft <= killDateNearDays) {
    verdict = killDate.daysLeft < 0 ? 'overdue' : 'near';
    reasons.push(
      killDate.daysLeft < 0
        ? `Its kill date ${killDate.date} passed ${dayCount(-killDate.daysLeft)} ago.`
        : `Its kill date ${killDate.date} is ${killDate.daysLeft === 0 ? 'today' : `in ${dayCount(killDate.daysLeft)}`}.`,
    );
  }
  if (stalledAfterDays === 0) return { verdict, reasons };
  if (lastProgress === null || phaseSinceMs === null) {
    reasons.push('The audit does not tell when it last moved.');
    return { verdict: verdict === 'overdue' ? verdict : 'unknown', reasons };
  }
  const idleDays = (nowMs - lastProgress.atMs) / DAY_MS;
  if (idleDays < stalledAfterDays) return { verdict, reasons };
  reasons.unshift(
    `It stands in ${phase} for ${dayCount(Math.floor((nowMs - phaseSinceMs) / DAY_MS))}; nothing was advanced, copied or compared for ${dayCount(Math.floor(idleDays))} (stalled after ${dayCount(stalledAfterDays)}).`,
  );
  return { verdict: verdict === 'overdue' ? verdict : 'stalled', reasons };
}

const isFirstStart = ({ action, detail }: AuditEntry): boolean =>
  action === 'start' && detail['generation'] === 1;

/** Actions that bring a migration on; a drill, a hold or a note is none. */
const advancing: ReadonlySet<string> = new Set(['start', 'advance', 'dial', 'cutover-commit']);

function lastAdvance(entries: readonly AuditEntry[]): number | null {
  return entries.findLast(({ action }) => advancing.has(action))?.atMs ?? null;
}

function enteredAt(
  entries: readonly AuditEntry[],
  { phase }: Pick<MigrationState, 'phase'>,
): number | null {
  const entry = entries.findLast(
    ({ stateVersion, detail }) =>
      stateVersion !== null && detail['phase'] === phase && detail['from'] !== phase,
  );
  return entry?.atMs ?? null;
}

function copiedAt(checkpoint: BackfillCheckpoint | null): number {
  const { startedAtMs, finishedAtMs, growth } = checkpoint ?? {};
  return Math.max(
    startedAtMs ?? Number.NEGATIVE_INFINITY,
    finishedAtMs ?? 0,
    growth?.measuredAtMs ?? 0,
  );
}

function newest(
  times: readonly { readonly what: Progress; readonly atMs: number | null }[],
): ProgrammeStatus['lastProgress'] {
  let last: ProgrammeStatus['lastProgress'] = null;
  for (const { what, atMs } of times) {
    if (atMs !== null && Number.isFinite(atMs) && (last === null || atMs > last.atMs))
      last = { what, atMs };
  }
  return last;
}

/** Whole days until the end of that day, UTC: 0 on the day itself, below 0 after it. */
function killDateOf({ killDate }: Programme, nowMs: number): ProgrammeStatus['killDate'] {
  if (killDate === null) return null;
  const today = Math.floor(nowMs / DAY_MS);
  return { date: killDate, daysLeft: Math.floor(Date.parse(killDate) / DAY_MS) - today };
}

function pointOf(
  { pointOfNoReturn: text }: Programme,
  { phase }: MigrationState,
  nowMs: number,
): ProgrammeStatus['pointOfNoReturn'] {
  if (text === null) return null;
  if (isPhase(text)) return { text, passed: phaseOrder(phase) >= phaseOrder(text) };
  const dated = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
  return { text, passed: Number.isNaN(dated) ? null : nowMs >= dated + DAY_MS };
}

function costOf(
  { costPerDay, currency }: Programme,
  entries: readonly AuditEntry[],
  { phase }: MigrationState,
  nowMs: number,
): ProgrammeCost | null {
  const began = entries.find(({ action }) => action === 'start');
  if (costPerDay === 0 || began === undefined) return null;
  const ended = phase === 'retired' ? enteredAt(entries, { phase }) : null;
  const days = Math.max(0, (ended ?? nowMs) - began.atMs) / DAY_MS;
  return {
    beganMs: began.atMs,
    days: Math.round(days * 100) / 100,
    perDay: costPerDay,
    amount: Math.round(days * costPerDay * 100) / 100,
    currency: currency ?? '',
  };
}

/** `1 day`, `12 days`. */
export const dayCount = (days: number): string => `${days} ${days === 1 ? 'day' : 'days'}`;
