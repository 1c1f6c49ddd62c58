import { amount, cell, type Section } from './blocks.ts';
import { notes, plot, section, text } from './proof-sections.ts';
import type { ReportData } from './report-data.ts';
import { grouped, moment, span } from './report-words.ts';

export function pipelineSection({ pipeline, series }: ReportData): Section {
  const { sides, deadLetters, log } = pipeline;
  return section('pipeline', 'Lag, backlog and dead letters', [
    {
      kind: 'table',
      caption: 'Queues now',
      head: ['store', 'role', 'waiting', 'oldest', 'dead letters', 'answers'],
      rows: sides.map(({ side, role, waiting, oldestMs, dead, error }) => [
        cell(side),
        cell(role),
        amount(waiting === null ? null : grouped(waiting)),
        amount(oldestMs === null ? null : span(oldestMs)),
        amount(dead === null ? null : grouped(dead), dead ? 'bad' : 'plain'),
        error === null ? cell('yes') : cell(`no: ${error}`, 'bad'),
      ]),
    },
    ...(log === null ? [] : [text(`Log of the authority: ${log}.`)]),
    ...(deadLetters.length === 0
      ? []
      : [
          {
            kind: 'table',
            caption: 'Dead letters by reason',
            head: ['store', 'collection', 'count', 'reason'],
            rows: deadLetters.map(({ side, collection, count, reason }) => [
              cell(side),
              cell(collection),
              amount(grouped(count), 'bad'),
              cell(reason),
            ]),
          } as const,
        ]),
    plot('Latency, p99 per minute', 'ms', 'from-zero', series, 'latency'),
    plot('Lag, largest of each minute', 's', 'from-zero', series, 'lag'),
    plot('Backlog, largest of each minute', 'changes', 'from-zero', series, 'backlog'),
  ]);
}

export function wayBackSection({ wayBack }: ReportData): Section {
  const { ready, message, readsMs, writesMs, switches, drills, rollbacks } = wayBack;
  const ms = (value: number | null): string | null => (value === null ? null : span(value));
  return section('way-back', 'Switch, rollback and drills', [
    {
      kind: 'facts',
      facts: [
        ['Rollback now', `${ready ? 'ready' : 'not ready'}: ${message}`],
        ['Reads back in', ms(readsMs) ?? 'not known'],
        ['Writes back in', ms(writesMs) ?? 'not known'],
      ],
    },
    switches.length === 0
      ? text('Authority was not switched.')
      : {
          kind: 'table',
          caption: 'Changes of authority: pause of writes, predicted and real',
          head: ['when', 'attempt', 'outcome', 'predicted', 'real', 'budget'],
          rows: switches.map((one) => [
            cell(moment(one.atMs)),
            cell(one.attempt),
            cell(one.outcome, one.outcome === 'committed' ? 'good' : 'doubt'),
            amount(ms(one.predictedMs)),
            amount(ms(one.actualMs)),
            amount(ms(one.budgetMs)),
          ]),
        },
    drills.length === 0
      ? text('The way back was not drilled.')
      : {
          kind: 'table',
          caption: 'Drills of the way back',
          head: [
            'when',
            'phase',
            'result',
            'fleet follows in',
            'change arrives in',
            'rollback would take',
            'by',
          ],
          rows: drills.map((one) => [
            cell(moment(one.atMs)),
            cell(one.phase),
            one.ok ? cell('passed', 'good') : cell(`failed: ${one.failed.join(', ')}`, 'bad'),
            amount(ms(one.spreadMs)),
            amount(ms(one.arrivalMs)),
            amount(ms(one.estimateMs)),
            cell(one.actor),
          ]),
        },
    ...(rollbacks.length === 0
      ? []
      : [text(`Went back ${rollbacks.length} times: see the phases above.`)]),
  ]);
}

export function intruderSection({ intruders }: ReportData): Section {
  const { watched } = intruders;
  const now =
    watched === null
      ? 'Nobody watches now.'
      : `The ${watched.side} notes ${grouped(watched.total)} foreign writes that nobody acknowledged${watched.blind === null ? '' : `; it is blind in part: ${watched.blind}`}.`;
  return section('intruders', 'Foreign writes to the follower', [
    text(now),
    notes('Notes and acknowledgements', intruders.notes),
  ]);
}

export function fleetSection({ fleet, subject }: ReportData): Section {
  if (fleet.length === 0) return section('fleet', 'Fleet', [text('No instance is registered.')]);
  return section('fleet', 'Fleet', [
    {
      kind: 'table',
      caption: 'Registered instances',
      head: ['instance', 'kind', 'acknowledges', 'last seen', 'alive'],
      rows: fleet.map((one) => [
        cell(one.label === '' ? one.id : one.label),
        cell(one.kind),
        amount(
          `version ${one.acknowledgedVersion}`,
          one.acknowledgedVersion < subject.stateVersion ? 'doubt' : 'plain',
        ),
        cell(moment(one.lastSeenMs)),
        one.alive ? cell('yes', 'good') : cell('silent', 'doubt'),
      ]),
    },
  ]);
}
