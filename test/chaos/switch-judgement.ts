import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEntry } from '../../src/control/index.ts';
import type { LedgerLine } from '../../src/demo/ledger.ts';
import { takeSnapshot } from '../../src/demo/store-snapshot.ts';
import { type Examination, examine } from './examination.ts';
import { describe, guardHistory, judgeGuards, judgeVersions } from './guard-history.ts';
import { drainQueues } from './judgement.ts';
import type { LedgerWindow } from './ledger-window.ts';
import type { SwitchWorld } from './switch-world.ts';

export interface CellJudgement {
  /** An attempt was begun. */
  readonly begun: boolean;
  readonly problems: readonly string[];
  readonly notes: readonly string[];
  readonly account: readonly string[];
}

const auditLines = 300;
const shown = 8;
const againMs = 2_000;

/** When the first write that began after `since` was acknowledged (monotonic ms); infinity while none was. */
export function answersAfter(ledger: LedgerWindow, since: number): number {
  const begun = new Set<string>();
  for (const line of ledger.lines()) {
    if (line.t === 'intent' && line.at >= since) begun.add(line.op);
    if (line.t === 'ack' && begun.has(line.op)) return line.at;
  }
  return Number.POSITIVE_INFINITY;
}

/** Longest time between `from` and `to` in which none of these had a write acknowledged. */
export function longestGapMs(ledgers: readonly LedgerWindow[], from: number, to: number): number {
  const acknowledged = ledgers
    .flatMap((ledger) => ledger.lines())
    .flatMap((line) => (line.t === 'ack' && line.at >= from && line.at <= to ? [line.at] : []))
    .sort((a, b) => a - b);
  let [longest, last] = [0, from];
  for (const at of [...acknowledged, to]) {
    longest = Math.max(longest, at - last);
    last = at;
  }
  return longest;
}

/** Requests that failed after `since`: code → how many. */
export function failuresAfter(
  ledgers: readonly LedgerWindow[],
  since: number,
): Readonly<Record<string, number>> {
  const failed = (line: LedgerLine): string | null => {
    if (line.at < since) return null;
    if (line.t === 'rejected') return line.code;
    if (line.t === 'unknown') return `unknown ${line.code}`;
    return line.t === 'read-failed' ? `read ${line.code}` : null;
  };
  const counts: Record<string, number> = {};
  for (const line of ledgers.flatMap((ledger) => ledger.lines())) {
    const code = failed(line);
    if (code !== null) counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

/**
 * Judges everything since the last cell: ledgers against both stores, the stores against each other, and every moment of both guards. The
 * applications are quiet. Begins a new window of the ledgers.
 */
export async function judgeCell(world: SwitchWorld, sinceMs: number): Promise<CellJudgement> {
  const { addresses, before, ledgers, opened } = world;
  const { sourceUrl, targetUrl } = addresses;
  let drained = Number.NaN;
  let found: Examination | null = null;
  const until = performance.now() + againMs;
  // A write that its killed process has left to the server may end a moment later.
  while (found === null || (faults(found) > 0 && performance.now() < until)) {
    if (found !== null) await sleep(200);
    drained = await drainQueues(addresses);
    const [source, target] = await Promise.all([
      takeSnapshot(sourceUrl, 'source'),
      takeSnapshot(targetUrl, 'target'),
    ]);
    const lines = ledgers.map((ledger) => ledger.lines());
    found = examine(before, lines, { source, target });
    world.before = source;
  }
  const history = await opened.control.history(opened.migration.name, auditLines);
  const audit = history.filter(({ atMs }) => atMs >= sinceMs).sort((a, b) => a.atMs - b.atMs);
  const spells = [
    ...(await guardHistory(sourceUrl, 'source')),
    ...(await guardHistory(targetUrl, 'target')),
  ];
  const recent = spells.filter(({ to }) => to >= sinceMs * 1_000);
  const left = new Set(audit.flatMap((entry) => leftOpen(entry)));
  const open = judgeGuards(recent, new Set()).filter(() => left.size > 0);
  for (const ledger of ledgers) ledger.moveOn();
  return {
    begun: audit.some(({ action }) => action === 'cutover-begin'),
    problems: [
      ...problemsOf(found, drained),
      ...judgeGuards(recent, left),
      ...judgeVersions(spells, found.versioned).slice(0, shown),
    ],
    notes: open.map((text) => `${text}, as the undo has said`),
    account: [
      `${found.requests.acknowledgedWrites} acknowledged writes, ${found.versioned.length} of them with a version`,
      ...audit.map(describeEntry),
      ...recent.map(describe),
    ],
  };
}

/** Attempts whose undo could not reach the new store and opened the old one all the same. */
function leftOpen({ action, detail }: AuditEntry): readonly string[] {
  const open = action === 'cutover-undone' && detail['followerGuard'] !== undefined;
  return open ? [String(detail['attempt'])] : [];
}

const faults = ({ faults: lines, authority, reads }: Examination): number =>
  lines.length + authority.length + reads.stale + reads.wrong;

function problemsOf(found: Examination, drained: number): readonly string[] {
  const { faults: lines, authority, reads, requests } = found;
  const more = (all: readonly string[]): readonly string[] =>
    all.length > shown ? [...all.slice(0, shown), `… ${all.length} in all`] : all;
  return [
    ...more(lines),
    ...more(authority),
    ...(drained === 0 ? [] : [`${drained} changes are left in the queues`]),
    ...(reads.stale === 0 ? [] : [`${reads.stale} stale reads of ${reads.tokensChecked}`]),
    ...(reads.wrong === 0 ? [] : [`${reads.wrong} wrong reads of ${requests.reads}`]),
    ...(requests.acknowledgedWrites > 0 ? [] : ['no write was acknowledged']),
  ];
}

function describeEntry({ atMs, actor, action, reason, detail }: AuditEntry): string {
  const time = new Date(atMs).toISOString().slice(14, 23);
  const { attempt, step, outcome, ms, followerGuard } = detail;
  const parts = [String(attempt ?? '').slice(0, 6), step, outcome, ms, followerGuard, reason];
  return `${time} ${action} ${parts.filter((part) => part !== undefined && part !== '').join(' ')} (${actor})`;
}
