import {
  type ChunkRow,
  type CommitRecord,
  type FenceRow,
  type MemoryDatabase,
  type MemoryLayout,
  memoryLayout,
  readRecord,
} from '../../adapters/memory/index.ts';
import {
  authorityOf,
  type Migration,
  type MigrationState,
  otherSide,
  type Side,
} from '../../migration/index.ts';
import { compareVersions, type DataRecord, type Row } from '../../record/index.ts';
import type { GuardState } from '../../store/index.ts';
import { guardFault } from './guard-truth.ts';
import { type LogStep, placeOf, stepsOf } from './log-truth.ts';
import type { Scheduler } from './scheduler.ts';
import { Violation } from './violation.ts';

/** One state of a record in the authority's commit order, whichever store was the authority. */
export interface HistoryEntry {
  readonly at: number;
  readonly side: Side;
  readonly client: string;
  /** In each store's shape as canonical text; null: it does not exist. */
  readonly text: Readonly<Record<Side, string | null>>;
  /** The stamp of the write that made it; null for deletes. */
  readonly stamp: string | null;
  /** In the log of its store. */
  readonly position: bigint;
  /** In the follower's shape: after each change in its transaction, see `stepsOf`. */
  readonly steps: readonly (string | null)[];
}

/** A key and what became of it. */
interface KeyTruth {
  readonly collection: string;
  readonly key: string;
  readonly history: HistoryEntry[];
  /** Index in `history` that each store is known to have reached; -1: not even the first. */
  readonly reached: Record<Side, number>;
  /** How far the log has brought it within a transaction. */
  readonly steps: Record<Side, LogStep | null>;
}

export interface TruthOptions {
  readonly scheduler: Scheduler;
  readonly migration: Migration;
  readonly databases: Readonly<Record<Side, MemoryDatabase>>;
  /** Called with each violation; the world stops. */
  readonly onViolation: (violation: Violation) => void;
}

/**
 * The truth of a simulated world, from the commits of both databases and the states of the control store, never from what an engine
 * claims. Judges with every commit: G3 (fence and value never go back), G4 (nothing comes back from the dead), G5 (only the
 * authority of the published epoch commits writes, and guards are moved by the attempt that is under way). The rest is judged when somebody asks.
 */
export class Truth {
  /** Latest published state; null before the first. */
  state: MigrationState | null = null;
  private readonly options: TruthOptions;
  private readonly keys = new Map<string, KeyTruth>();
  /** Epoch → whose log its versions are positions of. */
  private readonly authorities = new Map<number, Side>();
  private readonly layouts: Readonly<Record<Side, MemoryLayout>>;
  /** Table → collection and whether it is a child table. */
  private readonly tables: Readonly<Record<Side, ReadonlyMap<string, string>>>;

  constructor(options: TruthOptions) {
    this.options = options;
    const { migration, databases } = options;
    this.layouts = {
      source: memoryLayout(migration.name, 'source'),
      target: memoryLayout(migration.name, 'target'),
    };
    this.tables = { source: tablesOf(migration, 'source'), target: tablesOf(migration, 'target') };
    for (const side of ['source', 'target'] as const) {
      databases[side].onCommit((commit) => this.onCommit(side, commit));
    }
  }

  historyOf(collection: string, key: string): readonly HistoryEntry[] {
    return this.keys.get(`${collection} ${key}`)?.history ?? [];
  }

  /** Index of the write with this stamp in the history of its key; -1: it never happened. */
  indexOfStamp(collection: string, key: string, stamp: string): number {
    return this.historyOf(collection, key).findIndex((entry) => entry.stamp === stamp);
  }

  /** The newest index that the text may stand for; -1: none. */
  newestIndexOf(collection: string, key: string, side: Side, text: string | null): number {
    return this.historyOf(collection, key).findLastIndex((entry) => entry.text[side] === text);
  }

  allKeys(): readonly { readonly collection: string; readonly key: string }[] {
    return [...this.keys.values()];
  }

  /** Canonical text of a record in a store's shape. */
  textOf(record: DataRecord | null): string | null {
    return canonicalText(record);
  }

  /** What a store holds now: all that cannot be taken back, visible or not. */
  stored(side: Side, collection: string, key: string): string | null {
    const shape = this.options.migration.collections.get(collection)![side];
    return canonicalText(readRecord(durableView(this.options.databases[side]), shape, key));
  }

  /** The stamp in what a store holds now; null: no such record, or one without a stamp. */
  stampIn(side: Side, collection: string, key: string): string | null {
    const shape = this.options.migration.collections.get(collection)![side];
    const stamp = readRecord(durableView(this.options.databases[side]), shape, key)?.['stamp'];
    return typeof stamp === 'string' ? stamp : null;
  }

  /** The control store has published a state. Judges, at a change of authority, that the new one has everything. */
  onState(state: MigrationState): void {
    const before = this.state;
    this.state = state;
    this.authorities.set(state.epoch, authorityOf(state.phase));
    this.say(
      `state ${state.version}: ${state.phase} epoch ${state.epoch} dial ${state.dialBasisPoints}`,
    );
    if (before === null || authorityOf(before.phase) === authorityOf(state.phase)) return;
    const authority = authorityOf(state.phase);
    const follower = otherSide[authority];
    for (const truth of this.keys.values()) {
      const last = truth.history.at(-1);
      if (!last) continue;
      truth.reached[follower] = truth.history.length - 1;
      const found = this.stored(authority, truth.collection, truth.key);
      if (found === last.text[authority]) continue;
      this.violate(
        'G1',
        truth,
        `the ${authority} became the authority with ${found}, the last write was ${last.text[authority]}`,
      );
    }
  }

  private onCommit(side: Side, commit: CommitRecord): void {
    const touched = new Map<string, { readonly collection: string; readonly key: string }>();
    const { fences, guard } = this.layouts[side];
    for (const { table, id, before, after } of commit.changes) {
      if (table === guard.name) this.judgeGuard(side, before, after);
      if (table === fences.name) {
        const at = id.indexOf(' ');
        const of = { collection: id.slice(0, at), key: id.slice(at + 1) };
        touched.set(id, of);
        this.judgeFence(of, before as FenceRow | undefined, after as FenceRow | undefined);
        continue;
      }
      const collection = this.tables[side].get(table);
      if (collection === undefined) continue;
      const key = id.split('\u0001')[0]!;
      touched.set(`${collection} ${key}`, { collection, key });
    }
    this.judgeChunks(side, commit);
    for (const { collection, key } of touched.values()) {
      const truth = this.truthOf(collection, key);
      if (commit.mark?.kind === 'door') this.observe(side, truth, commit);
      else this.append(side, truth, commit);
    }
  }

  /** A chunk's write belongs to whoever began it last, and happens once: later ones may insert what has been deleted since. */
  private judgeChunks(side: Side, commit: CommitRecord): void {
    if (commit.mark?.kind !== 'door') return;
    const { chunks } = this.layouts[side];
    for (const change of commit.changes) {
      if (change.table !== chunks.name) continue;
      const before = change.before as ChunkRow | undefined;
      if (before?.state === 'in flight' && before.owner === commit.client) continue;
      this.violate(
        'G4',
        { collection: change.id, key: '' },
        `${commit.client} wrote a chunk that is ${before?.state} for ${before?.owner}`,
      );
    }
  }

  private judgeGuard(side: Side, before: unknown, after: unknown): void {
    if (this.state === null || before === undefined || after === undefined) return;
    const fault = guardFault(this.state, side, before as GuardState, after as GuardState);
    if (fault) this.violate('G5', { collection: 'the guard of the ', key: side }, fault);
  }

  private judgeFence(
    of: { readonly collection: string; readonly key: string },
    before: FenceRow | undefined,
    after: FenceRow | undefined,
  ): void {
    if (!before || !after || compareVersions(after, before) >= 0) return;
    this.violate(
      'G3',
      of,
      `the fence went from ${before.epoch}.${before.sequence} to ${after.epoch}.${after.sequence}`,
    );
  }

  /** A write to a store by anybody but the door. */
  private append(side: Side, truth: KeyTruth, commit: CommitRecord): void {
    const { migration, scheduler } = this.options;
    const collection = migration.collections.get(truth.collection)!;
    const shape = collection[side];
    const record = readRecord(durableView(this.options.databases[side]), shape, truth.key);
    const other = otherSide[side];
    const transform = side === 'source' ? collection.forward : collection.backward;
    const text = {
      [side]: canonicalText(record),
      [other]: canonicalText(record && transform(record)),
    } as Record<Side, string | null>;
    const stamp = typeof record?.['stamp'] === 'string' ? record['stamp'] : null;
    const { position, client } = commit;
    const steps = stepsOf(commit.rows, shape, truth.key).map((step) =>
      canonicalText(step && transform(step)),
    );
    truth.history.push({ at: scheduler.now, side, client, text, stamp, position, steps });
    truth.reached[side] = truth.history.length - 1;
    this.say(
      `truth ${truth.collection}${truth.key} [${truth.history.length - 1}] = ${stamp} on ${side}`,
    );
    const { state } = this;
    if (state === null) return;
    if (authorityOf(state.phase) !== side) {
      this.violate(
        'G5',
        truth,
        `${commit.client} committed ${stamp ?? 'a delete'} on the ${side} in epoch ${state.epoch}, where the ${other} is the authority`,
      );
    } else if (commit.mark?.kind === 'journalled' && commit.mark.epoch !== state.epoch) {
      this.violate(
        'G5',
        truth,
        `${commit.client} committed ${stamp ?? 'a delete'} routed by epoch ${commit.mark.epoch} in epoch ${state.epoch}`,
      );
    }
  }

  /** The door has let something in, or raised a fence. */
  private observe(side: Side, truth: KeyTruth, commit: CommitRecord): void {
    if (this.state !== null && authorityOf(this.state.phase) === side) {
      this.violate('G5', truth, `${commit.client} came through the door of the authority`);
      return;
    }
    const text = this.stored(side, truth.collection, truth.key);
    const { history, reached } = truth;
    const from = reached[side];
    const logged = this.options.migration.collections.get(truth.collection)!.capture === 'log';
    if (logged) {
      this.observeLogged(side, truth, commit, text);
      return;
    }
    const index = history.findIndex((entry, at) => at >= from && entry.text[side] === text);
    this.say(`door ${side} ${truth.collection}${truth.key} -> [${index}]`);
    if (index >= 0) {
      // What a chunk inserts has version 0: a change that was read before the chunk may still replace it, and the newer one follows.
      if (!this.isChunk(side, commit)) reached[side] = index;
      return;
    }
    if (text === null && from < 0) return;
    const older = history.findIndex((entry) => entry.text[side] === text);
    const failClosed =
      this.options.migration.collections.get(truth.collection)!.failureMode === 'fail-closed';
    // Fail-closed: the follower commits first; if the authority then does not, the intent brings it right again.
    if (failClosed && (older < 0 || text === null)) return;
    const dead = history[from]?.text[side] === null;
    this.violate(
      dead ? 'G4' : 'G3',
      truth,
      older < 0
        ? `${commit.client} brought ${text} to the ${side}, which the authority never had`
        : `${commit.client} brought state [${older}] to the ${side}, which had reached [${from}]`,
    );
  }

  private observeLogged(
    side: Side,
    truth: KeyTruth,
    commit: CommitRecord,
    text: string | null,
  ): void {
    const { fences } = this.layouts[side];
    const { history, reached, steps } = truth;
    const fence =
      this.options.databases[side].durable(fences, `${truth.collection} ${truth.key}`) ?? null;
    const place = placeOf(history, {
      side,
      text,
      fence,
      authority: fence ? this.authorities.get(fence.epoch) : undefined,
      reached: reached[side],
      lastStep: steps[side],
    });
    const name = `${truth.collection}${truth.key}`;
    const at = fence ? `${fence.epoch}.${fence.sequence}` : 'no fence';
    this.say(`door ${side} ${name} -> [${place?.index ?? '?'}] at ${at}`);
    if (place) {
      if (place.step) steps[side] = place.step;
      return;
    }
    const older = history.findIndex((entry) => entry.text[side] === text);
    const dead = text !== null && this.isDead(truth, side, fence);
    this.violate(
      dead ? 'G4' : 'G3',
      truth,
      older < 0
        ? `${commit.client} brought ${text} to the ${side}, which the authority never had`
        : `${commit.client} brought state [${older}] to the ${side}, whose fence is ${at}`,
    );
  }

  /** What the fence stands for was deleted. */
  private isDead(truth: KeyTruth, side: Side, fence: FenceRow | null): boolean {
    if (!fence) return false;
    const authority = this.authorities.get(fence.epoch);
    const last = truth.history.findLast(
      (entry) => entry.side === authority && entry.position <= fence.sequence,
    );
    return last?.text[side] === null;
  }

  private isChunk(side: Side, commit: CommitRecord): boolean {
    return commit.changes.some(({ table }) => table === this.layouts[side].chunks.name);
  }

  private truthOf(collection: string, key: string): KeyTruth {
    const id = `${collection} ${key}`;
    let truth = this.keys.get(id);
    if (!truth) {
      truth = {
        collection,
        key,
        history: [],
        reached: { source: -1, target: -1 },
        steps: { source: null, target: null },
      };
      this.keys.set(id, truth);
    }
    return truth;
  }

  private violate(
    guarantee: Violation['guarantee'],
    of: { readonly collection: string; readonly key: string },
    message: string,
  ): void {
    this.options.onViolation(new Violation(guarantee, `${of.collection}${of.key}`, message));
  }

  private say(text: string): void {
    this.options.scheduler.trace.add(this.options.scheduler.now, text);
  }
}

function durableView(database: MemoryDatabase) {
  return {
    get: database.durable.bind(database),
    group: database.durableGroup.bind(database),
  };
}

function tablesOf(migration: Migration, side: Side): ReadonlyMap<string, string> {
  const tables = new Map<string, string>();
  for (const collection of migration.collections.values()) {
    const shape = collection[side];
    tables.set(shape.table, collection.name);
    for (const child of Object.values(shape.children ?? {}))
      tables.set(child.table, collection.name);
  }
  return tables;
}

/** Equal exactly when the records are: columns and children sorted. */
function canonicalText(record: DataRecord | null): string | null {
  if (record === null) return null;
  const rowText = (row: Row): string => JSON.stringify(Object.entries(row).sort());
  const fields = Object.entries(record).map(([name, value]) =>
    Array.isArray(value)
      ? [name, (value as readonly Row[]).map(rowText).sort()]
      : [name, value as string | null],
  );
  return JSON.stringify(fields.sort());
}
