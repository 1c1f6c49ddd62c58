import {
  type AuditEntry,
  type BackfillCheckpoint,
  comparatorsOf,
  describeInstances,
  laggards,
} from '../control/index.ts';
import { counted, fail, pass, unknown } from './answers.ts';
import { followingBegan, phaseEntered } from './following-began.ts';
import type { Gate, GateForecast } from './gate.ts';

/**
 * Every registered router routes by the version at which following began, or a later one. An expired lease does not count as gone: a
 * process that still writes to the source alone would lose its writes for the target for good. The way past a dead one is to attest it gone, by name.
 */
export const everyoneFollows: Gate = {
  name: 'fleet-follows',
  question: 'Does every instance write to both stores, even those that seem dead?',
  overridable: false,
  async evaluate({ context, state }) {
    const began = await followingBegan(context, state);
    if (began === null)
      return unknown('The audit does not tell at which version dual writing began.');
    const { stateVersion } = began;
    const late = await laggards(context, stateVersion);
    const all = [...late.alive, ...late.expired];
    const evidence = { began: stateVersion, late: all.map(({ id }) => id) };
    if (all.length === 0)
      return pass(`All routers acknowledge version ${stateVersion} or later.`, evidence);
    return fail(
      `Dual writing began at version ${stateVersion}; not acknowledged by ${describeInstances(all)}. Attest those that are gone.`,
      evidence,
    );
  },
};

/** Every running router has left the phase before this one. */
export const fleetAcknowledged: Gate = {
  name: 'fleet-acknowledged',
  question: 'Has every running instance taken up the present phase?',
  overridable: true,
  async evaluate({ context, state }) {
    const entered = (await phaseEntered(context, state)) ?? state.version;
    const { alive, expired } = await laggards(context, entered);
    const evidence = {
      entered,
      late: alive.map(({ id }) => id),
      expired: expired.map(({ id }) => id),
    };
    if (alive.length > 0)
      return fail(
        `Version ${entered} is not acknowledged by ${describeInstances(alive)}.`,
        evidence,
      );
    const gone = expired.length > 0 ? `; lease expired: ${describeInstances(expired)}` : '';
    return pass(`All running routers acknowledge version ${entered}${gone}.`, evidence);
  },
};

/** A checkpoint of this generation is finished for each collection. */
export const backfillComplete: Gate = {
  name: 'backfill-complete',
  question: 'Has the backfill copied every collection?',
  overridable: true,
  async evaluate({ context, state }) {
    const open: string[] = [];
    const copying: BackfillCheckpoint[] = [];
    const evidence: Record<string, unknown> = {};
    for (const name of context.migration.collections.keys()) {
      const checkpoint = await context.control.checkpoint(context.migration.name, name);
      const own = checkpoint?.generation === state.generation ? checkpoint : null;
      evidence[name] = own && {
        rowsRead: own.rowsRead,
        rowsInserted: own.rowsInserted,
        rowsDead: own.rowsDead,
      };
      if (own === null) open.push(`${name} has not begun`);
      else if (own.finishedAtMs === null) {
        open.push(`${name} has read ${own.rowsRead} rows`);
        copying.push(own);
      }
    }
    return open.length === 0
      ? pass(
          `Backfill is finished for ${counted(context.migration.collections.size, 'collection')}.`,
          evidence,
        )
      : fail(
          `Backfill is not finished: ${open.join(', ')}.`,
          evidence,
          copyForecast(copying, open.length, context.runtime.clock.now()),
        );
  },
};

/** By the rows of each copy so far and the planner's estimate of what there is. One that has not begun tells nothing. */
function copyForecast(
  copying: readonly BackfillCheckpoint[],
  open: number,
  nowMs: number,
): GateForecast {
  const ends = copying.map(({ rowsRead, estimatedRows, startedAtMs }) => {
    const left = Math.max(0, estimatedRows - rowsRead);
    return rowsRead === 0 ? null : nowMs + (left * (nowMs - startedAtMs)) / rowsRead;
  });
  const known = ends.flatMap((end) => end ?? []);
  if (known.length < open)
    return { atMs: null, text: 'cannot be predicted: a collection has not begun to be copied' };
  return {
    atMs: Math.max(...known),
    text: 'by the rows copied so far and an estimate of the rest',
  };
}

/** What a verify note in the audit says: `detail` of action `verify`. */
interface VerifyNote {
  readonly collections: readonly string[] | null;
  readonly finished: boolean;
  readonly open: number;
  readonly startedAtMs: number;
  /** Collection → fingerprint of the comparator. */
  readonly comparators: Readonly<Record<string, unknown>>;
}

/**
 * Whole collections were compared after the backfill, without a gap in following since, and no mismatch was left. Reads the audit notes
 * `verify` whose detail is `{ generation, collections, finished, open, startedAtMs, comparators }`. One by another comparator than that of now, or by one that
 * it does not name, proves nothing.
 */
export const verifyPassed: Gate = {
  name: 'verify-passed',
  question: 'Were all collections compared in full, and equal?',
  overridable: true,
  async evaluate({ context, state }) {
    const began = await followingBegan(context, state);
    if (began === null)
      return unknown('The audit does not tell since when the follower has had every change.');
    const notes = began.since.flatMap((entry) => verifyNote(entry, state.generation));
    const now = comparatorsOf(context.migration, context.runtime.clock.now());
    const lacking: string[] = [];
    const differing: string[] = [];
    const outdated: string[] = [];
    for (const name of context.migration.collections.keys()) {
      const checkpoint = await context.control.checkpoint(context.migration.name, name);
      const copied = checkpoint?.generation === state.generation ? checkpoint.finishedAtMs : null;
      const note = notes.find(
        ({ collections, finished, startedAtMs }) =>
          finished && (collections?.includes(name) ?? true) && startedAtMs >= (copied ?? 0),
      );
      if (note === undefined) lacking.push(name);
      else if (note.comparators[name] !== now[name]) outdated.push(name);
      else if (note.open > 0) differing.push(`${name} (${note.open})`);
    }
    const evidence = { notes: notes.length, lacking, differing, outdated };
    if (differing.length > 0)
      return fail(
        `The last comparison left mismatches: ${differing.join(', ')}. Repair and verify again.`,
        evidence,
      );
    if (lacking.length > 0)
      return unknown(
        `Not compared in full since the backfill: ${lacking.join(', ')}. Run verify.`,
        evidence,
      );
    if (outdated.length > 0)
      return unknown(
        `Compared in full, but by another comparator (mapping, transformVersion, exemptions or release): ${outdated.join(', ')}. Run verify.`,
        evidence,
      );
    return pass('Every collection was compared in full and was equal.', evidence);
  },
};

/** Every collection was compared in full by the comparator of now, and left equal, by comparisons that began after `sinceMs`. */
export function verifiedSince(
  entries: readonly AuditEntry[],
  generation: number,
  comparators: Readonly<Record<string, string>>,
  sinceMs: number,
): boolean {
  const notes = entries.flatMap((entry) => verifyNote(entry, generation));
  return Object.entries(comparators).every(([name, comparator]) =>
    notes.some(
      (note) =>
        note.finished &&
        note.open === 0 &&
        note.startedAtMs > sinceMs &&
        note.comparators[name] === comparator &&
        (note.collections?.includes(name) ?? true),
    ),
  );
}

function verifyNote({ action, detail, atMs }: AuditEntry, generation: number): VerifyNote[] {
  if (action !== 'verify' || (detail['generation'] ?? generation) !== generation) return [];
  const { collections, collection, finished, open, startedAtMs, comparators } = detail;
  // Without a count nothing is proven.
  if (typeof open !== 'number') return [];
  const one = typeof collection === 'string' ? [collection] : null;
  return [
    {
      collections: Array.isArray(collections) ? collections.map(String) : one,
      finished: finished !== false,
      open,
      startedAtMs: typeof startedAtMs === 'number' ? startedAtMs : atMs,
      comparators:
        typeof comparators === 'object' && comparators !== null
          ? (comparators as Readonly<Record<string, unknown>>)
          : {},
    },
  ];
}
