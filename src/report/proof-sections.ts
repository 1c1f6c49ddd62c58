import { percentText } from '../gates/index.ts';
import { amount, type Block, cell, type Section, type Tone } from './blocks.ts';
import type { MismatchFacts, ParityFacts, ProofFacts, ReportData, Series } from './report-data.ts';
import { grouped, moment } from './report-words.ts';

/** What was not looked at: next to the verdict, because it is the other half of it. */
export function uncheckedSection({ unchecked }: ReportData): Section {
  const text =
    unchecked.length === 0
      ? 'Nothing was found that was left out.'
      : 'Computed from the configuration, the audit and the evidence. What stands here is not covered by what is said elsewhere.';
  return {
    id: 'not-checked',
    title: 'What was not checked',
    blocks: [
      { kind: 'text', text },
      ...(unchecked.length === 0
        ? []
        : [
            {
              kind: 'table',
              caption: 'Not checked, or not covered by a proof',
              head: ['what', 'why'],
              rows: unchecked.map(({ what, why }) => [cell(what), cell(why)]),
            } as const,
          ]),
    ],
  };
}

export function proofSection({ proofs }: ReportData): Section {
  if (proofs.length === 0)
    return section('proofs', 'Verification proofs', [text('No collection was verified yet.')]);
  const rows = proofs.map((proof) => [
    cell(proof.collections.join(', ') || 'all'),
    cell(moment(proof.startedAtMs)),
    cell(proof.kind),
    cell(proof.finished ? proof.extent : `${proof.extent}, stopped`),
    amount(proof.compared === null ? null : grouped(proof.compared)),
    amount(grouped(proof.open), proofTone(proof)),
    cell(proof.actor),
  ]);
  const head = ['collection', 'began', 'kind', 'extent', 'compared', 'left open', 'by'];
  const detailed = proofs.filter(({ more }) => Object.keys(more).length > 0);
  return section('proofs', 'Verification proofs', [
    text(
      '“recheck”: each record was compared at a moment of its own, and what differed was read again until no change of it was under way. “aligned”: both stores were read at one position of the log.',
    ),
    { kind: 'table', caption: 'Whole and partial comparisons, oldest first', head, rows },
    ...(detailed.length === 0
      ? []
      : [
          {
            kind: 'table',
            caption: 'What the proofs rest on',
            head: ['collection', 'began', 'detail', 'value'],
            rows: detailed.flatMap((proof) =>
              Object.entries(proof.more).map(([name, value]) => [
                cell(proof.collections.join(', ') || 'all'),
                cell(moment(proof.startedAtMs)),
                cell(name),
                cell(value),
              ]),
            ),
          } as const,
        ]),
  ]);
}

const proofTone = ({ open, finished, extent }: ProofFacts): Tone =>
  open > 0 ? 'bad' : finished && extent === 'full' ? 'good' : 'doubt';

export function paritySection({ parity, series }: ReportData): Section {
  if (parity.length === 0)
    return section('parity', 'Parity and coverage', [text('Nothing was compared in this time.')]);
  const confidence = percentText(parity[0]?.confidence ?? 0);
  return section('parity', 'Parity and coverage', [
    text(
      `A lower bound, one-sided, at ${confidence} confidence (Clopper–Pearson), cut off and never rounded up. Only independent comparisons count: a record that was compared again in the same version does not. With no mismatch in n comparisons it is doubt^(1/n).`,
    ),
    {
      kind: 'table',
      caption: 'What the comparisons prove',
      head: [
        'collection',
        'detector',
        'window',
        'independent',
        'mismatches',
        'proven equal',
        'arithmetic',
      ],
      rows: parity.map((one) => [
        cell(one.collection),
        cell(one.detector),
        cell(one.window),
        amount(one.independent === null ? null : grouped(one.independent)),
        amount(grouped(one.mismatches), one.mismatches > 0 ? 'bad' : 'plain'),
        amount(
          one.bound === null ? null : percentText(one.bound),
          one.independent === 0 ? 'doubt' : 'plain',
        ),
        cell(one.arithmetic),
      ]),
    },
    coverageTable(parity),
    plot('Proven share of equal answers', 'proven', 'nines', series, 'parity'),
  ]);
}

function coverageTable(parity: readonly ParityFacts[]): Block {
  return {
    kind: 'table',
    caption: 'Coverage: what should have been compared, and was not',
    head: [
      'collection',
      'detector',
      'window',
      'compared',
      'coverage',
      'shed',
      'timed out',
      'failed',
      'undecided',
    ],
    rows: parity.map((one) => [
      cell(one.collection),
      cell(one.detector),
      cell(one.window),
      amount(grouped(one.compared)),
      amount(one.coverage === null ? null : percentText(one.coverage), coverageTone(one.coverage)),
      amount(grouped(one.shed)),
      amount(grouped(one.timedOut)),
      amount(grouped(one.failed)),
      amount(grouped(one.undecided)),
    ]),
  };
}

const coverageTone = (coverage: number | null): Tone =>
  coverage === null || coverage < 0.99 ? 'doubt' : 'plain';

export function mismatchSection({ mismatches, repairs }: ReportData): Section {
  const { rows, keys } = mismatches;
  return section('mismatches', 'Mismatches and repairs', [
    text(summary(mismatches)),
    ...(rows.length === 0
      ? []
      : [
          {
            kind: 'table',
            caption: 'Mismatches by class, field and status',
            head: ['collection', 'class', 'field', 'status', 'count'],
            rows: rows.map((row) => [
              cell(row.collection),
              cell(row.class),
              cell(row.field || 'the whole record'),
              cell(row.status, statusTones[row.status] ?? 'bad'),
              amount(grouped(row.count)),
            ]),
          } as const,
        ]),
    ...(keys.length === 0
      ? []
      : [
          {
            kind: 'table',
            caption: 'Their keys, as was asked for',
            head: ['collection', 'key', 'status'],
            rows: keys.map((one) => [cell(one.collection), cell(one.key), cell(one.status)]),
          } as const,
        ]),
    notes('Repairs and redrives', repairs),
  ]);
}

const statusTones: Readonly<Record<string, Tone>> = {
  suspect: 'doubt',
  explained: 'plain',
  repaired: 'good',
  investigating: 'bad',
  recurring: 'bad',
};

function summary({ unexplained, byStatus }: MismatchFacts): string {
  const parts = Object.entries(byStatus).map(([status, count]) => `${grouped(count)} ${status}`);
  const known = parts.length === 0 ? 'The ledger is empty' : `In the ledger: ${parts.join(', ')}`;
  return `${known}. Unexplained: ${grouped(unexplained)}.`;
}

/** Lines of the audit as a table, or a sentence. */
export function notes(caption: string, lines: ReportData['repairs']): Block {
  if (lines.length === 0) return text(`${caption}: none.`);
  return {
    kind: 'table',
    caption,
    head: ['when', 'action', 'by', 'reason', 'what'],
    rows: lines.map(({ atMs, action, actor, reason, detail }) => [
      cell(moment(atMs)),
      cell(action),
      cell(actor),
      cell(reason || '–'),
      cell(
        Object.entries(detail)
          .map(([name, value]) => `${name}: ${value}`)
          .join('; '),
      ),
    ]),
  };
}

export const text = (words: string): Block => ({ kind: 'text', text: words });

export const section = (id: string, title: string, blocks: readonly Block[]): Section => ({
  id,
  title,
  blocks,
});

/** The lines of one plot. */
export const plot = (
  title: string,
  unit: string,
  scale: 'from-zero' | 'nines',
  series: readonly Series[],
  name: Series['plot'],
): Block => ({
  kind: 'plot',
  title,
  unit,
  scale,
  series: series.filter((one) => one.plot === name),
});
