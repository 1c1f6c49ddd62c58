import type { AuditEntry } from '../control/index.ts';
import { detailTexts, textOf } from './detail-text.ts';
import type { NoteFacts, ProofFacts } from './report-data.ts';

/** Details that a proof shows in columns of its own. */
const columns: ReadonlySet<string> = new Set([
  'generation',
  'collections',
  'collection',
  'finished',
  'open',
  'startedAtMs',
  'compared',
  'extent',
  'kind',
  // Of all collections; each proof names its own.
  'comparators',
]);

/** By what proofs are judged. */
export interface ProofFrame {
  readonly generation: number;
  /** Collection → fingerprint of the comparator of now. */
  readonly comparators: Readonly<Record<string, string>>;
  /** Since then the follower has had every change, by the audit's clock. */
  readonly beganMs: number;
  readonly showKeys: boolean;
}

/** Every verification in the audit of this generation, oldest first. Whatever else a verifier noted (positions, digests, exclusions) is kept as text. */
export function proofsOf(
  entries: readonly AuditEntry[],
  { generation, comparators, beganMs, showKeys }: ProofFrame,
): readonly ProofFacts[] {
  return entries
    .filter(
      ({ action, detail }) =>
        action === 'verify' &&
        (detail['generation'] ?? generation) === generation &&
        typeof detail['open'] === 'number',
    )
    .map(({ atMs, actor, detail }) => {
      const { collections, collection, startedAtMs, compared, extent, kind, finished } = detail;
      const names = Array.isArray(collections) ? collections.map(String) : [];
      return {
        atMs,
        actor,
        collections: typeof collection === 'string' ? [collection] : names,
        kind: kindOf(kind, detail),
        extent: textOf(extent) ?? 'full',
        finished: finished !== false,
        compared: typeof compared === 'number' ? compared : null,
        open: Number(detail['open']),
        startedAtMs: typeof startedAtMs === 'number' ? startedAtMs : atMs,
        outdated: Object.keys(comparators).filter(
          (name) => atMs < beganMs || comparatorOf(detail, name) !== comparators[name],
        ),
        more: restOf(detail, showKeys),
      };
    });
}

function comparatorOf({ comparators }: AuditEntry['detail'], name: string): unknown {
  return typeof comparators === 'object' && comparators !== null
    ? (comparators as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

/** The rest of a note. A proof by recheck has no segments, records or digests: their zeros would say nothing. */
function restOf(detail: AuditEntry['detail'], showKeys: boolean): ProofFacts['more'] {
  const recheck = kindOf(detail['kind'], detail) === 'recheck';
  const all = Object.entries(detailTexts(detail, columns, showKeys)).filter(
    ([name, text]) => name !== 'proof.kind' && !(recheck && text === '0'),
  );
  return Object.fromEntries(all);
}

/** What kind of proof: as the verifier calls it; a note without a word is one of the old kind. */
function kindOf(kind: unknown, detail: AuditEntry['detail']): string {
  const proof = detail['proof'];
  if (typeof kind === 'string') return kind;
  if (proof !== null && typeof proof === 'object')
    return textOf((proof as Readonly<Record<string, unknown>>)['kind']) ?? 'recheck';
  return 'recheck';
}

/** The newest whole comparison of a collection that began after `sinceMs` and still proves something; null: there is none. */
export function newestProof(
  proofs: readonly ProofFacts[],
  collection: string,
  sinceMs: number,
): ProofFacts | null {
  return (
    proofs.findLast(
      ({ collections, finished, extent, startedAtMs, outdated }) =>
        finished &&
        extent === 'full' &&
        startedAtMs >= sinceMs &&
        !outdated.includes(collection) &&
        // A note without names speaks for all.
        (collections.length === 0 || collections.includes(collection)),
    ) ?? null
  );
}

/** Lines of the audit of these actions, in words. */
export function notesOf(
  entries: readonly AuditEntry[],
  actions: ReadonlySet<string>,
  showKeys: boolean,
): readonly NoteFacts[] {
  return entries
    .filter(({ action }) => actions.has(action))
    .map(({ atMs, actor, action, reason, detail }) => ({
      atMs,
      actor,
      action,
      reason,
      detail: detailTexts(detail, new Set(), showKeys),
    }));
}
