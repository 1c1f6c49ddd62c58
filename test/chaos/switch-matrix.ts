import type { CutoverStep } from '../../src/cutover/index.ts';
import type { CellResult } from './switch-cell.ts';
import type { SwitchChaosOptions, SwitchFaultName } from './switch-options.ts';

const columnsMax = 7;
const stepWidth = 13;

/** The matrix: a row for each step, a column for each fault; outcome and pause in each cell. */
export function matrixLines(
  { steps, faults }: SwitchChaosOptions,
  results: readonly CellResult[],
): readonly string[] {
  const lines: string[] = [];
  for (const to of ['target', 'source'] as const) {
    const ones = results.filter((result) => result.to === to);
    if (ones.length === 0) continue;
    for (let from = 0; from < faults.length; from += columnsMax) {
      lines.push(`  to the ${to}; pause of the application in ms`);
      lines.push(...block(steps, faults.slice(from, from + columnsMax), ones), '');
    }
  }
  const bad = results.filter(({ ok }) => !ok).length;
  lines.push(
    bad === 0
      ? `  ✓ all ${results.length} cells are good`
      : `  ✗ FAILED: ${bad} of ${results.length} cells`,
  );
  return lines;
}

function block(
  steps: readonly CutoverStep[],
  faults: readonly SwitchFaultName[],
  results: readonly CellResult[],
): readonly string[] {
  const rows = steps
    .map((step) => ({
      step,
      found: faults.map((fault) => results.find((one) => one.step === step && one.fault === fault)),
    }))
    .filter(({ found }) => found.some((one) => one !== undefined));
  const text = rows.map(({ found }) => found.map(cellText));
  const widths = faults.map((fault, column) =>
    Math.max(fault.length, ...text.map((cells) => cells[column]?.length ?? 0)),
  );
  const row = (head: string, cells: readonly string[]): string =>
    `  ${head.padEnd(stepWidth)}${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd();
  return [row('', faults), ...rows.map(({ step }, index) => row(step, text[index] ?? []))];
}

function cellText(result: CellResult | undefined): string {
  if (result === undefined) return '·';
  const mark = result.ok ? '✓' : '✗';
  const note = result.notes.length > 0 ? '*' : '';
  return `${mark} ${result.outcome ?? 'failed'}${note} ${Number.isFinite(result.pauseMs) ? Math.round(result.pauseMs) : ''}`.trimEnd();
}
