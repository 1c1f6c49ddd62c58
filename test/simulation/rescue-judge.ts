import { type CommitRecord, memoryLayout, readRecord } from '../../src/adapters/memory/index.ts';
import { type GapRecord, undecidedGapStatuses } from '../../src/control/index.ts';
import type { GapState, MigrationState, Side } from '../../src/migration/index.ts';
import type { DataRecord } from '../../src/record/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import type { Ledger } from './ledger.ts';
import type { World } from './world.ts';

/** A record whose newest acknowledged state stood only in the target when authority went back. */
interface Lost {
  readonly collection: string;
  readonly key: string;
  /** The source's own state then. */
  readonly before: string | null;
  /** What the target held, in both shapes. */
  target: string | null;
  wanted: string | null;
}

const placeOf = (collection: string, key: string): string => `${collection} ${key}`;

/**
 * Judges what a rescue makes of the records that it left behind, from the commits of both databases and the states of the control store alone: nothing is lost that is
 * not listed, nothing that the source wrote since is overwritten without a person, nothing comes back that was deleted since.
 */
export class RescueJudge {
  readonly lost = new Map<string, Lost>();
  /** Decided by a person for the target: its overwriting is meant. */
  readonly taken = new Set<string>();
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #rescuer: string;
  #gap: GapState | null = null;
  #rescuedAt = Number.POSITIVE_INFINITY;
  /** Written by somebody else than the rescue since it was published. */
  readonly #written = new Set<string>();

  constructor(world: World, ledger: Ledger, rescuer: string) {
    this.#world = world;
    this.#ledger = ledger;
    this.#rescuer = rescuer;
    world.control.onCommit((state) => this.#onState(state));
    for (const side of ['source', 'target'] as const)
      world.databases[side].onCommit((commit) => this.#onCommit(side, commit));
  }

  get rescued(): boolean {
    return this.#gap !== null;
  }

  /** The ledger's row, as it is durable. */
  row(place: string): GapRecord | undefined {
    const rescue = this.#gap?.rescue ?? '';
    const rows = this.#world.control.of(this.#world.migration.name).gaps.get(rescue);
    return [...(rows?.values() ?? [])].find(
      ({ collection, key }) => placeOf(collection, key) === place,
    );
  }

  isUndecided(place: string): boolean {
    const row = this.row(place);
    return row === undefined || (undecidedGapStatuses as readonly string[]).includes(row.status);
  }

  /** A delete since the rescue that its caller was told of, by a process that knew of it: found or not. */
  #isDeleted(place: string): boolean {
    const [collection = '', key = ''] = place.split(' ');
    const name = `${collection} ${(JSON.parse(key) as string[])[0]}`;
    const epoch = this.#gap?.epoch ?? 0;
    return this.#ledger.recorder.history().operations.some((one) => {
      const ok = one.kind === 'write' && one.outcome === 'ok' && one.value === null;
      return ok && one.key === name && one.from > this.#rescuedAt && (one.epoch ?? 0) > epoch;
    });
  }

  #onState(state: MigrationState): void {
    if (state.gap && this.#gap === null) {
      this.#gap = state.gap;
      this.#rescuedAt = this.#world.now;
      for (const { collection, key } of this.#world.truth.allKeys()) this.#look(collection, key);
    }
    if (state.gap?.stage === 'collected' && this.#gap?.stage === 'uncollected') this.#judgeSafe();
    if (state.gap) this.#gap = state.gap;
  }

  /** Whether this record is behind, by the truth's order of acknowledged writes. */
  #look(collection: string, key: string): void {
    const { truth } = this.#world;
    const last = truth.historyOf(collection, key).at(-1);
    const before = truth.stored('source', collection, key);
    if (!last || last.text.source === before) return;
    this.lost.set(placeOf(collection, key), {
      collection,
      key,
      before,
      target: last.text.target,
      wanted: last.text.source,
    });
  }

  /** Before anything else may enter the target, the ledger has what only it had. */
  #judgeSafe(): void {
    for (const [place, { target }] of this.lost) {
      const row = this.row(place);
      const held = row === undefined ? undefined : this.#world.truth.textOf(row.target);
      if (held === target) continue;
      this.#violate('G1', place, `the gap is collected with ${held}, the target held ${target}`);
    }
  }

  #onCommit(side: Side, commit: CommitRecord): void {
    if (this.#gap === null) return;
    for (const [place, of] of this.#touchedBy(side, commit)) {
      if (commit.mark?.kind === 'door') continue;
      if (side === 'target') this.#late(of.collection, of.key);
      else if (commit.client.startsWith(this.#rescuer)) this.#judgeApplied(place);
      else this.#written.add(place);
    }
  }

  /** A stale process has written to a target that nobody could seal yet. */
  #late(collection: string, key: string): void {
    const { truth } = this.#world;
    const last = truth.historyOf(collection, key).at(-1);
    if (!last) return;
    const place = placeOf(collection, key);
    const before = this.lost.get(place)?.before ?? truth.stored('source', collection, key);
    const { target, source: wanted } = last.text;
    this.lost.set(place, { collection, key, before, target, wanted });
  }

  #judgeApplied(place: string): void {
    const lost = this.lost.get(place);
    const [collection = '', key = ''] = place.split(' ');
    const now = this.#world.truth.stored('source', collection, key);
    if (this.taken.has(place)) return;
    if (this.#written.has(place))
      this.#violate('G1', place, `the rescue brought ${now} over what the source wrote since`);
    else if (now !== null && this.#isDeleted(place))
      this.#violate('G4', place, `the rescue brought ${now} back, which was deleted since`);
    else if (lost && now !== lost.wanted)
      this.#violate('G1', place, `the rescue brought ${now}, the lost write was ${lost.wanted}`);
  }

  /** When everything is at rest. */
  judgeEnd(): void {
    const { truth, migration, databases } = this.#world;
    for (const [place, lost] of this.lost) {
      const { collection, key } = lost;
      const row = this.row(place);
      const here = truth.stored('source', collection, key);
      if (row === undefined) {
        this.#violate('G1', place, 'a lost write stands nowhere');
        continue;
      }
      const undecided = this.isUndecided(place);
      const byPerson = row.status === 'taken-source' || row.status === 'closed';
      if (!this.#written.has(place) && !this.#isDeleted(place)) {
        const expected = undecided || byPerson ? lost.before : lost.wanted;
        if (here !== expected)
          this.#violate(
            'G1',
            place,
            `${row.status}: the source holds ${here}, expected ${expected}`,
          );
      }
      const { forward, source } = migration.collections.get(collection)!;
      const database = databases.source;
      const view = {
        get: database.durable.bind(database),
        group: database.durableGroup.bind(database),
      };
      const record: DataRecord | null = readRecord(view, source, key);
      const expected = truth.textOf(record && forward(record));
      const there = truth.stored('target', collection, key);
      // What nobody has decided and nobody has written since stands in the target as it was.
      if (undecided && there === lost.target) continue;
      if (there !== expected && !this.#isDead(place) && row.status !== 'closed')
        this.#violate(
          'G2',
          place,
          `${row.status}: the target holds ${there}, expected ${expected}`,
        );
    }
  }

  #isDead(place: string): boolean {
    const layout = memoryLayout(this.#world.migration.name, 'source');
    return [...this.#world.databases.source.committedRows(layout.queue)].some(
      ([, row]) => row.dead !== null && placeOf(row.collection, row.key) === place,
    );
  }

  #touchedBy(side: Side, commit: CommitRecord) {
    const found = new Map<string, { readonly collection: string; readonly key: string }>();
    for (const { table, id } of commit.changes) {
      for (const { name, [side]: shape } of this.#world.migration.collections.values()) {
        const tables = [
          shape.table,
          ...Object.values(shape.children ?? {}).map((one) => one.table),
        ];
        if (!tables.includes(table)) continue;
        const key = id.split('\u0001')[0]!;
        found.set(placeOf(name, key), { collection: name, key });
      }
    }
    return found;
  }

  #violate(guarantee: Violation['guarantee'], place: string, message: string): void {
    this.#world.judge('world', new Violation(guarantee, place.replace(' ', ''), message));
  }
}
