import { type ForeignStatement, memoryForeignWriter } from '../../src/adapters/memory/index.ts';
import type { Row } from '../../src/record/index.ts';
import type { Random } from '../../src/runtime/index.ts';
import { type Ledger, routerTimes } from './ledger.ts';
import type { Called, Recorder } from './recorder.ts';
import type { CollectionName } from './shop-migration.ts';
import type { Running, World } from './world.ts';

/** A program that nobody has told of the migration: transactions of several rows on the source's tables, the same row twice among them. */
export function directMain(world: World, ledger: Ledger) {
  return async ({ runtime, process }: Running): Promise<void> => {
    const { clock, random } = runtime;
    const shapes = new Map(
      [...world.migration.collections.values()].map((one) => [one.name, one.source] as const),
    );
    const writer = memoryForeignWriter({
      database: world.databases.source,
      migration: world.migration.name,
      side: 'source',
      shapes,
      client: process.name,
      mark: null,
      timeoutMs: routerTimes.authorityTimeoutMs,
    });
    while (!world.stopping && !world.violation) {
      await clock.sleep(10 + random.next() * 60);
      const statements = transactionOf(world, ledger, random);
      const settle = record(world, ledger.recorder, process.name, statements);
      // A row that is there already, or is not: half of the transactions fail for it, and so they do for real.
      await writer.run(statements).then(settle, () => {});
    }
  };
}

/** What a transaction does to records, as it ends. The returned function tells that it was committed. */
function record(
  world: World,
  recorder: Recorder,
  process: string,
  statements: readonly ForeignStatement[],
): () => void {
  const certain: Called[] = [];
  const call = (table: string, row: Row, stamp: string | null): Called =>
    recorder.call(process, `${table} ${row['id']}`, stamp, world.now);
  for (const statement of statements) {
    const { table, kind } = statement;
    if (table !== 'items' && table !== 'orders') continue;
    const stampOf = ({ stamp }: Row): string | null => (typeof stamp === 'string' ? stamp : null);
    if (kind === 'insert') certain.push(call(table, statement.row, stampOf(statement.row)));
    if (kind === 'delete') certain.push(call(table, statement.where, null));
    if (kind !== 'update') continue;
    // Of a row that is gone it changes nothing, and does not say so.
    call(table, { ...statement.where, ...statement.set }, stampOf(statement.set));
    if ('id' in statement.set) certain.push(call(table, statement.where, null));
  }
  return () => {
    for (const called of certain) recorder.settle(called, 'ok', world.now, null);
  };
}

function transactionOf(world: World, ledger: Ledger, random: Random): readonly ForeignStatement[] {
  const { logged, keys, directRowsMax } = world.scenario;
  const committed = (table: string): ReadonlySet<string> =>
    new Set(Array.from(world.databases.source.committedRows({ name: table }), ([id]) => id));
  const rows = new Map(
    ['items', 'feed', 'orders'].map((table) => [table, new Set(committed(table))] as const),
  );
  const statements: ForeignStatement[] = [];
  const count = 1 + Math.floor(random.next() * random.next() * directRowsMax);
  for (let at = 0; at < count; at++) {
    const name = logged[Math.floor(random.next() * logged.length)];
    const id = String(Math.floor(random.next() * keys));
    ledger.stamps += 1;
    const stamp = `w${ledger.stamps}`;
    if (name === 'orders') statements.push(...lineOf(world, random, id, stamp));
    else if (name) statements.push(rowOf(name, rows.get(name)!, { id, stamp, random, world }));
  }
  // In the order of the keys, as careful programs do; a deadlock is no news here.
  return statements;
}

interface Wanted {
  readonly id: string;
  readonly stamp: string;
  readonly random: Random;
  readonly world: World;
}

function rowOf(
  name: Exclude<CollectionName, 'orders'>,
  there: Set<string>,
  { id, stamp, random, world }: Wanted,
): ForeignStatement {
  const key = JSON.stringify([id]);
  const text = name === 'items' ? 'name' : 'body';
  if (!there.has(key)) {
    there.add(key);
    return { kind: 'insert', table: name, row: { id, [text]: `d ${stamp}`, stamp } };
  }
  const chance = random.next();
  if (chance < world.scenario.deleteShare / 2) {
    there.delete(key);
    return { kind: 'delete', table: name, where: { id } };
  }
  const to = String(Math.floor(random.next() * world.scenario.keys));
  if (chance > 0.9 && !there.has(JSON.stringify([to]))) {
    there.delete(key);
    there.add(JSON.stringify([to]));
    return { kind: 'update', table: name, where: { id }, set: { id: to, stamp } };
  }
  // Half of the updates leave the large column alone.
  const set = chance < 0.5 ? { stamp } : { stamp, [text]: `d ${stamp}` };
  return { kind: 'update', table: name, where: { id }, set };
}

/** Children without their root: inserted, changed, deleted, moved to another root. */
function lineOf(
  { databases, scenario }: World,
  random: Random,
  id: string,
  stamp: string,
): readonly ForeignStatement[] {
  const roots = databases.source.committedKeys({ name: 'orders' });
  if (!roots.includes(JSON.stringify([id]))) return [];
  const lines = databases.source.committedGroup<{ readonly line: string }>(
    { name: 'order_lines' },
    JSON.stringify([id]),
  );
  const line = String(Math.floor(random.next() * 3));
  const where = { order_id: id, line };
  const table = 'order_lines';
  // The root says that something has changed, or it does not: then only the child's event tells.
  const touch: readonly ForeignStatement[] =
    random.next() < 0.4 ? [{ kind: 'update', table: 'orders', where: { id }, set: { stamp } }] : [];
  if (!lines.some(([, row]) => row.line === line))
    return [...touch, { kind: 'insert', table, row: { ...where, product: `d ${stamp}` } }];
  const chance = random.next();
  if (chance < 0.3) return [...touch, { kind: 'delete', table, where }];
  const to = String(Math.floor(random.next() * scenario.keys));
  if (chance < 0.6 && to !== id && roots.includes(JSON.stringify([to])))
    return [...touch, { kind: 'update', table, where, set: { order_id: to, line: `m${line}` } }];
  return [...touch, { kind: 'update', table, where, set: { product: `d ${stamp}` } }];
}
