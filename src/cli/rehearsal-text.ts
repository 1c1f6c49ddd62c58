import type { DrillResult, Plan } from '../controller/index.ts';
import type { SwitchRehearsal } from '../cutover/index.ts';
import type { CommandResult } from './result.ts';
import { painter, type TerminalIo, type Tone } from './terminal-io.ts';
import { columns, duration } from './words.ts';

const tones: Readonly<Record<string, Tone>> = {
  pass: 'good',
  warn: 'doubt',
  fail: 'bad',
  unknown: 'doubt',
};

/** What `--override predicted-pause` is about. */
const pauseChecks: ReadonlySet<string> = new Set(['pause', 'obstacle', 'transactions']);

/** `--dry-run` of a change of authority: the steps, what was checked, the pause, and whether it would be begun. */
export function rehearsalResult(
  io: TerminalIo,
  rehearsal: SwitchRehearsal,
  plan: Plan | null,
  command: string,
  overrides: ReadonlySet<string> = new Set(),
): CommandResult {
  const { stateVersion, to, steps, checks, prediction } = rehearsal;
  const paint = painter(io);
  const gates = plan?.gates ?? [];
  const ofPause = overrides.has('predicted-pause');
  const rows = [
    ...gates.map(({ gate, verdict, message }) => ({ name: gate, verdict, message, fix: '' })),
    ...checks.map(({ check, verdict, message, fix }) => ({ name: check, verdict, message, fix })),
  ].map((row) => {
    const overridden = overrides.has(row.name) || (ofPause && pauseChecks.has(row.name));
    return overridden && row.verdict !== 'pass' ? { ...row, verdict: 'warn' } : row;
  });
  const bad = rows.some(({ verdict }) => verdict === 'fail');
  const open = rows.some(({ verdict }) => verdict === 'unknown');
  const verdict = bad ? 'no' : open ? 'unknown' : 'yes';
  const answer = {
    yes: 'It would be begun.',
    no: 'It would not be begun, or would undo itself.',
    unknown: 'Not known: something does not answer.',
  }[verdict];
  return {
    kind: 'rehearsal',
    verdict,
    stateVersion,
    data: { ...rehearsal, gates, plan },
    next: verdict === 'yes' ? [`${command}${plan ? ` --expect ${stateVersion}` : ''}`] : [],
    text: [
      paint('strong', `Writes to the ${to}: a rehearsal; nothing was changed.`),
      '',
      'What it would do:',
      ...columns(steps.map(({ step, does }, at) => [`  ${at + 1}`, step, does])),
      '',
      'What it needs:',
      ...checkLines(rows, paint),
      ...(prediction === null
        ? []
        : [
            '',
            `How long writes would be held: about ${prediction.ms} ms, of ${prediction.budgetMs} ms allowed (switch.holdMs).`,
            ...columns(prediction.parts.map(({ part, ms, why }) => [`  ${part}`, `${ms} ms`, why])),
          ]),
      '',
      `${paint(verdict === 'yes' ? 'good' : verdict === 'no' ? 'bad' : 'doubt', verdict)}: ${answer}`,
    ],
  };
}

interface CheckRow {
  readonly name: string;
  readonly verdict: string;
  readonly message: string;
  readonly fix: string;
}

function checkLines(
  rows: readonly CheckRow[],
  paint: ReturnType<typeof painter>,
): readonly string[] {
  return columns(
    rows.map(({ name, verdict, message, fix }) => [
      `  ${verdict}`,
      name,
      fix === '' || fix === 'As it says.' ? message : `${message} → ${fix}`,
    ]),
  ).map((line, at) => {
    const verdict = rows[at]?.verdict ?? '';
    return line.replace(verdict, paint(tones[verdict] ?? 'doubt', verdict));
  });
}

/** `rollback --drill`. */
export function drillCommandResult(io: TerminalIo, drill: DrillResult): CommandResult {
  const { ok, stateVersion, checks, touched, estimateMs, phase } = drill;
  const paint = painter(io);
  const rows = checks.map(({ check, verdict, message, fix, ms }) => ({
    name: check,
    verdict,
    message: ms === null ? message : `${message} (${duration(ms)})`,
    fix,
  }));
  const estimate =
    estimateMs === null ? '' : ` A rollback from here would take about ${duration(estimateMs)}.`;
  return {
    kind: 'drill',
    verdict: ok ? 'yes' : 'no',
    stateVersion,
    data: drill,
    next: ok ? [] : ['changeover status'],
    text: [
      paint('strong', `Drill of the way back in ${phase}; nothing was moved.`),
      ...checkLines(rows, paint),
      '',
      'What it touched:',
      ...touched.map((one) => `  ${one}`),
      '',
      ok
        ? `${paint('good', 'passed')}: the way back works.${estimate}`
        : `${paint('bad', 'failed')}: the way back would not work as it is.`,
    ],
  };
}
