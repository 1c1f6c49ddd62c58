import { type ForeignGuard, findForeignGuard } from '../../control/index.ts';
import { inspectTraffic } from '../../cutover/index.ts';
import { errorCatalogue, isChangeoverError, messageOf } from '../../errors/index.ts';
import { authorityOf, type Side } from '../../migration/index.ts';
import type { Finding, InspectPlan, MigrationStore } from '../../store/index.ts';
import { type AddCommand, flagsOf } from '../command-line.ts';
import { generatedKeyFindings } from '../generated-keys-check.ts';
import { mappingFindings } from '../mapping-check.ts';
import type { CommandResult } from '../result.ts';
import { type CommandContext, withSession } from '../session.ts';
import { painter, type Tone } from '../terminal-io.ts';
import { trafficAddressFindings } from '../traffic-address-check.ts';
import { checkTransforms } from '../transform-check.ts';
import type { Verdict } from '../verdict.ts';

export const addCheck: AddCommand = (program, perform) => {
  program
    .command('check')
    .description('preflight of both stores, in both directions; changes nothing')
    .option('--all', 'show every warning, not three of each kind')
    .action((_options, command) => {
      const flags = flagsOf<CheckFlags>(command);
      return perform(flags, (context) => check(context, flags));
    });
};

interface CheckFlags {
  readonly all?: boolean;
}

const guardMs = 2_000;

type PlacedFinding = Finding & { readonly side: Side; readonly as: 'authority' | 'follower' };

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
function check(context: CommandContext, { all = false }: CheckFlags): Promise<CommandResult> {
  return withSession(context, { tolerateStores: true }, async ({ migration }) => {
    const state = await migration.control.load(migration.migration.name);
    const found: PlacedFinding[] = [];
    for (const side of ['source', 'target'] as const) {
      for (const as of ['authority', 'follower'] as const) {
        context.progress(`looking at the ${side} as ${as}`);
        const plan =
          side === 'target' ? { deferIndexes: migration.options.backfill.deferIndexes } : {};
        const findings = await inspect(migration.stores[side], side, as, plan);
        found.push(...findings.map((finding) => ({ ...finding, side, as })));
      }
    }
    const down = found.some(({ id, verdict }) => verdict !== 'pass' && unreachable.test(id));
    const { source, target } = migration.stores;
    for (const collection of down ? [] : migration.migration.collections.values()) {
      context.progress(`trying the transforms of ${collection.name}`);
      const finding = await checkTransforms(collection, source, target);
      found.push({ ...finding, side: 'source', as: 'authority' });
    }
    for (const mapping of migration.mappings.values()) {
      for (const finding of mappingFindings(mapping))
        found.push({ ...finding, side: 'source', as: 'authority' });
    }
    const collections = migration.migration.collections.values();
    for (const finding of down ? [] : await generatedKeyFindings(collections, migration.stores))
      found.push({ ...finding, side: 'source', as: 'authority' });
    const authority = authorityOf(state.phase);
    for (const finding of await inspectTraffic(migration, authority))
      found.push({ ...finding, side: authority, as: 'authority' });
    const displays = {
      source: migration.definition.source.display,
      target: migration.definition.target.display,
    };
    for (const finding of trafficAddressFindings(migration.traffic ?? [], displays))
      found.push({ ...finding, side: authority, as: 'authority' });
    const foreign = await findForeignGuard(migration, { deadlineMs: guardMs });
    if (foreign !== null) found.push(foreignFinding(foreign, authority));
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

/** Two control stores for one migration would be two authorities. */
function foreignFinding({ side, message }: ForeignGuard, authority: Side): PlacedFinding {
  const as = side === authority ? 'authority' : 'follower';
  const fix = errorCatalogue.CONTROL_MISMATCH.action;
  return { id: 'control/mismatch', verdict: 'fail', message, fix, side, as };
}

/** Findings that say that the store does not answer. */
const unreachable = /\/(unreachable|connection|connect)$/;

/** The store's findings; a store that cannot even be asked is one finding. */
async function inspect(
  store: MigrationStore,
  side: Side,
  as: 'authority' | 'follower',
  plan: InspectPlan,
): Promise<readonly Finding[]> {
  try {
    return await store.setup.inspect(as, plan);
  } catch (error) {
    const away = isChangeoverError(error, 'STORE_UNAVAILABLE', 'DEADLINE_EXCEEDED');
    return [
      {
        id: `${store.engine}/${away ? 'unreachable' : 'shape'}`,
        verdict: away ? 'unknown' : 'fail',
        message: messageOf(error),
        fix: away
          ? `Check address, credentials and server of the ${side}.`
          : 'Correct the configuration.',
      },
    ];
  }
}

type MergedFinding = Finding & { readonly side: Side; readonly roles: readonly string[] };

/** What is said of a store in both roles is said once. */
function merged(found: readonly PlacedFinding[]): readonly MergedFinding[] {
  const byText = new Map<string, MergedFinding>();
  for (const { as, ...finding } of found) {
    const text = JSON.stringify(finding);
    const present = byText.get(text);
    byText.set(text, { ...finding, roles: [...(present?.roles ?? []), as] });
  }
  return [...byText.values()];
}

/** Warnings of one kind that are shown; what is changed without a word is always shown. */
const SHOWN_MAX = 3;
const alwaysShown = 'mapping/loses';
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
  const lines = shown.flatMap(({ verdict, side, roles, id, message, fix }) => [
    `${paint(tones[verdict], verdict.padEnd(8))}${side} as ${roles.join(' and ')}: ${message} (${id})`,
    ...(fix ? [`        → ${fix}`] : []),
  ]);
  const more = [...hidden].map(
    ([id, count]) => `${paint('doubt', 'warn    ')}… and ${count} more of ${id}`,
  );
  const count = (verdict: Finding['verdict']): number =>
    findings.filter((one) => one.verdict === verdict).length;
  return [
    ...lines,
    ...more,
    ...(more.length > 0 ? ['        → changeover check --all shows every one.'] : []),
    `${count('pass')} passed, ${count('warn')} ${count('warn') === 1 ? 'warning' : 'warnings'}, ${count('fail')} failed, ${count('unknown')} unknown.`,
  ];
}
