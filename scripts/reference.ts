// npm run reference: writes docs/reference/*.md from the tables in the code.
// A unit test fails when the files are out of date.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { optionsReference } from '../src/config/index.ts';
import { type ErrorEntry, errorCatalogue } from '../src/errors/index.ts';
import { durationBoundsSeconds, type MetricEntry, metricTable } from '../src/telemetry/index.ts';

const cell = (text: string): string => text.replaceAll('|', '\\|');

export function errorsReference(): string {
  const rows = Object.entries<ErrorEntry>(errorCatalogue).map(
    ([code, { disposition, meaning, action }]) =>
      `| \`${code}\` | ${disposition} | ${cell(meaning)} | ${cell(action)} |`,
  );
  return `# Errors

Generated from \`src/errors/codes.ts\` by \`npm run reference\`.

Every error of the library is a \`ChangeoverError\` with a stable \`code\`, a \`disposition\` and readonly \`data\`. Decide by the disposition: *retry* may succeed later, *reject* will not succeed as it is, *halt* means stop and look. Messages hold no row values and no secrets.

| code | disposition | what happened | what to do |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}

export function metricsReference(): string {
  const rows = Object.entries<MetricEntry>(metricTable).map(
    ([name, { type, labels, help }]) =>
      `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ') || '–'} | ${cell(help)} |`,
  );
  return `# Metrics

Generated from \`src/telemetry/metric-table.ts\` by \`npm run reference\`.

\`createMetrics(context)\` counts the events of one opened migration in this process and exposes them through a prom-client registry. Every metric has the label \`migration\` as well. No label ever holds a key, a tenant or a message; the names of collections and of closures are the only ones that an application chooses. Histograms have the bounds ${durationBoundsSeconds.join(', ')} seconds.

| metric | type | labels | what it counts |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}

/** File name in docs/reference → text. */
export function references(): Readonly<Record<string, string>> {
  return {
    'errors.md': errorsReference(),
    'metrics.md': metricsReference(),
    'options.md': optionsReference(),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = new URL('../docs/reference/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(references()))
    writeFileSync(new URL(name, folder), text);
}
