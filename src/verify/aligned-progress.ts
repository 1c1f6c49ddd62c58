import { comparatorFingerprint } from '../control/index.ts';
import { dispositionOf } from '../errors/index.ts';
import type { Key } from '../record/index.ts';
import type { KeyRange } from '../store/index.ts';
import type { ProofGap, ProofPlace, ProofWay } from './proof.ts';
import type { ProofLeaf } from './proof-digest.ts';
import { type CountsNow, noCounts } from './verify-counts.ts';
import type { VerifyScope } from './verify-scope.ts';

/** Why a key was handed to the rechecker. */
export type Doubt = 'aligned' | 'hot' | 'queued' | 'recheck';

/** How far a comparison at one position has come: written after each segment, JSON-able. What is not in it is done again. */
export interface AlignedState {
  readonly startedAtMs: number;
  /** Everything of the range up to this key is done. */
  readonly after: Key | null;
  /** The whole range is done; keys may be left. */
  readonly ended: boolean;
  readonly counts: CountsNow;
  readonly segments: number;
  readonly first: ProofPlace | null;
  readonly last: ProofPlace | null;
  readonly follower: string | null;
  readonly records: number;
  readonly digested: number;
  readonly ways: readonly ProofWay[];
  readonly leaves: readonly ProofLeaf[];
  readonly ranges: readonly ProofGap[];
  readonly rangesTotal: number;
  readonly hotKeys: number;
  readonly queuedKeys: number;
  readonly overruled: number;
  readonly resumed: number;
  /** Keys that moved on, and how often. */
  readonly moved: readonly (readonly [key: Key, looks: number])[];
  /** Keys that the rechecker has not decided. */
  readonly pending: readonly (readonly [key: Key, doubt: Doubt])[];
}

const begunAt = (startedAtMs: number): AlignedState => ({
  startedAtMs,
  after: null,
  ended: false,
  counts: noCounts,
  segments: 0,
  first: null,
  last: null,
  follower: null,
  records: 0,
  digested: 0,
  ways: [],
  leaves: [],
  ranges: [],
  rangesTotal: 0,
  hotKeys: 0,
  queuedKeys: 0,
  overruled: 0,
  resumed: 0,
  moved: [],
  pending: [],
});

/** The progress of one verification, in the control store. */
export interface AlignedProgress {
  readonly state: AlignedState;
  change(change: Partial<AlignedState>): void;
  /** Writes it down. A control store that is away is no reason to stop; another process that verifies the same is, for writing. */
  save(): Promise<void>;
  /** The next verification begins anew. */
  finish(): Promise<void>;
}

/** A progress that nobody can go on with. */
export function passingProgress(startedAtMs: number): AlignedProgress {
  let state = begunAt(startedAtMs);
  return {
    get state() {
      return state;
    },
    change(change) {
      state = { ...state, ...change };
    },
    save: async () => {},
    finish: async () => {},
  };
}

/**
 * What an earlier process has left of the same comparison (range, generation, epoch, comparator) and not finished, when it is younger than `resumeMs`;
 * else from the beginning. Throws when the control store cannot be read.
 */
export async function openProgress(
  scope: VerifyScope,
  range: KeyRange,
  resumeMs: number,
): Promise<AlignedProgress> {
  const { context, collection, begun } = scope;
  const { control, migration, runtime } = context;
  const name = `verify aligned ${collection.name}`;
  const nowMs = runtime.clock.now();
  const { generation, epoch } = begun;
  const of = JSON.stringify([
    generation,
    epoch,
    comparatorFingerprint(collection, nowMs),
    range.after,
    range.until,
  ]);
  const memo = await control.memos.read(migration.name, name);
  const left = memo?.body as { readonly of?: string; readonly state?: AlignedState } | undefined;
  const usable =
    left?.of === of && left.state !== undefined && nowMs - left.state.startedAtMs < resumeMs;
  let state: AlignedState =
    usable && left?.state
      ? { ...begunAt(nowMs), ...left.state, resumed: left.state.resumed + 1 }
      : { ...begunAt(nowMs), after: range.after };
  let version: number | null = memo?.version ?? 0;
  const write = async (body: Readonly<Record<string, unknown>>): Promise<void> => {
    if (version === null) return;
    try {
      const written = await control.memos.write(migration.name, name, body, version);
      version = written ? version + 1 : null;
    } catch (error) {
      if (dispositionOf(error) !== 'retry') throw error;
    }
  };
  return {
    get state() {
      return state;
    },
    change(change) {
      state = { ...state, ...change };
    },
    save: () => write({ of, state }),
    finish: () => write({ of: null }),
  };
}
