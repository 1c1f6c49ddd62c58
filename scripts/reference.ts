// npm run reference: writes docs/reference/*.md from the tables in the code.
// A unit test fails when the files are out of date.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { checkReference } from '../src/cli/finding-table.ts';
import { createProgram } from '../src/cli/program.ts';
import { exitCodeMeanings } from '../src/cli/verdict.ts';
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

/** Options as commander shows them. */
function optionRows(command: Command): readonly string[] {
  return command.options.map(
    ({ flags, description, defaultValue, argChoices }) =>
      `| \`${cell(flags)}\` | ${cell(description)}${argChoices ? ` (${argChoices.join(', ')})` : ''}${defaultValue === undefined || typeof defaultValue === 'boolean' ? '' : ` (default ${String(defaultValue)})`} |`,
  );
}

function optionTable(command: Command): string {
  const rows = optionRows(command);
  return rows.length === 0 ? '' : `\n| option | effect |\n| --- | --- |\n${rows.join('\n')}\n`;
}

function commandSection(command: Command, parents: string, level: string): string {
  const name = `${parents} ${command.name()}`;
  const usage = command.registeredArguments.map((argument) => {
    const text = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? ` <${text}>` : ` [${text}]`;
  });
  let help = '';
  command.configureOutput({
    writeOut: (text) => {
      help += text;
    },
  });
  if (command.commands.length === 0) command.outputHelp();
  const further = help.split(/^ {2}-h, --help.*\n/m)[1]?.trim() ?? '';
  const first = command.description();
  const inner = command.commands.map((one) => commandSection(one, name, `${level}#`));
  const note = further === '' ? '' : `\n\`\`\`text\n${further}\n\`\`\`\n`;
  return `${level} ${name}

${first.charAt(0).toUpperCase()}${first.slice(1)}.

\`\`\`sh
${name}${usage.join('')}${command.commands.length > 0 ? ' <command>' : ''}
\`\`\`
${optionTable(command)}${note}${inner.length > 0 ? `\n${inner.join('\n')}` : ''}`;
}

export function cliReference(): string {
  const silent = { write: () => true };
  const io = { stdout: silent, stderr: silent, interactive: false, env: {}, cwd: '.' };
  const program = createProgram(io, async () => {});
  const codes = Object.entries(exitCodeMeanings).map(
    ([code, { short, long }]) => `| ${code} | ${short} | ${cell(long)} |`,
  );
  const sections = program.commands.map((command) => commandSection(command, 'changeover', '##'));
  return `# Command line

Generated from \`src/cli\` by \`npm run reference\`. \`changeover help COMMAND\` says the same.

Answers go to stdout, progress and errors to stderr. With \`--json\` stdout is one object \`{ schemaVersion, kind, stateVersion, observedAt, verdict, data, next }\`. Without a terminal there are no colours and no questions: what needs an answer is refused (exit code 4) until it is given with \`--yes\`. \`NO_COLOR\` is respected.

## Exit codes

| code | word | meaning |
| --- | --- | --- |
${codes.join('\n')}

## Options of every command
${optionTable(program)}
${sections.join('\n')}`;
}

/** File name in docs/reference → text. */
export function references(): Readonly<Record<string, string>> {
  return {
    'check.md': checkReference(),
    'cli.md': cliReference(),
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
