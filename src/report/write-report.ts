import { asJson, canonicalJson, type Json } from './canonical-json.ts';
import { escapeHtml } from './escape.ts';
import { htmlOf, splitHtml } from './html.ts';
import { markdownOf, splitMarkdown } from './markdown.ts';
import type { ReportData } from './report-data.ts';
import { type ReportFormat, type Seal, type SplitText, sealOf } from './seal.ts';

export const reportFormats: readonly ReportFormat[] = ['md', 'html', 'json'];

/** How a file of each format is put together: what is sealed, then the seal between these two. */
export const frames: Readonly<
  Record<
    ReportFormat,
    { readonly before: string; readonly after: string; readonly split: SplitText }
  >
> = {
  json: { before: ',"seal":', after: '}\n', split: (text) => [{ part: 'report', text }] },
  md: { before: '\n<!-- changeover-seal ', after: ' -->\n', split: splitMarkdown },
  html: {
    before: '<!-- changeover-seal ',
    after: ' -->\n</body>\n</html>\n',
    split: splitHtml,
  },
};

/** A finished file and its digests. */
export interface WrittenReport {
  readonly text: string;
  readonly seal: Seal;
}

/**
 * Renders a report in a format and seals it. The same data give the same bytes. `signingKey` null: unsigned, so that the seal shows accidents but not
 * somebody who seals anew.
 */
export function writeReport(
  gathered: ReportData,
  format: ReportFormat,
  signingKey: string | null,
): WrittenReport {
  // Through JSON once, so that what is shown is what is in the file.
  const json = asJson(gathered) as { readonly [key: string]: Json };
  const data = json as unknown as ReportData;
  const body = bodies[format](data);
  const { before, after, split } = frames[format];
  const seal = sealOf(format, json, body, split, signingKey);
  return { seal, text: `${body}${before}${sealText(seal)}${after}` };
}

const bodies: Readonly<Record<ReportFormat, (data: ReportData) => string>> = {
  json: (data) =>
    `{"kind":"changeover/report","schemaVersion":${data.subject.schemaVersion},"report":${canonicalJson(data as unknown as Json)}`,
  md: markdownOf,
  html: (data) =>
    `${htmlOf(data)}<footer>Sealed at the end of this file; <code>changeover report --check FILE</code> tells whether anything in it was altered. Data of ${escapeHtml(data.subject.migration)} as JSON stand in it, too.</footer>\n`,
};

/** A comment of HTML may not hold two hyphens; digests and names of parts never need them. */
export const sealText = (seal: Seal): string =>
  canonicalJson(seal as unknown as Json)
    .replace(/-/g, '\\u002d')
    .replace(/>/g, '\\u003e');
