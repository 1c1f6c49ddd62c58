import { amount, type Block, cell, type Section, toneOfVerdict } from './blocks.ts';
import { dayCount } from './programme.ts';
import {
  mismatchSection,
  paritySection,
  proofSection,
  section,
  text,
  uncheckedSection,
} from './proof-sections.ts';
import type { PhaseStep, ReportData } from './report-data.ts';
import { grouped, moment, span } from './report-words.ts';
import {
  fleetSection,
  intruderSection,
  pipelineSection,
  wayBackSection,
} from './running-sections.ts';

/** The document: what every format shows, in this order. */
export function sectionsOf(data: ReportData): readonly Section[] {
  return [
    subjectSection(data),
    uncheckedSection(data),
    historySection(data),
    decisionSection(data),
    gateSection(data),
    proofSection(data),
    paritySection(data),
    mismatchSection(data),
    pipelineSection(data),
    wayBackSection(data),
    intruderSection(data),
    fleetSection(data),
    programmeSection(data),
  ];
}

function subjectSection({ subject, collections }: ReportData): Section {
  return section('subject', 'What this is about', [
    {
      kind: 'facts',
      facts: [
        ['Source', subject.source],
        ['Target', subject.target],
        ['Control store', subject.control],
        ['Phase', `${subject.phase}, the ${subject.authority} is the authority`],
        [
          'State',
          `generation ${subject.generation}, state version ${subject.stateVersion}, epoch ${subject.epoch}, dial ${subject.dialBasisPoints / 100} %`,
        ],
        ['Seen', `${moment(subject.observedAtMs)}, asked for by ${subject.by}`],
        ...(subject.sinceMs === null
          ? []
          : [['Since', moment(subject.sinceMs)] as readonly [string, string]]),
      ],
    },
    {
      kind: 'table',
      caption: 'Collections and their backfill',
      head: [
        'collection',
        'source table',
        'target table',
        'capture',
        'transform',
        'rows read',
        'rows inserted',
        'rows dead',
        'backfill',
      ],
      rows: collections.map(({ backfill, ...one }) => [
        cell(one.collection),
        cell(one.sourceTable),
        cell(one.targetTable),
        cell(one.capture),
        cell(one.transformed ? `version ${one.transformVersion}` : 'none'),
        amount(backfill && grouped(backfill.rowsRead)),
        amount(backfill && grouped(backfill.rowsInserted)),
        amount(backfill && grouped(backfill.rowsDead), backfill?.rowsDead ? 'bad' : 'plain'),
        backfillCell(backfill),
      ]),
    },
  ]);
}

function backfillCell(backfill: ReportData['collections'][number]['backfill']) {
  if (backfill === null) return cell('not begun', 'doubt');
  const { startedAtMs, finishedAtMs } = backfill;
  if (finishedAtMs === null) return cell(`since ${moment(startedAtMs)}`, 'doubt');
  return cell(`finished in ${span(Math.max(0, finishedAtMs - startedAtMs))}`, 'good');
}

function historySection({ history }: ReportData): Section {
  if (history.length === 0) return section('history', 'Phases', [text('It has not been started.')]);
  const gated = history.filter(({ gates }) => gates.length > 0);
  return section('history', 'Phases', [
    {
      kind: 'table',
      caption: 'Every step, oldest first',
      head: ['when', 'step', 'by', 'why', 'gates'],
      rows: history.map((step) => [
        cell(moment(step.atMs)),
        cell(`${step.from} → ${step.to}`),
        cell(step.actor),
        cell(step.reason || '–'),
        cell(gateCount(step)),
      ]),
    },
    ...gated.map(stepTable),
  ]);
}

function gateCount({ gates, action, profile }: PhaseStep): string {
  if (gates.length === 0) return action === 'start' ? 'none before this step' : action;
  const passed = gates.filter(({ verdict }) => verdict === 'pass').length;
  return `${passed} of ${gates.length} passed${profile ? ` (${profile})` : ''}`;
}

function stepTable({ atMs, from, to, gates }: PhaseStep): Block {
  return {
    kind: 'table',
    caption: `Evidence for ${from} → ${to}, ${moment(atMs)}`,
    head: ['answer', 'gate', 'what was seen'],
    rows: gates.map(({ gate, verdict, message, override }) => [
      cell(verdict, toneOfVerdict(verdict)),
      cell(gate),
      cell(override === null ? message : `${message} Overridden: ${override}`),
    ]),
  };
}

function decisionSection({ decisions }: ReportData): Section {
  return section('decisions', 'Overrides and approvals', [
    decisions.length === 0
      ? text('Nobody overrode a gate, approved or attested anything.')
      : {
          kind: 'table',
          caption: 'What people answer for, oldest first',
          head: ['when', 'kind', 'what', 'by', 'why'],
          rows: decisions.map(({ atMs, kind, what, actor, reason }) => [
            cell(moment(atMs)),
            cell(kind, kind === 'override' ? 'doubt' : 'plain'),
            cell(what),
            cell(actor),
            cell(reason || '–'),
          ]),
        },
  ]);
}

function gateSection({ gates }: ReportData): Section {
  if (gates === null)
    return section('gates', 'Gates now', [text('There is no next phase to ask for.')]);
  return section('gates', 'Gates now', [
    text(`May it go to ${gates.to}? ${gates.verdict} (thresholds: ${gates.profile}).`),
    {
      kind: 'table',
      caption: `Gates before ${gates.to}`,
      head: ['answer', 'gate', 'what was seen'],
      rows: gates.gates.map(({ gate, verdict, message, overridable }) => [
        cell(verdict, toneOfVerdict(verdict)),
        cell(overridable ? gate : `${gate} (cannot be overridden)`),
        cell(message),
      ]),
    },
  ]);
}

function programmeSection({ programme }: ReportData): Section {
  const { verdict, reasons, phaseSinceMs, lastProgress, killDate, pointOfNoReturn, cost } =
    programme;
  const passed = { true: ' (passed)', false: ' (not passed)', null: '' } as const;
  return section('programme', 'Time and money', [
    text(reasons.length === 0 ? `It goes as planned: ${verdict}.` : reasons.join(' ')),
    {
      kind: 'facts',
      facts: [
        ['In this phase since', phaseSinceMs === null ? 'not known' : moment(phaseSinceMs)],
        [
          'Last progress',
          lastProgress === null
            ? 'not known'
            : `${lastProgress.what}, ${moment(lastProgress.atMs)}`,
        ],
        [
          'Kill date',
          killDate === null
            ? 'none was set'
            : `${killDate.date} (${killDate.daysLeft < 0 ? `${dayCount(-killDate.daysLeft)} ago` : `in ${dayCount(killDate.daysLeft)}`})`,
        ],
        [
          'Point of no return',
          pointOfNoReturn === null
            ? 'none was declared'
            : `${pointOfNoReturn.text}${passed[`${pointOfNoReturn.passed}`]}`,
        ],
        [
          'Cost so far',
          cost === null
            ? 'not told'
            : `${grouped(cost.amount)} ${cost.currency} (${cost.days} days at ${grouped(cost.perDay)} ${cost.currency})`,
        ],
      ],
    },
  ]);
}
