import type { Block, Cell, Section, Tone } from './blocks.ts';
import { escapeMarkdown } from './escape.ts';
import { description } from './plot-svg.ts';
import type { ReportData } from './report-data.ts';
import { sectionsOf } from './sections.ts';

const marks: Readonly<Record<ReportData['verdict']['level'], string>> = {
  proven: '✔',
  open: '?',
  differs: '✘',
};

/** The report as Markdown (CommonMark with tables), without its seal. */
export function markdownOf(data: ReportData): string {
  const { subject, verdict } = data;
  const head = [
    `# Migration report: ${escapeMarkdown(subject.migration)}`,
    `**${marks[verdict.level]} ${escapeMarkdown(verdict.title)}**`,
    verdict.statements.map((line) => `- ${escapeMarkdown(line)}`).join('\n'),
  ];
  return `${[...head, ...sectionsOf(data).map(sectionText)].join('\n\n')}\n`;
}

const sectionText = ({ title, blocks }: Section): string =>
  [`## ${escapeMarkdown(title)}`, ...blocks.map(blockText)].join('\n\n');

function blockText(block: Block): string {
  switch (block.kind) {
    case 'text':
      return escapeMarkdown(block.text);
    case 'list':
      return block.items.map((item) => `- ${escapeMarkdown(item)}`).join('\n');
    case 'facts':
      return block.facts
        .map(([name, value]) => `- **${escapeMarkdown(name)}:** ${escapeMarkdown(value)}`)
        .join('\n');
    case 'table':
      return `**${escapeMarkdown(block.caption)}**\n\n${table(block.head, block.rows)}`;
    case 'plot': {
      const drawn = block.series.filter(({ points }) => points.length > 0);
      const told = drawn.length === 0 ? 'Nothing was measured.' : description(block, drawn);
      return `**${escapeMarkdown(block.title)}:** ${escapeMarkdown(told)}`;
    }
  }
}

function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const numeric = head.map((_, index) => rows.some((row) => row[index]?.numeric === true));
  return [
    `| ${head.map(escapeMarkdown).join(' | ')} |`,
    `| ${numeric.map((right) => (right ? '---:' : '---')).join(' | ')} |`,
    ...rows.map((row) => `| ${row.map(cellText).join(' | ')} |`),
  ].join('\n');
}

const emphasis: Readonly<Record<Tone, string>> = { good: '', bad: '**', doubt: '*', plain: '' };

function cellText({ text, tone = 'plain' }: Cell): string {
  const escaped = escapeMarkdown(text).trim();
  return escaped === '' ? '–' : `${emphasis[tone]}${escaped}${emphasis[tone]}`;
}

/** Its sections, each with its heading: what stands before the first one is `head`. */
export function splitMarkdown(
  text: string,
): readonly { readonly part: string; readonly text: string }[] {
  return text.split(/^(?=## )/m).map((part, index) => {
    const title = /^## (.*)$/m.exec(part)?.[1];
    return { part: index === 0 && title === undefined ? 'head' : (title ?? 'head'), text: part };
  });
}
