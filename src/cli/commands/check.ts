import { loadConfig } from '../../config/index.ts';
import type { Side } from '../../migration/index.ts';
import type { Finding } from '../../store/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import { findingDocs } from '../finding-table.ts';
import { grantsOf, grantsText } from '../grants.ts';
import { type PlacedFinding, preflight } from '../preflight.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { painter, type Tone } from '../terminal-io.ts';
import type { Verdict } from '../verdict.ts';

export const addCheck: AddCommand = (program, perform) => {
  program
    .command('check')
    .description('preflight of both stores, in both directions; changes nothing')
    .option('--all', 'show every warning, not three of each kind')
    .option(
      '--exact',
      'try every record of the source instead of a hundred: takes as long as reading it',
    )
    .option(
      '--grants',
      'print the least privileges for fresh roles of both sides, as SQL; looks at nothing',
    )
    .action((_options, command) => {
      const flags = flagsOf<CheckFlags>(command);
      return perform(flags, (context) => (flags.grants ? grants(context) : check(context, flags)));
    });
};

interface CheckFlags {
  readonly all?: boolean;
  readonly exact?: boolean;
  readonly grants?: boolean;
}

const verdicts: readonly (readonly [Finding['verdict'], Verdict])[] = [
  ['fail', 'no'],
  ['unknown', 'unknown'],
];
const tones: Readonly<Record<Finding['verdict'], Tone>> = {
  pass: 'good',
  warn: 'doubt',
  fail: 'bad',
  unknown: 'doubt',
};

/** `check`: the preflight of both stores, in both directions, because the way back is part of the way. Changes nothing. */
function check(
  context: CommandContext,
  { all = false, exact = false }: CheckFlags,
): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ migration }) => {
    const state = await migration.control.load(migration.migration.name);
    const { findings: found, down } = await preflight(migration, {
      exact,
      phase: state.phase,
      progress: (text) => context.progress(text),
    });
    const findings = merged(found);
    const worst = verdicts.find(([verdict]) => findings.some((one) => one.verdict === verdict));
    return {
      kind: 'check',
      verdict: down ? 'unreachable' : (worst?.[1] ?? 'yes'),
      stateVersion: state.version,
      data: { findings },
      next: worst ? [] : ['changeover start'],
      text: checkText(findings, context, all),
    };
  });
}

/** `check --grants`: by the configuration alone, before there is a role that could connect. */
async function grants({ globals, io }: CommandContext): Promise<CommandResult> {
  const { definition } = await loadConfig(globals.config ?? io.cwd);
  const sides = grantsOf(definition);
  return {
    kind: 'grants',
    verdict: 'yes',
    stateVersion: null,
    data: { grants: sides },
    next: ['changeover check'],
    text: grantsText(sides),
  };
}

type MergedFinding = Finding & {
  readonly side: Side;
  readonly roles: readonly string[];
  /** Where it is explained; null: it is a hook's own. */
  readonly docs: string | null;
};

/** What is said of a store in both roles is said once. */
function merged(found: readonly PlacedFinding[]): readonly MergedFinding[] {
  const byText = new Map<string, MergedFinding>();
  for (const { as, ...finding } of found) {
    const text = JSON.stringify(finding);
    const present = byText.get(text);
    const docs = findingDocs(finding.id);
    byText.set(text, { ...finding, docs, roles: [...(present?.roles ?? []), as] });
  }
  return [...byText.values()];
}

/** Warnings of one kind that are shown; what is changed without a word is always shown. */
const SHOWN_MAX = 3;
const alwaysShown = 'mapping/loses';
/** What tells values to somebody who has to plan with them. */
const toldAnyway = /^space\//;
const ORDER: readonly Finding['verdict'][] = ['fail', 'unknown', 'warn'];

/** What is shown, the worst first (among a hundred warnings nobody would see it), and how many more there are of each kind. */
export function shownFindings<One extends Pick<Finding, 'id' | 'verdict'>>(
  findings: readonly One[],
  all: boolean,
): { readonly shown: readonly One[]; readonly hidden: ReadonlyMap<string, number> } {
  const counts = new Map<string, number>();
  const hidden = new Map<string, number>();
  const shown = ORDER.flatMap((verdict) =>
    findings.filter((one) => one.verdict === verdict),
  ).filter(({ verdict, id }) => {
    if (all || verdict !== 'warn' || id === alwaysShown) return true;
    const count = (counts.get(id) ?? 0) + 1;
    counts.set(id, count);
    if (count > SHOWN_MAX) hidden.set(id, count - SHOWN_MAX);
    return count <= SHOWN_MAX;
  });
  return { shown, hidden };
}

function checkText(
  findings: readonly MergedFinding[],
  { io }: CommandContext,
  all: boolean,
): readonly string[] {
  const paint = painter(io);
  const { shown, hidden } = shownFindings(findings, all);
  const lines = shown.flatMap(({ verdict, side, roles, id, message, fix, docs }) => [
    `${paint(tones[verdict], verdict.padEnd(8))}${side} as ${roles.join(' and ')}: ${message} (${id})`,
    ...(fix ? [`        → ${fix}${docs ? ` [${docs}]` : ''}`] : []),
  ]);
  const info = findings
    .filter(
      ({ id, verdict }) =>
        verdict === 'pass' && (toldAnyway.test(id) || (all && id === 'fit/swap')),
    )
    .map(({ message, id }) => `info    ${message} (${id})`);
  const more = [...hidden].map(
    ([id, count]) => `${paint('doubt', 'warn    ')}… and ${count} more of ${id}`,
  );
  const count = (verdict: Finding['verdict']): number =>
    findings.filter((one) => one.verdict === verdict).length;
  return [
    ...lines,
    ...info,
    ...more,
    ...(more.length > 0 ? ['        → changeover check --all shows every one.'] : []),
    `${count('pass')} passed, ${count('warn')} ${count('warn') === 1 ? 'warning' : 'warnings'}, ${count('fail')} failed, ${count('unknown')} unknown.`,
  ];
}
