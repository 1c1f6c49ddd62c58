import { presentStream, type StreamEnds } from '../capture/index.ts';
import { isChangeoverError, messageOf } from '../errors/index.ts';
import type { LogCheckpoint } from '../log/index.ts';
import type { RecordSnapshot, SnapshotPlace, SnapshotSource } from '../store/index.ts';
import { type AlignedOptions, type AlignedSabotage, alignedDefaults } from './aligned-options.ts';
import { pause, stopReason, type VerifyScope } from './verify-scope.ts';

/** What a comparison in pairs of snapshots needs of both stores. */
export interface PairScope {
  readonly scope: VerifyScope;
  readonly authority: SnapshotSource;
  readonly follower: SnapshotSource;
  readonly options: Required<AlignedOptions>;
}

/** The same where the follower reads the authority's log. */
export interface AlignedScope extends PairScope {
  readonly ends: StreamEnds;
}

/** Why there is no common position. `lasting`: nor will there be one later. */
export interface NotAligned {
  readonly reason: string;
  readonly lasting: boolean;
}

/** The authority at a place, and the follower when it had come there. Nothing is held for them. */
export interface AlignedPair {
  readonly authority: RecordSnapshot;
  readonly follower: RecordSnapshot;
  readonly place: SnapshotPlace;
  /** Where the follower stood just before its snapshot. */
  readonly reached: string;
  /** False when it is time to come to an end with these snapshots: they grow old, or a change of authority has begun. */
  isYoung(): boolean;
  /** Idempotent, never throws. */
  close(): Promise<void>;
}

/** None, and there will be none. */
export const lasting = (reason: string): NotAligned => ({ reason, lasting: true });

/** Both stores open snapshots, or which does not. */
export function pairScope(scope: VerifyScope, options: AlignedOptions): PairScope | NotAligned {
  const { authority, follower } = scope;
  for (const { snapshots, side, engine } of [authority, follower])
    if (!snapshots) return lasting(`the ${side} (${engine}) opens no snapshots`);
  if (!authority.snapshots || !follower.snapshots) return lasting('there are no snapshots');
  return {
    scope,
    authority: authority.snapshots,
    follower: follower.snapshots,
    options: { ...alignedDefaults, ...options },
  };
}

/** How a collection that is captured from the log can be compared at one position, or why it cannot. */
export function alignedScope(
  scope: VerifyScope,
  options: AlignedOptions,
): AlignedScope | NotAligned {
  const pair = pairScope(scope, options);
  if (isNotAligned(pair)) return pair;
  const ends = presentStream(scope.context, scope.begun);
  return ends === null ? lasting('nothing is captured from the log') : { ...pair, ends };
}

export const isNotAligned = (one: object): one is NotAligned => 'lasting' in one;

const LOOK_MS = 10;

/**
 * Until the follower has everything up to and including `sequence`; where it stands then, or null when that takes longer than `waitMs` or the work has to
 * end. An idle log is given something to move on by.
 */
export async function reaches(
  { scope, ends }: AlignedScope,
  sequence: bigint,
  waitMs: number,
): Promise<LogCheckpoint | null> {
  const { clock, random } = scope.context.runtime;
  const until = clock.monotonic() + waitMs;
  for (let look = 0; ; look++) {
    const checkpoint = await ends.door.checkpoint(ends.stream);
    if (checkpoint !== null && checkpoint.position.sequence >= sequence) return checkpoint;
    if (stopReason(scope) !== null || clock.monotonic() >= until) return null;
    if (look === 0) await ends.log.challenge(random.id());
    await pause(scope, LOOK_MS);
  }
}

/**
 * First the authority, with its place in the log; then, when the follower has come there, the follower. A log that was reset is no common position, though the
 * follower seems to stand far behind its end. Throws what the stores throw.
 */
export async function openPair(aligned: AlignedScope): Promise<AlignedPair | NotAligned> {
  const { ends, options } = aligned;
  const behind = `the follower was still behind the log after ${options.lagMs} ms`;
  if (!(await calm(aligned))) return switching;
  // Without a snapshot: those of a follower that is late would grow old for nothing.
  const now = await ends.log.end();
  if ((await reaches(aligned, now.sequence, options.lagMs)) === null)
    return { reason: behind, lasting: false };
  if ((await ends.log.retention(ends.stream)).state === 'lost')
    return lasting('the log between the two stores is lost');
  const authority = await openAuthority(aligned);
  if (isNotAligned(authority)) return authority;
  try {
    const place = await placeOf(aligned, authority);
    const early = has(aligned, 'follower-too-early');
    const waitMs = Math.min(options.lagMs, options.snapshotMs / 2);
    const checkpoint = await reaches(aligned, early ? 0n : place.until, waitMs);
    if (checkpoint === null) {
      await authority.close();
      return { reason: behind, lasting: false };
    }
    const { snapshotMs, openMs } = options;
    const follower = await aligned.follower.open({
      collections: [aligned.scope.collection.name],
      placed: false,
      openMs,
      ageMs: snapshotMs,
    });
    return pairOf(aligned, authority, follower, { place, reached: checkpoint.position.text });
  } catch (error) {
    await authority.close();
    throw error;
  }
}

/** A pair that is young from now on. */
export function pairOf(
  { scope, options }: PairScope,
  authority: RecordSnapshot,
  follower: RecordSnapshot,
  where: Pick<AlignedPair, 'place' | 'reached'>,
): AlignedPair {
  const { clock } = scope.context.runtime;
  const youngUntil = clock.monotonic() + options.snapshotMs / 3;
  return {
    authority,
    follower,
    ...where,
    isYoung: () => clock.monotonic() < youngUntil && !isSwitching(scope),
    async close() {
      await Promise.all([authority.close(), follower.close()]);
    },
  };
}

export const switching: NotAligned = {
  reason: 'a change of authority is under way',
  lasting: false,
};

/** No change of authority is under way: its steps lock tables, and on MariaDB a snapshot that has read them is in their way. Waits for that. */
export async function calm({ scope, options }: PairScope): Promise<boolean> {
  const { clock } = scope.context.runtime;
  const until = clock.monotonic() + options.lagMs;
  while (isSwitching(scope) && stopReason(scope) === null && clock.monotonic() < until)
    await pause(scope, CALM_MS);
  return !isSwitching(scope);
}

const CALM_MS = 100;
const isSwitching = ({ currentState }: VerifyScope): boolean => currentState().cutover !== null;

async function openAuthority(aligned: AlignedScope): Promise<RecordSnapshot | NotAligned> {
  const { snapshotMs, openMs } = aligned.options;
  try {
    return await aligned.authority.open({
      collections: [aligned.scope.collection.name],
      placed: true,
      openMs,
      ageMs: snapshotMs,
    });
  } catch (error) {
    if (isChangeoverError(error, 'LOG_UNSUPPORTED')) return lasting(messageOf(error));
    if (isChangeoverError(error, 'STORE_CONFLICT'))
      return { reason: messageOf(error), lasting: false };
    throw error;
  }
}

async function placeOf(aligned: AlignedScope, authority: RecordSnapshot): Promise<SnapshotPlace> {
  const { ends } = aligned;
  if (!has(aligned, 'place-beside') && authority.place !== null) return authority.place;
  const { sequence, text } = await ends.log.end();
  return { from: sequence, until: sequence, text };
}

/** True when the defect is wanted. */
export const has = ({ options }: PairScope, defect: AlignedSabotage): boolean =>
  options.sabotage.includes(defect);
