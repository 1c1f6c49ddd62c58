import { postgres } from '../../src/adapters/postgres/index.ts';
import type { ControlStore, MigrationContext } from '../../src/control/index.ts';
import { type Collection, createEventHub, type Side } from '../../src/migration/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';

/** One collection, `things(id, value)`, on two PostgreSQL databases. */
export async function openKillContext(options: {
  readonly sourceUrl: string;
  readonly targetUrl: string;
  readonly control: ControlStore;
  readonly mode: string;
  readonly instance: string;
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
  const open = (side: Side, url: string): ReturnType<ReturnType<typeof postgres>['connect']> =>
    postgres({ url }).connect({
      migration: 'kill',
      side,
      shapes: new Map([['things', shape]]),
      runtime: systemRuntime,
    });
  const [source, target] = await Promise.all([
    open('source', options.sourceUrl),
    open('target', options.targetUrl),
  ]);
  return {
    migration: { name: 'kill', collections: new Map([['things', collection]]) },
    stores: { source, target },
    control: options.control,
    runtime: systemRuntime,
    events: createEventHub(),
    instance: options.instance,
  };
}

export const thingsDdl = 'CREATE TABLE things (id integer PRIMARY KEY, value text NOT NULL)';
