import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { gateProfileOf, loadConfig } from '../../config/index.ts';
import { programmeOf } from '../../config/programme-of.ts';
import { ChangeoverError, messageOf } from '../../errors/index.ts';
import {
  checkReport,
  gatherReport,
  type ReportCheck,
  type ReportData,
  type ReportFormat,
  reportFormats,
  writeReport,
} from '../../report/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, type Session, withSession } from '../session.ts';
import type { Verdict } from '../verdict.ts';

export const addReport: AddCommand = (program, perform) => {
  program
    .command('report')
    .description('what is proven, and what was not checked; or whether a report was altered')
    .option(
      '--format <format>',
      `${reportFormats.join(', ')}; default by the name of the file, else md`,
      formatOf,
    )
    .option('--out <file>', 'write it there; default: to the terminal')
    .option('--since <when>', 'leave out what happened before this ISO date or time', momentOf)
    .option('--keys', 'name the keys of records that differ; never their values')
    .option('--check <file>', 'say whether this report is as it was written, and what was altered')
    .action((_options, command) => {
      const flags = flagsOf<ReportFlags>(command);
      return perform(flags, (context) =>
        flags.check === undefined ? report(context, flags) : check(context, flags.check),
      );
    });
};

interface ReportFlags {
  readonly format?: ReportFormat;
  readonly out?: string;
  readonly since?: number;
  readonly keys?: boolean;
  readonly check?: string;
}

function formatOf(text: string): ReportFormat {
  const format = reportFormats.find((one) => one === text);
  if (format === undefined)
    throw new InvalidArgumentError(`It has to be one of ${reportFormats.join(', ')}.`);
  return format;
}

function momentOf(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isNaN(ms))
    throw new InvalidArgumentError('It has to be 2026-01-31 or 2026-01-31T10:00:00Z.');
  return ms;
}

/** `report`: gathers, renders, seals. Stores may be down; then it says so. */
function report(context: CommandContext, flags: ReportFlags): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async (session) => {
    const data = await gathered(session, flags);
    const { out } = flags;
    const format = flags.format ?? formatByName(out) ?? 'md';
    const key = signingKey(context, session.migration.options.report.signingKey);
    const { text, seal } = writeReport(data, format, key);
    if (out !== undefined) save(resolve(context.io.cwd, out), text);
    const { verdict, subject } = data;
    const about = { format, file: out ?? null, sha256: seal.data, signed: key !== null };
    return {
      kind: 'report',
      verdict: 'done',
      stateVersion: subject.stateVersion,
      data: { ...about, level: verdict.level, unchecked: data.unchecked.length, report: data },
      next: out === undefined ? [] : [`changeover report --check ${out}`],
      // Without a file the document is all that is printed: it may be piped into one.
      text: out === undefined ? [text.replace(/\n$/, '')] : [summary(data, out, seal.data)],
    };
  });
}

function gathered(session: Session, flags: ReportFlags): Promise<ReportData> {
  const { migration, controller, act } = session;
  const { definition, options } = migration;
  const { source, target } = definition;
  return gatherReport(migration, {
    controller,
    profile: gateProfileOf(options),
    programme: programmeOf(options),
    displays: { source: address(source), target: address(target) },
    by: act.actor,
    sinceMs: flags.since ?? null,
    showKeys: flags.keys === true,
  });
}

const address = ({ engine, display }: { readonly engine: string; readonly display: string }) =>
  display.startsWith(engine) ? display : `${engine} ${display}`;

function formatByName(file: string | undefined): ReportFormat | null {
  const ending = file?.split('.').at(-1)?.toLowerCase();
  if (ending === 'htm') return 'html';
  return reportFormats.find((format) => format === ending) ?? null;
}

/** The environment goes before the configuration, which many can read. */
function signingKey({ io }: CommandContext, configured: string | null): string | null {
  const key = io.env['CHANGEOVER_REPORT_KEY'] ?? '';
  return key === '' ? configured : key;
}

function save(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `The report could not be written to ${file}: ${messageOf(error)}.`,
      { cause: error, data: { file } },
    );
  }
}

const summary = ({ verdict, unchecked }: ReportData, file: string, digest: string): string =>
  `${file}: ${verdict.title.toLowerCase()}; ${unchecked.length} things were not checked; data sha256 ${digest}`;

const verdicts: Readonly<Record<ReportCheck['verdict'], Verdict>> = {
  intact: 'yes',
  altered: 'no',
  foreign: 'usage',
};

/** `report --check`: needs no store, and a configuration only for its key. */
async function check(context: CommandContext, name: string): Promise<CommandResult> {
  const file = resolve(context.io.cwd, name);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new ChangeoverError('CONFIG_INVALID', `${file} could not be read: ${messageOf(error)}.`, {
      cause: error,
      data: { file },
    });
  }
  const found = checkReport(bytes, signingKey(context, await configuredKey(context)));
  return {
    kind: 'report-check',
    verdict: verdicts[found.verdict],
    stateVersion: null,
    data: found,
    next: [],
    text: checkText(name, found),
  };
}

/** Whoever checks a report need not have the configuration; but one that was named has to be there. */
async function configuredKey({ globals, io }: CommandContext): Promise<string | null> {
  try {
    const { definition } = await loadConfig(globals.config ?? io.cwd);
    return definition.options.report.signingKey;
  } catch (error) {
    if (globals.config !== undefined) throw error;
    return null;
  }
}

const signatures: Readonly<Record<ReportCheck['signature'], string>> = {
  valid: 'signed with this key',
  invalid: 'signed with another key',
  unsigned: 'unsigned: somebody who can seal could have replaced it',
  unchecked: 'the signature was not checked, there is no key',
};

function checkText(name: string, found: ReportCheck): readonly string[] {
  const { verdict, altered, signature, dataSha256 } = found;
  if (verdict === 'foreign') return [`${name} is no report of changeover.`];
  if (verdict === 'intact')
    return [`${name} is as it was written (data sha256 ${dataSha256}); ${signatures[signature]}.`];
  return [`${name} WAS ALTERED:`, ...altered.map((one) => `  ${one}`)];
}
