import { type Change, decodeKey, encodeKey, type Key, type Version } from '../../record/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import { rangeHolds } from './mysql-chunk-range.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { type KeyedRecord, tableRows } from './mysql-door-rows.ts';
import {
  deleteRecords,
  deleteSurplus,
  lookForKeys,
  presentIn,
  upsertRows,
} from './mysql-door-sql.ts';
import { lockFences, raiseFences, raiseOrLock, versionsIn, type Winners } from './mysql-fences.ts';
import { lockMoving, type MovingRows, movingGroups, writeMoving } from './mysql-moving-children.ts';
import type { MysqlLayout } from './mysql-schema.ts';
import type { MysqlTransaction, SqlResult } from './mysql-session.ts';
import { quoteLiteral } from './mysql-text.ts';

/** What a batch does, beyond the changes. */
export interface BatchRules {
  /** Run first in the first round trip; their results go to `checked`, before anything else is looked at. */
  readonly entrance: readonly string[];
  readonly checked?: (results: readonly SqlResult[]) => void;
  /** Fences are raised by a change that is newer; `repair` also by the same version. With this, by any. */
  readonly acceptsEqual: boolean;
  /**
   * Collections in the order in which records are written, after the deletes of all of them in the opposite order. null: collection by collection,
   * deletes first. Fences are locked in the order of their names in any case.
   */
  readonly order: readonly string[] | null;
}

/** One collection's part of a batch. */
interface Part {
  readonly collection: CatalogCollection;
  readonly winners: Winners;
  /** Tombstones among the winners. */
  readonly gone: readonly Key[];
}

/**
 * Applies a batch inside a door transaction: {entrance, fences, look for chunks}, {locks of chunks, fences, rows}, and one more
 * round trip or two where child rows may move. Returns the changes that were let in.
 */
export async function applyBatch(
  parts: MysqlStoreParts,
  transaction: MysqlTransaction,
  winners: readonly Winners[],
  rules: BatchRules,
): Promise<ReadonlySet<Change>> {
  const { layout } = parts;
  const list = winners.map((one): Part => {
    const gone = [...one.changes.values()].flatMap(({ key, value }) =>
      value === null ? [key] : [],
    );
    return { collection: one.collection, winners: one, gone };
  });
  const first = new Flight();
  const entrance = first.add(rules.entrance);
  const looks = list.map((part) => {
    const { lock, look } = rules.acceptsEqual
      ? raiseOrLock(layout, part.winners)
      : lockFences(layout, part.winners);
    first.add(lock);
    return { fences: first.add(look), ...lookForChunks(layout, part, first) };
  });
  await first.fly(transaction);
  rules.checked?.(first.results(entrance));
  const accepted = new Set<Change>();
  const second = new Flight();
  const taken = list.map((part, index) => {
    const look = looks[index] as (typeof looks)[number];
    const fences = versionsIn(first.results(look.fences).flatMap(({ rows }) => rows));
    const raised = acceptedOf(part.winners, fences, rules.acceptsEqual);
    const changes = raised.map(([, change]) => change);
    for (const change of changes) accepted.add(change);
    second.add(lockCovering(layout, part, changes, first, look));
    if (!rules.acceptsEqual) second.add(raiseFences(layout, part.collection.collection, raised));
    return { collection: part.collection, changes };
  });
  const moving = addRows(second, taken, rules.order);
  if (second.size > 0) await second.fly(transaction);
  for (const one of moving)
    await writeMoving(transaction, layout, one.collection, one.rows, one.changes);
  return accepted;
}

type Taken = { readonly collection: CatalogCollection; readonly changes: readonly Change[] };
type Moving = Taken & { readonly rows: readonly MovingRows[] };

function addRows(
  flight: Flight,
  found: readonly Taken[],
  order: readonly string[] | null,
): readonly Moving[] {
  const moving: Moving[] = [];
  const place = ({ collection }: Taken): number => order?.indexOf(collection.collection) ?? 0;
  const taken = [...found].sort((a, b) => place(a) - place(b));
  if (order !== null)
    for (const { collection, changes } of [...taken].reverse())
      flight.add(deleteStatements(collection, changes));
  for (const one of taken) {
    if (order === null) flight.add(deleteStatements(one.collection, one.changes));
    const written = writeStatements(one.collection, one.changes);
    flight.add(written.statements);
    if (written.moving.length > 0) moving.push({ ...one, rows: written.moving });
  }
  return moving;
}

function acceptedOf(
  { changes }: Winners,
  fences: ReadonlyMap<string, Version>,
  acceptsEqual: boolean,
): readonly (readonly [string, Change])[] {
  return [...changes].flatMap(([id, change]): readonly (readonly [string, Change])[] => {
    const fence = fences.get(id) ?? { epoch: 0, sequence: 0n };
    const { epoch, sequence } = change.version;
    const newer = epoch > fence.epoch || (epoch === fence.epoch && sequence > fence.sequence);
    const same = epoch === fence.epoch && sequence === fence.sequence;
    return newer || (same && (acceptsEqual || change.origin === 'repair')) ? [[id, change]] : [];
  });
}

/** Statements of one round trip, and where their results are. */
class Flight {
  readonly #statements: string[] = [];
  #results: readonly SqlResult[] = [];

  get size(): number {
    return this.#statements.length;
  }

  add(statements: readonly string[]): readonly [number, number] {
    const from = this.#statements.length;
    this.#statements.push(...statements);
    return [from, this.#statements.length];
  }

  async fly(transaction: MysqlTransaction): Promise<void> {
    this.#results = await transaction.run(this.#statements);
  }

  results([from, to]: readonly [number, number]): readonly SqlResult[] {
    return this.#results.slice(from, to);
  }
}

interface ChunkLook {
  readonly chunks: readonly [number, number];
  readonly present: readonly [number, number];
}

/**
 * Looks which chunks are in flight, then which of the deleted records are there. In two snapshots, in this order: a chunk that is recorded after the first
 * waits for this transaction before it reads (`mysql-gates`); one that has written before the second is seen in the second, or else by
 * the DELETE that comes later still.
 */
function lookForChunks(layout: MysqlLayout, { collection, gone }: Part, flight: Flight): ChunkLook {
  if (gone.length === 0) return { chunks: flight.add([]), present: flight.add([]) };
  const name = quoteLiteral(collection.collection);
  const look = `SELECT chunk, after_key, until_key FROM ${layout.chunk} WHERE collection = ${name} AND state = 'in-flight'`;
  return { chunks: flight.add([look]), present: flight.add(lookForKeys(collection, gone)) };
}

/**
 * Share-locks the in-flight chunks whose range holds a deleted record that is absent, one by one by their primary key: waits for those that are being
 * written, and for no other.
 */
function lockCovering(
  layout: MysqlLayout,
  { collection, gone }: Part,
  changes: readonly Change[],
  flight: Flight,
  look: ChunkLook,
): readonly string[] {
  const chunks = flight.results(look.chunks).flatMap(({ rows }) => rows);
  if (chunks.length === 0) return [];
  const present = presentIn(collection, gone, flight.results(look.present));
  const absent = changes.filter(({ key, value }) => value === null && !present.has(encodeKey(key)));
  return chunks
    .filter(([, after, until]) => {
      const range = {
        after: after == null ? null : decodeKey(after),
        until: until == null ? null : decodeKey(until),
      };
      return absent.some(({ key }) => rangeHolds(collection.root.key, range, key));
    })
    .map(([chunk]) => lockChunk(layout, collection.collection, chunk ?? ''));
}

function lockChunk(layout: MysqlLayout, collection: string, chunk: string): string {
  return `SELECT chunk FROM ${layout.chunk} WHERE collection = ${quoteLiteral(collection)} AND chunk = ${chunk} LOCK IN SHARE MODE`;
}

type RowChange = Pick<Change, 'key' | 'value' | 'version'>;

/** The statements that delete what the changes say is gone; fences and covering chunks are locked. */
export function deleteStatements(
  collection: CatalogCollection,
  changes: readonly RowChange[],
): readonly string[] {
  const gone = changes.flatMap(({ key, value }) => (value === null ? [key] : []));
  return gone.length === 0 ? [] : deleteRecords(collection, gone);
}

/** The statements that write what the changes say is there; and the child rows that are locked by them but may belong to others. */
export function writeStatements(
  collection: CatalogCollection,
  changes: readonly RowChange[],
): { readonly statements: readonly string[]; readonly moving: readonly MovingRows[] } {
  const present: KeyedRecord[] = changes.flatMap(({ key, value, version }) =>
    value === null ? [] : [{ key, record: value, version }],
  );
  if (present.length === 0) return { statements: [], moving: [] };
  const rows = tableRows(collection, present);
  const statements = rows.roots.flatMap((group) => upsertRows(collection.root, group));
  const moving: MovingRows[] = [];
  // A statement of its own for each step: what a chunk has committed while the roots were waited for is seen by the next.
  for (const child of rows.children)
    if (child.roots.length > 0) statements.push(...deleteSurplus(child));
  for (const child of rows.children) {
    const may = movingGroups(child);
    for (const group of child.groups) {
      if (may.includes(group)) {
        const one = { child: child.child, group };
        moving.push(one);
        statements.push(...lockMoving(one));
      } else statements.push(...upsertRows(child.child, group));
    }
  }
  return { statements, moving };
}

/** For one change whose version is not known: locks the chunks that may hold it, by a look of its own. */
export async function lockChunksFor(
  transaction: MysqlTransaction,
  layout: MysqlLayout,
  collection: CatalogCollection,
  change: Change,
): Promise<void> {
  if (change.value !== null) return;
  const part: Part = {
    collection,
    winners: { collection, changes: new Map() },
    gone: [change.key],
  };
  const flight = new Flight();
  const look = lookForChunks(layout, part, flight);
  await flight.fly(transaction);
  const locks = lockCovering(layout, part, [change], flight, look);
  if (locks.length > 0) await transaction.run(locks);
}
