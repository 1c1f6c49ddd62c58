import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError, isChangeoverError, messageOf } from '../errors/index.ts';
import {
  type Change,
  type DataRecord,
  decodeKey,
  encodeKey,
  type Key,
  type Version,
} from '../record/index.ts';
import type { DoorVerdict } from '../store/index.ts';
import { type Comparator, createComparator, type PairDifference } from './comparator.ts';
import { persistently } from './pages.ts';
import { createRechecker, type Decision } from './rechecker.ts';
import { forget, markRepaired, type SeenBefore, seenBefore } from './repair-ledger.ts';
import type { RepairedKey, RepairOptions, RepairReport } from './repair-options.ts';
import { bare, countOutcomes, resultOf } from './repair-result.ts';
import { isStopped, repairLimits } from './repair-stop.ts';
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

/**
 * Makes the follower hold what the authority holds *now*, for the given keys or all open mismatches. Each key is read again under its lock (so
 * the version is provably not newer than the value) and goes through the door as origin `repair`: a newer change that has come in meanwhile wins.
 * A record that only the follower has is deleted only with `deleteExtras`, by a tombstone whose version was drawn while the key's absence was
 * seen under its lock (behind a log: a position at which it was absent): an insert that follows is newer and stays. A key is `repaired` when the exact recheck passes.
 *
 * Stops by itself on a change of authority, and when so much differs that it is a bug: see `isStopped`. Safe to run twice, and beside live writes. CONFIG_INVALID
 * where the collection forbids repair.
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
  if (mode === 'apply') refuseWhenOff(scope);
  const seen = await seenBefore(scope, keys, mode);
  const wanted = keys === 'open' ? [...seen.keys()].map(decodeKey) : unique(keys);
  let reason: VerifyStop | null = stopReason(scope);
  if (reason === null && (await isStopped(scope, wanted.length, options)))
    reason = 'too-many-mismatches';
  const comparator = createComparator(scope);
  const done: RepairedKey[] = [];
  const { perSecond } = repairLimits(scope, options);
  const batchRows = Math.min(BATCH_MAX, Math.ceil(perSecond), scope.follower.capabilities.batchMax);
  for (let from = 0; from < wanted.length && reason === null; from += batchRows) {
    const startedAt = clock.monotonic();
    const batch = wanted.slice(from, from + batchRows);
    const round = await repairBatch(scope, comparator, batch, mode, options, seen);
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

function refuseWhenOff({ collection }: VerifyScope): void {
  if (collection.repair?.mode !== 'off') return;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `Repair of "${collection.name}" is off: set collections.${collection.name}.repair.mode to "propose", or correct the follower in another way.`,
    { data: { collection: collection.name } },
  );
}

function unique(keys: readonly Key[]): readonly Key[] {
  return [...new Map(keys.map((key) => [encodeKey(key), key])).values()];
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
  seen: SeenBefore,
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
    const rechecked = await recheckWritten(scope, comparator, written, verdicts, options, seen);
    await forget(scope, settled, seen);
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
      else if (difference.kind === 'extra' && !isOfKey(scope, key, pairs[index]?.follower ?? null))
        settled.push(resultOf({ key, difference, action: 'none' }, 'extra-kept', FOLDED));
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

const FOLDED =
  'the follower takes this key for that of another record (case, accents or blanks at the end do not count there), which is not deleted';

/** What the follower gave is the record of this very key: a collation that folds answers with that of another spelling, which the authority may well have. */
function isOfKey(
  { collection, follower }: VerifyScope,
  key: Key,
  record: DataRecord | null,
): boolean {
  const names = collection[follower.side].key;
  return names.every((name, part) => (record?.[name] ?? key[part]) === key[part]);
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
  seen: SeenBefore,
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
  await markRepaired(scope, results, nowMs, seen);
  return results;
}
