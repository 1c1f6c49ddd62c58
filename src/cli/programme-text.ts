import { dayCount, type ProgrammeStatus } from '../report/index.ts';
import type { Paint, Tone } from './terminal-io.ts';
import { grouped } from './words.ts';

const tones: Readonly<Record<ProgrammeStatus['verdict'], Tone>> = {
  fine: 'faint',
  near: 'doubt',
  unknown: 'doubt',
  stalled: 'bad',
  overdue: 'bad',
};

/** What was promised and how it stands, for `status` and `zombie`; nothing where nothing was declared and nothing is wrong. */
export function programmeLines(standing: ProgrammeStatus, paint: Paint): readonly string[] {
  const { verdict, reasons, killDate, pointOfNoReturn, cost } = standing;
  const lines = reasons.map(
    (reason) => `${paint(tones[verdict], verdict.toUpperCase())} ${reason}`,
  );
  if (cost !== null)
    lines.push(
      `cost so far: ${grouped(cost.amount)} ${cost.currency} (${dayCount(cost.days)} at ${grouped(cost.perDay)})`,
    );
  if (killDate !== null && verdict !== 'near' && verdict !== 'overdue')
    lines.push(`kill date: ${killDate.date}, in ${dayCount(killDate.daysLeft)}`);
  if (pointOfNoReturn !== null) {
    const { text, passed } = pointOfNoReturn;
    const word = passed === null ? '' : passed ? ' (passed)' : ' (not passed)';
    lines.push(`point of no return, as declared: ${text}${word}`);
  }
  return lines;
}
