import { type MappedColumn, type OpenedMigration, spellingOf } from '../config/index.ts';
import { type ForeignGuard, findForeignGuard } from '../control/index.ts';
import { inspectTraffic } from '../cutover/index.ts';
import { errorCatalogue, isChangeoverError, messageOf } from '../errors/index.ts';
import { authorityOf, type Collection, type Phase, type Side } from '../migration/index.ts';
import type { Finding, InspectPlan, MigrationStore, TableLimits } from '../store/index.ts';
import { clockFindings } from './clock-check.ts';
import { columnFit } from './column-fit-check.ts';
import { generatedKeyFindings } from './generated-keys-check.ts';
import { limitFindings } from './limits-check.ts';
import { mappingFindings } from './mapping-check.ts';
import { type SpaceFacts, spaceFindings } from './space-check.ts';
import { sweeperFindings } from './sweeper-check.ts';
import { trafficAddressFindings } from './traffic-address-check.ts';
import { checkTransforms } from './transform-check.ts';

/** A finding, and the store and role that it was seen in. */
export type PlacedFinding = Finding & {
  readonly side: Side;
  readonly as: 'authority' | 'follower';
};

export interface PreflightOptions {
  /** Every record is tried instead of a sample. */
  readonly exact: boolean;
  readonly phase: Phase;
  progress(text: string): void;
}

const SIDES = ['source', 'target'] as const;
const guardMs = 2_000;

/** Findings that say that the store does not answer. */
const unreachable = /\/(unreachable|connection|connect)$/;

/** Looks at both stores in both roles, at each beside the other, and at what holds the traffic. Changes nothing; what cannot be looked at is a finding. */
export async function preflight(
  migration: OpenedMigration,
  options: PreflightOptions,
): Promise<{ readonly findings: readonly PlacedFinding[]; readonly down: boolean }> {
  const found: PlacedFinding[] = [];
  for (const side of SIDES) {
    for (const as of ['authority', 'follower'] as const) {
      options.progress(`looking at the ${side} as ${as}`);
      const plan =
        side === 'target' ? { deferIndexes: migration.options.backfill.deferIndexes } : {};
      const findings = await inspect(migration.stores[side], side, as, plan);
      found.push(...findings.map((finding) => ({ ...finding, side, as })));
    }
  }
  const down = found.some(({ id, verdict }) => verdict !== 'pass' && unreachable.test(id));
  const authority = authorityOf(options.phase);
  const say = (findings: readonly Finding[], side: Side = 'source'): void => {
    for (const finding of findings) found.push({ ...finding, side, as: 'authority' });
  };
  for (const mapping of migration.mappings.values()) say(mappingFindings(mapping));
  if (!down) say(await comparisons(migration, options));
  if (!down) for (const side of SIDES) say(await sweeperFindings(migration, side), side);
  say(await inspectTraffic(migration, authority), authority);
  const { source, target } = migration.definition;
  const displays = { source: source.display, target: target.display };
  say(trafficAddressFindings(migration.traffic ?? [], displays), authority);
  const foreign = await findForeignGuard(migration, { deadlineMs: guardMs });
  if (foreign !== null) found.push(foreignFinding(foreign, authority));
  return { findings: found, down };
}

/** What only both sides together tell. */
async function comparisons(
  migration: OpenedMigration,
  { exact, progress }: PreflightOptions,
): Promise<readonly Finding[]> {
  const { stores, runtime, control } = migration;
  const collections = [...migration.migration.collections.values()];
  const found: Finding[] = [];
  const limits: Record<Side, TableLimits[]> = { source: [], target: [] };
  const unconverted = new Map<string, readonly MappedColumn[]>();
  found.push(...(await compare(() => fitFindings(migration, collections, unconverted))));
  for (const collection of collections) {
    progress(`trying ${exact ? 'every record' : 'records'} of ${collection.name}`);
    const own: Record<Side, readonly TableLimits[]> = { source: [], target: [] };
    found.push(
      ...(await compare(async () => {
        for (const side of SIDES) {
          own[side] = (await stores[side].setup.facts?.limits(collection.name)) ?? [];
          limits[side].push(...own[side]);
        }
        return limitFindings(collection, own.source, own.target);
      })),
      ...(await checkTransforms(collection, stores, {
        random: runtime.random,
        exact,
        limits: own.target,
        unconverted: unconverted.get(collection.name) ?? [],
      })),
    );
  }
  found.push(...(await generatedKeyFindings(collections, stores)));
  const clocks = SIDES.flatMap((side) => {
    const { facts } = stores[side].setup;
    return facts === undefined ? [] : [[side, () => facts.now()] as const];
  });
  const ofControl = async (): Promise<number> =>
    (await control.fleet.list(migration.migration.name)).nowMs;
  const readings = { ...Object.fromEntries(clocks), 'control store': ofControl };
  found.push(...(await clockFindings(runtime.clock, readings)));
  found.push(...(await compare(() => roomFindings(migration, collections, limits))));
  return found;
}

/** Findings about columns that nothing converts: between stores of one engine. The columns are put into `unconverted`. */
async function fitFindings(
  { definition, runtime }: OpenedMigration,
  collections: readonly Collection[],
  unconverted: Map<string, readonly MappedColumn[]>,
): Promise<readonly Finding[]> {
  const [here, there] = SIDES.map((side) => spellingOf(definition[side].engine));
  if (here !== there || here === null) return [];
  const [source, target] = await Promise.all(
    SIDES.map((side) => definition[side].describeTables?.(runtime, { types: true })),
  );
  if (source === undefined || target === undefined) return [];
  return collections.flatMap((collection) => {
    const fit = columnFit(definition, collection, { source, target });
    if (fit === null) return [];
    unconverted.set(collection.name, fit.columns);
    // Both sides read and write the text of a value alike: what has nothing in common by our table may still go over.
    return mappingFindings(fit).map((one) =>
      one.id === 'mapping/none' || one.id === 'mapping/key' ? { ...one, verdict: 'warn' } : one,
    );
  });
}

async function roomFindings(
  { stores }: OpenedMigration,
  collections: readonly Collection[],
  limits: Readonly<Record<Side, readonly TableLimits[]>>,
): Promise<readonly Finding[]> {
  // A table that two collections carry is there once.
  const sum = (side: Side): number | null => {
    const bytes = [...new Map(limits[side].map((one) => [one.table, one.bytes])).values()];
    return bytes.length === 0 || bytes.includes(null)
      ? null
      : bytes.reduce<number>((all, one) => all + (one ?? 0), 0);
  };
  const [source, target] = await Promise.all(
    SIDES.map(async (side) => (await stores[side].setup.facts?.space()) ?? null),
  );
  const facts: SpaceFacts = {
    sourceBytes: sum('source'),
    targetBytes: sum('target'),
    source: source ?? null,
    target: target ?? null,
    logged: collections.some(({ capture }) => capture === 'log'),
  };
  return spaceFindings(facts);
}

/** What the inspection of one side has told already (a table that is not there) is no second failure. */
async function compare(look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [
      {
        id: 'compare/unread',
        verdict: 'unknown',
        message: `Both sides cannot be compared: ${messageOf(error)}`,
        fix: 'Remove the cause of the error and check again.',
      },
    ];
  }
}

/** Two control stores for one migration would be two authorities. */
function foreignFinding({ side, message }: ForeignGuard, authority: Side): PlacedFinding {
  const as = side === authority ? 'authority' : 'follower';
  const fix = errorCatalogue.CONTROL_MISMATCH.action;
  return { id: 'control/mismatch', verdict: 'fail', message, fix, side, as };
}

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
