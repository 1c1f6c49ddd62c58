import {
  type ForeignStatement,
  type MemoryForeignWriter,
  memoryForeignWriter,
} from '../../src/adapters/memory/index.ts';
import { authorityOf, type Side } from '../../src/migration/index.ts';
import type { Row } from '../../src/record/index.ts';
import type { Random } from '../../src/runtime/index.ts';
import type { Called, Recorder } from '../support/history-recorder.ts';
import { type Ledger, routerTimes } from './ledger.ts';
import type { CollectionName } from './shop-migration.ts';
import type { Running, World } from './world.ts';

type TableOf = Readonly<Record<CollectionName | 'lines', string>>;

const tables: Readonly<Record<Side, TableOf>> = {
  source: { items: 'items', orders: 'orders', lines: 'order_lines', feed: 'feed' },
  target: {
    items: 'new_items',
    orders: 'new_orders',
    lines: 'new_order_parts',
    feed: 'new_feed',
  },
};

/**
 * A program that knows nothing of the library: transactions of several rows on the tables of the authority, the same row twice among them. That it has to
 * go to the other store it is told once the switch is complete; until then it is refused.
 */
export function directMain(world: World, ledger: Ledger) {
  return async ({ runtime, process }: Running): Promise<void> => {
    const { clock, random } = runtime;
    const writers = {
      source: writerOn(world, 'source', process.name),
      target: writerOn(world, 'target', process.name),
    };
    while (!world.stopping && !world.violation) {
      await clock.sleep(10 + random.next() * 60);
      const side = authorityOf(world.truth.state?.phase ?? 'off');
      const truncates = random.next() < world.scenario.truncateRate;
      const making = new Making(world, ledger, random, side);
      const statements = truncates ? making.truncate() : making.transaction();
      const settle = record(world, ledger.recorder, process.name, side, statements);
      // A row that is there already, or is not: half of the transactions fail for it, and so they do for real.
      await writers[side].run(statements).then(settle, () => {});
    }
  };
}

function writerOn(world: World, side: Side, client: string): MemoryForeignWriter {
  const shapes = new Map(
    [...world.migration.collections.values()].map((one) => [one.name, one[side]] as const),
  );
  return memoryForeignWriter({
    database: world.databases[side],
    migration: world.migration.name,
    side,
    shapes,
    client,
    mark: null,
    timeoutMs: routerTimes.authorityTimeoutMs,
  });
}

/** What a transaction does to records, as it ends. The returned function tells that it was committed. */
function record(
  world: World,
  recorder: Recorder,
  process: string,
  side: Side,
  statements: readonly ForeignStatement[],
): () => void {
  const certain: Called[] = [];
  const stampOf = ({ stamp }: Row): string | null => (typeof stamp === 'string' ? stamp : null);
  for (const statement of statements) {
    const { kind } = statement;
    const name = (['items', 'orders'] as const).find(
      (one) => tables[side][one] === statement.table,
    );
    if (name === undefined) continue;
    const call = (row: Row, stamp: string | null): Called =>
      recorder.call(process, `${name} ${row['id']}`, stamp, world.now);
    if (kind === 'insert') certain.push(call(statement.row, stampOf(statement.row)));
    if (kind === 'delete') certain.push(call(statement.where, null));
    if (kind === 'truncate')
      for (let id = 0; id < world.scenario.keys; id++) certain.push(call({ id: String(id) }, null));
    if (kind !== 'update') continue;
    // Of a row that is gone it changes nothing, and does not say so.
    call({ ...statement.where, ...statement.set }, stampOf(statement.set));
    if ('id' in statement.set) certain.push(call(statement.where, null));
  }
  return () => {
    // Nothing that it writes is of a later epoch than this.
    const epoch = world.truth.state?.epoch ?? 1;
    for (const called of certain) recorder.settle(called, 'ok', world.now, epoch);
  };
}

/** The making of one transaction, by what its program sees in the tables. */
class Making {
  private readonly world: World;
  private readonly ledger: Ledger;
  private readonly random: Random;
  private readonly side: Side;

  constructor(world: World, ledger: Ledger, random: Random, side: Side) {
    this.world = world;
    this.ledger = ledger;
    this.random = random;
    this.side = side;
  }

  /** Of an aggregate the children alone, or all of it. */
  truncate(): readonly ForeignStatement[] {
    const { random, world } = this;
    const { logged } = world.scenario;
    const name = logged[Math.floor(random.next() * logged.length)]!;
    const { lines, [name]: root } = tables[this.side];
    if (name !== 'orders') return [{ kind: 'truncate', table: root }];
    const parts: readonly ForeignStatement[] = [{ kind: 'truncate', table: lines }];
    return random.next() < 0.5 ? parts : [...parts, { kind: 'truncate', table: root }];
  }

  transaction(): readonly ForeignStatement[] {
    const { random } = this;
    const { logged, keys, directRowsMax } = this.world.scenario;
    const database = this.world.databases[this.side];
    const rows = new Map(
      (['items', 'feed'] as const).map((name) => {
        const ids = database.committedRows({ name: tables[this.side][name] });
        return [name, new Set(Array.from(ids, ([id]) => id))] as const;
      }),
    );
    const statements: ForeignStatement[] = [];
    const count = 1 + Math.floor(random.next() * random.next() * directRowsMax);
    for (let at = 0; at < count; at++) {
      const name = logged[Math.floor(random.next() * logged.length)];
      const id = String(Math.floor(random.next() * keys));
      this.ledger.stamps += 1;
      const stamp = `w${this.ledger.stamps}`;
      if (name === 'orders') statements.push(...this.line(id, stamp));
      else if (name) statements.push(this.row(name, rows.get(name)!, id, stamp));
    }
    return statements;
  }

  private row(
    name: Exclude<CollectionName, 'orders'>,
    there: Set<string>,
    id: string,
    stamp: string,
  ): ForeignStatement {
    const { random, world, side } = this;
    const table = tables[side][name];
    const key = JSON.stringify([id]);
    const large = side === 'source' ? 'name' : 'label';
    const text = name === 'items' ? large : 'body';
    if (!there.has(key)) {
      there.add(key);
      return { kind: 'insert', table, row: { id, [text]: `d ${stamp}`, stamp } };
    }
    const chance = random.next();
    if (chance < world.scenario.deleteShare / 2) {
      there.delete(key);
      return { kind: 'delete', table, where: { id } };
    }
    const to = String(Math.floor(random.next() * world.scenario.keys));
    if (chance > 0.9 && !there.has(JSON.stringify([to]))) {
      there.delete(key);
      there.add(JSON.stringify([to]));
      return { kind: 'update', table, where: { id }, set: { id: to, stamp } };
    }
    // Half of the updates leave the large column alone.
    const set = chance < 0.5 ? { stamp } : { stamp, [text]: `d ${stamp}` };
    return { kind: 'update', table, where: { id }, set };
  }

  /** Children without their root: inserted, changed, deleted, moved to another root. */
  private line(id: string, stamp: string): readonly ForeignStatement[] {
    const { random, world, side } = this;
    const { orders, lines: table } = tables[side];
    const database = world.databases[side];
    const roots = database.committedKeys({ name: orders });
    if (!roots.includes(JSON.stringify([id]))) return [];
    const lines = database.committedGroup<{ readonly line: string }>(
      { name: table },
      JSON.stringify([id]),
    );
    const line = String(Math.floor(random.next() * 3));
    const where = { order_id: id, line };
    // The root says that something has changed, or it does not: then only the child's event tells.
    const touch: readonly ForeignStatement[] =
      random.next() < 0.4 ? [{ kind: 'update', table: orders, where: { id }, set: { stamp } }] : [];
    if (!lines.some(([, row]) => row.line === line))
      return [...touch, { kind: 'insert', table, row: { ...where, product: `d ${stamp}` } }];
    const chance = random.next();
    if (chance < 0.3) return [...touch, { kind: 'delete', table, where }];
    const to = String(Math.floor(random.next() * world.scenario.keys));
    if (chance < 0.6 && to !== id && roots.includes(JSON.stringify([to])))
      return [...touch, { kind: 'update', table, where, set: { order_id: to, line: `m${line}` } }];
    return [...touch, { kind: 'update', table, where, set: { product: `d ${stamp}` } }];
  }
}
