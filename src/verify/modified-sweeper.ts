import type { MigrationContext } from '../control/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import type { ModifiedSetting } from '../migration/index.ts';
import { decodeKey, encodeKey } from '../record/index.ts';
import type { ModifiedRange, ModifiedRows } from '../store/index.ts';
import { createDetector, type Looked, nothingLooked } from './detector.ts';
import { pairsByKey, persistently } from './pages.ts';
import { noteRun } from './reconciliation.ts';
import { type ScopeOptions, stopReason, type VerifyScope, verifyScope } from './verify-scope.ts';

/** Name of the sweeper in evidence and ledger. */
export const modifiedDetector = 'modified';

export interface SweeperOptions extends ScopeOptions {
  /** Waits until so many more records may be compared; false: the work is not wanted any more. Default: at once. */
  readonly pace?: (records: number, signal: AbortSignal) => Promise<boolean>;
}

/** Compares what one collection says was changed since the last sweep, in turns. Ends with its scope. */
export interface ModifiedSweeper {
  readonly isOpen: boolean;
  /** Compares the next records of the sweep that is under way, or of one that is due. Nothing compared: none is due. */
  turn(): Promise<Looked>;
}

const TURN_RECORDS = 200;
/** Between the look at open transactions and the mark. */
const LOOK_MS = 1_000;
const NOTE_MS = 3_600_000;

/** One sweep that is under way. */
interface Sweep {
  readonly from: string;
  readonly backMs: number;
  readonly until: string;
  /** Age of the oldest transaction that was open at `until`; null: not told. */
  readonly openMs: number | null;
  readonly after: { readonly at: string; readonly key: string } | null;
}

/** What is kept between turns and processes. */
interface SweeperPlace {
  readonly generation: number;
  readonly authority: string;
  readonly column: string;
  /** Everything up to this time was compared, but for what commits late; null: not begun. */
  readonly mark: string | null;
  readonly markOpenMs: number | null;
  readonly sweep: Sweep | null;
  readonly endedAtMs: number;
  /** Since the last entry in the audit. */
  readonly notedAtMs: number;
  readonly compared: number;
  readonly suspects: number;
}

/**
 * The sweeper of one collection: every interval it compares what the authority's column says was changed. A sweep begins behind the mark of the last one by the overlap, for clocks that
 * differ, and by the age of the oldest transaction that was open then: a transaction usually writes the time of its beginning and is seen at its end. The first sweep only sets the
 * mark: what was before is for the verification.
 *
 * **It cannot see** deletes, changes that do not touch the column, NULL in it, changes of child rows that leave the root alone, and a transaction whose age this role is not told
 * and that is open for longer than the overlap. The parity worker and the verification see them.
 */
export function createModifiedSweeper(
  context: MigrationContext,
  collection: string,
  setting: ModifiedSetting,
  options: SweeperOptions,
  signal: AbortSignal,
): ModifiedSweeper {
  const scope = verifyScope(context, collection, options, signal);
  const column = setting[scope.authority.side];
  const rows = scope.authority.modified;
  if (column === null || !rows) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `There is no sweeper of "${collection}" on the ${scope.authority.side}: ${column === null ? 'no column is named' : `a ${scope.authority.engine} store has none`}.`,
    );
  }
  return new SweeperTurns(scope, rows, column, setting, options);
}

class SweeperTurns implements ModifiedSweeper {
  readonly #scope: VerifyScope;
  readonly #rows: ModifiedRows;
  readonly #column: string;
  readonly #setting: ModifiedSetting;
  readonly #options: SweeperOptions;
  readonly #detector: ReturnType<typeof createDetector>;
  readonly #memoName: string;
  #place: SweeperPlace | null = null;
  #version = 0;

  constructor(
    scope: VerifyScope,
    rows: ModifiedRows,
    column: string,
    setting: ModifiedSetting,
    options: SweeperOptions,
  ) {
    this.#scope = scope;
    this.#rows = rows;
    this.#column = column;
    this.#setting = setting;
    this.#options = options;
    this.#detector = createDetector(scope, modifiedDetector);
    this.#memoName = `modified-sweep ${scope.collection.name}`;
  }

  get isOpen(): boolean {
    return stopReason(this.#scope) === null;
  }

  async turn(): Promise<Looked> {
    const place = this.#place ?? (await this.#open());
    const { pace } = this.#options;
    const begun = place.sweep === null ? await this.#begin(place) : place;
    if (begun === null || begun.sweep === null) return nothingLooked;
    if (pace && !(await pace(TURN_RECORDS, this.#scope.signal))) return nothingLooked;
    try {
      return await this.#compare(begun, begun.sweep);
    } finally {
      await this.#detector.flush();
    }
  }

  async #open(): Promise<SweeperPlace> {
    const { context, begun, authority } = this.#scope;
    const memo = await context.control.memos.read(context.migration.name, this.#memoName);
    this.#version = memo?.version ?? 0;
    const found = memo?.body as SweeperPlace | undefined;
    const same =
      found?.generation === begun.generation &&
      found.authority === authority.side &&
      found.column === this.#column;
    const place: SweeperPlace =
      found && same
        ? found
        : {
            generation: begun.generation,
            authority: authority.side,
            column: this.#column,
            mark: null,
            markOpenMs: null,
            sweep: null,
            endedAtMs: Number.MIN_SAFE_INTEGER,
            notedAtMs: context.runtime.clock.now(),
            compared: 0,
            suspects: 0,
          };
    this.#place = place;
    return place;
  }

  /** The next sweep, or the first mark; null: none is due. */
  async #begin(place: SweeperPlace): Promise<SweeperPlace | null> {
    const { collection, context } = this.#scope;
    const now = context.runtime.clock.now();
    const sinceMs = now - place.endedAtMs;
    // A clock that was set back is no reason to wait until it has come there again.
    if (sinceMs >= 0 && sinceMs < this.#setting.everySeconds * 1_000) return null;
    const { newest, openMs } = await persistently(this.#scope, () =>
      this.#rows.horizon(collection.name, this.#column),
    );
    // Nothing has a time yet.
    if (newest === null) return this.#keep({ ...place, endedAtMs: now });
    if (place.mark === null)
      return this.#keep({ ...place, mark: newest, markOpenMs: openMs, endedAtMs: now });
    const backMs = this.#setting.overlapSeconds * 1_000 + (place.markOpenMs ?? 0) + LOOK_MS;
    const sweep = { from: place.mark, backMs, until: newest, openMs, after: null };
    return this.#keep({ ...place, sweep });
  }

  async #compare(place: SweeperPlace, sweep: Sweep): Promise<Looked> {
    const { collection, context } = this.#scope;
    const range: ModifiedRange = {
      from: sweep.from,
      backMs: sweep.backMs,
      until: sweep.until,
      after: sweep.after && { at: sweep.after.at, key: decodeKey(sweep.after.key) },
    };
    const found = await persistently(this.#scope, () =>
      this.#rows.keys(collection.name, this.#column, range, TURN_RECORDS),
    );
    let looked = nothingLooked;
    const keys = found.map(({ key }) => key);
    for await (const pairs of pairsByKey(this.#scope, keys, TURN_RECORDS))
      looked = await this.#detector.look(pairs);
    const counted = {
      ...place,
      compared: place.compared + looked.compared,
      suspects: place.suspects + looked.suspects,
    };
    const last = found.at(-1);
    if (found.length === TURN_RECORDS && last) {
      const after = { at: last.at, key: encodeKey(last.key) };
      await this.#keep({ ...counted, sweep: { ...sweep, after } });
      return looked;
    }
    const ended = {
      ...counted,
      mark: sweep.until,
      markOpenMs: sweep.openMs,
      sweep: null,
      endedAtMs: context.runtime.clock.now(),
    };
    await this.#end(ended);
    return looked;
  }

  /** An entry in the audit when something was found, or once an hour. */
  async #end(ended: SweeperPlace): Promise<void> {
    const { notedAtMs, compared, suspects, endedAtMs } = ended;
    const note = suspects > 0 || endedAtMs - notedAtMs >= NOTE_MS;
    const kept = await this.#keep(
      note ? { ...ended, notedAtMs: endedAtMs, compared: 0, suspects: 0 } : ended,
    );
    if (!note || kept === null) return;
    const { context, collection, begun } = this.#scope;
    await noteRun(context, begun.generation, {
      kind: 'modified-sweep',
      collection: collection.name,
      reason: `what "${this.#column}" says was changed was compared`,
      startedAtMs: notedAtMs,
      counts: { compared, suspects },
    });
  }

  /** null: another process has gone on; its place is read with the next turn. */
  async #keep(next: SweeperPlace): Promise<SweeperPlace | null> {
    const { control, migration } = this.#scope.context;
    const kept = await persistently(this.#scope, () =>
      control.memos.write(migration.name, this.#memoName, { ...next }, this.#version),
    );
    this.#place = kept ? next : null;
    if (!kept) return null;
    this.#version += 1;
    return next;
  }
}
