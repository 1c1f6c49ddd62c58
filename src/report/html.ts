import type { Block, Cell, Section } from './blocks.ts';
import { canonicalJson, type Json } from './canonical-json.ts';
import { escapeHtml, escapeJsonInHtml } from './escape.ts';
import { plotHtml } from './plot-svg.ts';
import type { ReportData } from './report-data.ts';
import { moment } from './report-words.ts';
import { sectionsOf } from './sections.ts';
import { styleSheet } from './style-sheet.ts';

/** The report as one HTML file without its end: no script, nothing from elsewhere. The data stand in it as JSON, which no browser runs. */
export function htmlOf(data: ReportData): string {
  const { subject, verdict } = data;
  const name = escapeHtml(subject.migration);
  let blocks = 0;
  const number = (): number => blocks++;
  const sections = sectionsOf(data);
  const links = sections.map(
    ({ id, title }) => `<li><a href="#${id}">${escapeHtml(title)}</a></li>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Migration report: ${name}</title>
<style>${styleSheet}</style>
</head>
<body>
<header>
<p class="kind">Migration report</p>
<h1>${name}</h1>
<p class="when">${escapeHtml(moment(subject.observedAtMs))} · ${escapeHtml(subject.phase)} · generation ${subject.generation}, state version ${subject.stateVersion}</p>
<div class="banner ${verdict.level}" role="status"><p class="title"><span aria-hidden="true">${marks[verdict.level]}</span> ${escapeHtml(verdict.title)}</p><ul>${verdict.statements.map((line) => `<li>${escapeHtml(line)}</li>`).join('')}</ul></div>
<nav aria-label="Sections"><ul>${links.join('')}</ul></nav>
</header>
<main>
${sections.map((section) => sectionHtml(section, number)).join('')}</main>
<script type="application/json" id="report-data">${escapeJsonInHtml(canonicalJson(data as unknown as Json))}</script>
`;
}

const marks: Readonly<Record<ReportData['verdict']['level'], string>> = {
  proven: '✔',
  open: '?',
  differs: '✘',
};

const sectionHtml = ({ id, title, blocks }: Section, number: () => number): string =>
  `<section id="${id}">\n<h2>${escapeHtml(title)}</h2>\n${blocks.map((block) => blockHtml(block, number)).join('')}</section>\n`;

function blockHtml(block: Block, number: () => number): string {
  switch (block.kind) {
    case 'text':
      return `<p>${escapeHtml(block.text)}</p>\n`;
    case 'list':
      return `<ul>${block.items.map((item) => `<li>${escapeHtml(item)}</li>`).join('')}</ul>\n`;
    case 'facts':
      return `<dl>${block.facts.map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`).join('')}</dl>\n`;
    case 'table':
      return tableHtml(block, number());
    case 'plot':
      return plotHtml(block, number());
  }
}

function tableHtml(
  { caption, head, rows }: Extract<Block, { readonly kind: 'table' }>,
  index: number,
): string {
  const numeric = head.map((_, index) => rows.some((row) => row[index]?.numeric === true));
  const heads = head.map(
    (name, index) =>
      `<th scope="col"${numeric[index] ? ' class="n"' : ''}>${escapeHtml(name)}</th>`,
  );
  const body = rows.map((row) => `<tr>${row.map(cellHtml).join('')}</tr>\n`);
  const name = `table-${index}`;
  // It scrolls by itself on a narrow screen, and with the keyboard; what it is about stays where it is.
  return `<p class="caption" id="${name}">${escapeHtml(caption)}</p>\n<div class="table" role="region" tabindex="0" aria-labelledby="${name}"><table aria-labelledby="${name}"><thead><tr>${heads.join('')}</tr></thead>\n<tbody>${body.join('')}</tbody></table></div>\n`;
}

function cellHtml({ text, tone = 'plain', numeric = false }: Cell): string {
  const classes = [tone === 'plain' ? '' : tone, numeric ? 'n' : ''].filter((one) => one !== '');
  const style = classes.length > 0 ? ` class="${classes.join(' ')}"` : '';
  return `<td${style}>${escapeHtml(text) || '–'}</td>`;
}

/** Its sections by their ids; the head before them, and the data behind them. */
export function splitHtml(
  text: string,
): readonly { readonly part: string; readonly text: string }[] {
  return text.split(/(?=^<section id=")|(?=^<script type="application\/json")/m).map((part) => {
    const id = /^<section id="([a-z-]+)"/.exec(part)?.[1];
    return { part: id ?? (part.startsWith('<script') ? 'report-data' : 'head'), text: part };
  });
}
