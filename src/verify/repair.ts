import type { MigrationContext } from '../control/index.ts';
import { isChangeoverError, messageOf } from '../errors/index.ts';
import { type Change, decodeKey, encodeKey, type Key, type Version } from '../record/index.ts';
import type { DoorVerdict } from '../store/index.ts';
import { type Comparator, createComparator, type PairDifference } from './comparator.ts';
import { persistently } from './pages.ts';
import { createRechecker, type Decision } from './rechecker.ts';
import type { RepairedKey, RepairOptions, RepairReport } from './repair-options.ts';
import { bare, countOutcomes, resultOf } from './repair-result.ts';
import {
  pause,
  stopReason,
  type VerifyScope,
  type VerifyStop,
  verifyScope,
} from './verify-scope.ts';

/** The keys of one round. Small: a round is one re-read, one read and one door transaction. */
const BATCH_MAX = 100;
const BUSY_TRIES = 5;
const BUSY_DELAY_MS = 200;
const OPEN_MAX = 10_000;

/**
 * Makes the follower hold what the authority holds *now*, for the given keys or all open mismatches. Each key is read again under its lock (so
 * the version is provably not newer than the value) and goes through the door as origin `repair`: a newer change that has come in meanwhile wins.
 * A record that only the follower has is deleted only with `deleteExtras`, by a tombstone whose version was drawn while the key's absence was
 * seen under its lock: an insert that follows is newer and stays. A key is `repaired` when the exact recheck passes.
 *
 * Stops by itself on a change of authority, and when so much differs that it is a bug. Safe to run twice, and beside live writes.
 */
export async function repair(
  context: MigrationContext,
  collection: string,
  keys: readonly Key[] | 'open',
  options: RepairOptions,
  signal: AbortSignal,
): Promise<RepairReport> {
  const scope = verifyScope(context, collection, options, signal);
  const { clock } = context.runtime;
  const begun = clock.monotonic();
  const mode = options.mode ?? 'propose';
  const wanted = keys === 'open' ? await openKeys(scope) : unique(keys);
  let reason: VerifyStop | null = stopReason(scope);
  if (reason === null && (await tooMany(scope, wanted.length, options)))
    reason = 'too-many-mismatches';
  const comparator = createComparator(scope);
  const done: RepairedKey[] = [];
  const perSecond = Math.max(1, options.ratePerSecond ?? 100);
  const batchRows = Math.min(BATCH_MAX, Math.ceil(perSecond), scope.follower.capabilities.batchMax);
  for (let from = 0; from < wanted.length && reason === null; from += batchRows) {
    const startedAt = clock.monotonic();
    const batch = wanted.slice(from, from + batchRows);
    const round = await repairBatch(scope, comparator, batch, mode, options);
    done.push(...round.keys);
    reason = round.reason ?? stopReason(scope);
    const paceMs = (batch.length / perSecond) * 1000 - (clock.monotonic() - startedAt);
    if (mode === 'apply' && reason === null && paceMs > 0) await pause(scope, paceMs);
  }
  return {
    collection,
    mode,
    reason,
    keys: done,
    counts: countOutcomes(done),
    durationMs: clock.monotonic() - begun,
  };
}

async function openKeys(scope: VerifyScope): Promise<readonly Key[]> {
  const { control, migration } = scope.context;
  const open = await control.mismatches.list(migration.name, { status: 'open', limit: OPEN_MAX });
  return open
    .filter(({ collection }) => collection === scope.collection.name)
    .map(({ key }) => decodeKey(key));
}

function unique(keys: readonly Key[]): readonly Key[] {
  return [...new Map(keys.map((key) => [encodeKey(key), key])).values()];
}

/** Share of the collection; without statistics or evidence of its size the number alone decides. */
async function tooMany(scope: VerifyScope, keys: number, options: RepairOptions): Promise<boolean> {
  if (keys <= (options.stopKeysMin ?? 100)) return false;
  const { context, collection } = scope;
  const { estimatedRows } = await scope.authority.records.extent(collection.name);
  const evidence = await context.control.evidence.since(context.migration.name, 0);
  const compared = evidence
    .filter((row) => row.collection === collection.name && row.detector === 'verify')
    .reduce((most, row) => Math.max(most, row.compared), 0);
  return keys > Math.max(estimatedRows, compared) * (options.stopRatio ?? 0.01);
}

/** A key that is to be changed on the follower. */
interface Plan {
  readonly key: Key;
  /** The key as the authority spells it: fences go by that. */
  readonly spelled: Key;
  readonly version: Version;
  readonly difference: PairDifference;
  readonly action: 'put' | 'delete';
}

interface Round {
  readonly keys: readonly RepairedKey[];
  readonly reason: VerifyStop | null;
}

async function repairBatch(
  scope: VerifyScope,
  comparator: Comparator,
  keys: readonly Key[],
  mode: 'propose' | 'apply',
  options: RepairOptions,
): Promise<Round> {
  try {
    const { settled, plans } = await planBatch(scope, comparator, keys, options);
    if (mode === 'propose')
      return {
        keys: [...settled, ...plans.map((plan) => resultOf(plan, 'proposed'))],
        reason: null,
      };
    const refused = new Map<string, string>();
    const verdicts = await applyPlans(scope, plans, options.timeoutMs ?? 10_000, refused);
    const written = plans.filter(({ key }) => verdicts.has(encodeKey(key)));
    const failed = plans
      .filter(({ key }) => refused.has(encodeKey(key)))
      .map((plan) => resultOf(plan, 'failed', refused.get(encodeKey(plan.key))));
    const rechecked = await recheckWritten(scope, comparator, written, verdicts, options);
    await forget(scope, settled);
    return { keys: [...settled, ...failed, ...rechecked], reason: null };
  } catch (error) {
    // Authority has moved: what was read is no longer the truth, and the door has refused it.
    if (isChangeoverError(error, 'DOOR_SHUT', 'AUTHORITY_FENCED'))
      return { keys: [], reason: 'state-changed' };
    throw error;
  }
}

/** Re-reads the keys and says what is to be done; busy ones are tried a few times. */
async function planBatch(
  scope: VerifyScope,
  comparator: Comparator,
  keys: readonly Key[],
  options: RepairOptions,
): Promise<{ readonly settled: readonly RepairedKey[]; readonly plans: readonly Plan[] }> {
  const { name } = scope.collection;
  const settled: RepairedKey[] = [];
  const plans: Plan[] = [];
  let open = keys;
  for (let attempt = 1; open.length > 0; attempt++) {
    const batch = open;
    const held = await persistently(scope, () =>
      scope.authority.records.reread(name, batch, scope.begun.epoch),
    );
    const others = await persistently(scope, () => scope.follower.records.read(name, batch));
    const pairs = batch.map((key, index) => ({
      key,
      authority: held[index]?.record ?? null,
      follower: others[index]?.record ?? null,
    }));
    const found = await persistently(scope, () => comparator.compare(pairs));
    open = [];
    batch.forEach((key, index) => {
      const reread = held[index];
      if (reread?.state !== 'read') {
        open = [...open, key];
        return;
      }
      const difference = found[index] ?? null;
      if (difference === null) settled.push(bare(key, 'equal'));
      else if (difference.note !== '' && difference.expected === null)
        settled.push(resultOf({ key, difference, action: 'none' }, 'failed', difference.note));
      else if (difference.kind === 'extra' && !options.deleteExtras)
        settled.push(resultOf({ key, difference, action: 'none' }, 'extra-kept'));
      else
        plans.push({
          key,
          spelled: reread.key,
          version: reread.version,
          difference,
          action: difference.kind === 'extra' ? 'delete' : 'put',
        });
    });
    if (attempt >= BUSY_TRIES || stopReason(scope) !== null) {
      settled.push(...open.map((key) => bare(key, 'busy')));
      break;
    }
    if (open.length > 0) await pause(scope, BUSY_DELAY_MS);
  }
  return { settled, plans };
}

/** Through the door, all at once; when the follower refuses the batch, by halves, down to the record that it refuses. */
async function applyPlans(
  scope: VerifyScope,
  plans: readonly Plan[],
  timeoutMs: number,
  refused: Map<string, string>,
): Promise<ReadonlyMap<string, DoorVerdict>> {
  if (plans.length === 0) return new Map();
  const changes = plans.map(
    ({ spelled, version, difference, action }): Change => ({
      collection: scope.collection.name,
      key: spelled,
      version,
      value: action === 'delete' ? null : difference.expected,
      origin: 'repair',
    }),
  );
  try {
    // Again after a failure of any kind: the door takes the same version twice.
    const verdicts = await persistently(scope, () =>
      scope.follower.door.apply(changes, { epoch: scope.begun.epoch, timeoutMs }),
    );
    return new Map(plans.map(({ key }, index) => [encodeKey(key), verdicts[index] ?? 'stale']));
  } catch (error) {
    if (!isChangeoverError(error, 'STORE_REJECTED')) throw error;
    if (plans.length === 1) {
      refused.set(encodeKey((plans[0] as Plan).key), messageOf(error));
      return new Map();
    }
    const middle = Math.ceil(plans.length / 2);
    const first = await applyPlans(scope, plans.slice(0, middle), timeoutMs, refused);
    const second = await applyPlans(scope, plans.slice(middle), timeoutMs, refused);
    return new Map([...first, ...second]);
  }
}

/** A repair is done when the exact recheck says so, at once and without the usual delays. */
async function recheckWritten(
  scope: VerifyScope,
  comparator: Comparator,
  plans: readonly Plan[],
  verdicts: ReadonlyMap<string, DoorVerdict>,
  options: RepairOptions,
): Promise<readonly RepairedKey[]> {
  if (plans.length === 0) return [];
  const decisions = new Map<string, Decision>();
  const recheck = {
    ...options.recheck,
    delaysMs: [0],
    lagMaxMs: options.recheck?.lagMaxMs ?? 5_000,
  };
  const rechecker = createRechecker(scope, comparator, recheck, (decision) => {
    decisions.set(decision.id, decision);
  });
  const nowMs = scope.context.runtime.clock.now();
  for (const { key } of plans)
    rechecker.suspect(key, { detector: 'repair', firstSeenMs: nowMs, rechecks: 0 });
  await rechecker.drain(0);
  const results = plans.map((plan) => {
    const id = encodeKey(plan.key);
    const decision = decisions.get(id);
    if (decision?.verdict === 'transient')
      return resultOf(plan, verdicts.get(id) === 'applied' ? 'repaired' : 'overtaken');
    const note = decision?.note || 'it differs still after the repair';
    return resultOf(plan, decision?.verdict === 'persistent' ? 'failed' : 'overtaken', note);
  });
  await markRepaired(scope, results);
  return results;
}

async function markRepaired(scope: VerifyScope, results: readonly RepairedKey[]): Promise<void> {
  const { context, collection } = scope;
  const nowMs = context.runtime.clock.now();
  const repaired = results.filter(({ outcome }) => outcome === 'repaired');
  const lines = repaired.map(({ key, kind, fields }) => ({
    collection: collection.name,
    key: encodeKey(key),
    kind: kind ?? ('different' as const),
    status: 'repaired' as const,
    detector: 'repair',
    differences: fields,
    firstSeenMs: nowMs,
    lastSeenMs: nowMs,
    rechecks: 1,
    note: `repaired by ${context.instance}`,
  }));
  if (lines.length > 0)
    await persistently(scope, () =>
      context.control.mismatches.record(context.migration.name, lines),
    );
  for (const { kind } of lines)
    context.events.emit({
      type: 'mismatch',
      collection: collection.name,
      kind,
      status: 'repaired',
    });
}

/** Mismatches that have gone by themselves leave the ledger. */
async function forget(scope: VerifyScope, settled: readonly RepairedKey[]): Promise<void> {
  const { control, migration } = scope.context;
  const gone = settled
    .filter(({ outcome }) => outcome === 'equal')
    .map(({ key }) => ({ collection: scope.collection.name, key: encodeKey(key) }));
  if (gone.length > 0)
    await persistently(scope, () => control.mismatches.drop(migration.name, gone));
}
