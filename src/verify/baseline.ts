import type { MigrationContext, Mismatch } from '../control/index.ts';
import type { VerifyReport } from './verify.ts';
import { persistentTotal } from './verify-counts.ts';

/** The last time that a whole collection was proven to be equal in both stores: what was wrong behind it has become so since. */
export interface Baseline {
  readonly collection: string;
  readonly generation: number;
  readonly epoch: number;
  /** Wall clock. What was written behind the beginning may have changed behind the look. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly records: number;
  readonly kind: 'aligned' | 'recheck';
  /** Place in the authority's log up to which it was proven, as the store writes it; null: none. */
  readonly position: string | null;
  /** Root of the digests of the proof; null: none. */
  readonly root: string | null;
  /** How was compared. */
  readonly comparator: string;
}

type Held = Pick<MigrationContext, 'control' | 'migration'>;

const memoName = (collection: string): string => `baseline ${collection}`;

/**
 * Keeps a verification as the baseline when it was of everything, ended, and found nothing that is left; null: it was not, and the last baseline stays. A newer one that somebody
 * else keeps meanwhile stays, too. CONTROL_UNAVAILABLE.
 */
export async function recordBaseline(
  { control, migration }: Held,
  report: VerifyReport,
): Promise<Baseline | null> {
  const clean = report.outcome === 'passed' && persistentTotal(report) + report.unresolved === 0;
  if (!clean || report.extent !== 'full') return null;
  const { proof, collection, startedAtMs, durationMs, compared } = report;
  const baseline: Baseline = {
    collection,
    generation: proof.generation,
    epoch: proof.epoch,
    startedAtMs,
    endedAtMs: Math.round(startedAtMs + durationMs),
    records: compared,
    kind: proof.kind,
    position: proof.kind === 'aligned' ? (proof.last?.text ?? null) : null,
    root: proof.root,
    comparator: proof.comparator,
  };
  const name = memoName(collection);
  const memo = await control.memos.read(migration.name, name);
  const known = memo?.body as Baseline | undefined;
  if (known && isOf(known, baseline.generation) && known.startedAtMs > startedAtMs) return known;
  const kept = await control.memos.write(migration.name, name, { ...baseline }, memo?.version ?? 0);
  return kept ? baseline : baselineOf({ control, migration }, collection, baseline.generation);
}

/** The baseline of a collection in this generation; null: it was never proven to be equal. */
export async function baselineOf(
  { control, migration }: Held,
  collection: string,
  generation: number,
): Promise<Baseline | null> {
  const memo = await control.memos.read(migration.name, memoName(collection));
  const found = memo?.body as Baseline | undefined;
  return found && isOf(found, generation) ? found : null;
}

/** The baselines of all collections in this generation. */
export async function baselines(
  { control, migration }: Held,
  generation: number,
): Promise<ReadonlyMap<string, Baseline>> {
  const memos = await control.memos.list(migration.name, memoName(''));
  const found = memos.map(({ body }) => body as unknown as Baseline);
  return new Map(
    found.flatMap((one) => (isOf(one, generation) ? [[one.collection, one] as const] : [])),
  );
}

/** Since when a key differs, as far as that is known. */
export type MismatchOrigin =
  /** It agreed when everything was proven: something has changed it since. */
  | { readonly origin: 'drift'; readonly baseline: Baseline }
  /** It was seen before the last proof, which does not cover it: explained, or repaired since. */
  | { readonly origin: 'older'; readonly baseline: Baseline }
  /** No whole comparison has ever passed: it may never have been copied, or be wrong from the beginning. */
  | { readonly origin: 'never-proven' };

/** Tells drift from what was never right. `baseline`: of the mismatch's collection. */
export function originOf(
  line: Pick<Mismatch, 'firstSeenMs'>,
  baseline: Baseline | null,
): MismatchOrigin {
  if (baseline === null) return { origin: 'never-proven' };
  return { origin: line.firstSeenMs >= baseline.startedAtMs ? 'drift' : 'older', baseline };
}

/** The origin in words. With the versions of the line it is said which change came last through the door. */
export function originText(
  origin: MismatchOrigin,
  line: Pick<Mismatch, 'kind' | 'versions'>,
): string {
  const last = lastChange(line);
  if (origin.origin === 'never-proven')
    return `never proven: no whole comparison of the collection has passed, so it may be wrong since the copy${line.kind === 'missing' ? ', or never copied' : ''}${last}`;
  const { endedAtMs, position, records } = origin.baseline;
  const when = new Date(endedAtMs).toISOString();
  const proof = `the clean proof of ${when}${position === null ? '' : ` at ${position}`} (${records} records)`;
  return origin.origin === 'drift'
    ? `drift after ${proof}${last}`
    : `seen before ${proof}, in which it was accounted for${last}`;
}

function lastChange({ versions }: Pick<Mismatch, 'versions'>): string {
  if (versions === undefined) return '';
  if (versions.follower === null)
    return '; no change of it is known to have come through the door since the copy';
  return `; the last change that came through the door has version ${versions.follower}, the authority was read at ${versions.authority}`;
}

const isOf = (baseline: Baseline, generation: number): boolean =>
  baseline.generation === generation;
