import { mariadb } from '../../src/adapters/mysql/index.ts';
import { postgres } from '../../src/adapters/postgres/index.ts';
import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import { type Collection, createEventHub, type Side } from '../../src/migration/index.ts';
import { type Runtime, systemRuntime } from '../../src/runtime/index.ts';
import type { MigrationStore } from '../../src/store/index.ts';

/** One collection, `things(id, value)`, on two databases; default engine: PostgreSQL. */
export async function openKillContext(options: {
  readonly sourceUrl: string;
  readonly targetUrl: string;
  readonly control: ControlStore;
  readonly mode: string;
  readonly instance: string;
  readonly engine?: 'postgres' | 'mariadb';
  readonly runtime?: Runtime;
}): Promise<MigrationContext> {
  const shape = { table: 'things', key: ['id'] };
  const collection: Collection = {
    name: 'things',
    source: shape,
    target: shape,
    forward: (record) => record,
    backward: (record) => record,
    identity: true,
    capture: 'app',
    write: options.mode === 'parallel' || options.mode === 'deferred' ? options.mode : 'serial',
    failureMode: options.mode === 'fail-closed' ? 'fail-closed' : 'fail-open',
    latencyBudgetMs: 1_000,
    shadowReadSample: 1,
    ignore: {},
    transformVersion: 1,
  };
  const runtime = options.runtime ?? systemRuntime;
  const connector = options.engine === 'mariadb' ? mariadb : postgres;
  const open = (side: Side, url: string): Promise<MigrationStore> =>
    connector({ url }).connect({
      migration: 'kill',
      side,
      shapes: new Map([['things', shape]]),
      runtime,
    });
  const [source, target] = await Promise.all([
    open('source', options.sourceUrl),
    open('target', options.targetUrl),
  ]);
  return {
    migration: { name: 'kill', collections: new Map([['things', collection]]) },
    stores: { source, target },
    control: options.control,
    runtime,
    events: createEventHub(),
    instance: options.instance,
  };
}

export const thingsDdl = 'CREATE TABLE things (id integer PRIMARY KEY, value text NOT NULL)';
