import { memoryForeignWriter, type StepHook } from '../../src/adapters/memory/index.ts';
import {
  followLog,
  logApplierDefaults,
  prepareStream,
  presentStream,
} from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import type { Collection, MigrationState } from '../../src/migration/index.ts';
import { systemRandom, systemRuntime } from '../../src/runtime/index.ts';
import { type VerifyOptions, type VerifyReport, verifyCollection } from '../../src/verify/index.ts';
import { bring, type MemoryMigration, memoryMigration, shapes } from './memory-migration.ts';

const { clock } = systemRuntime;
export const quickRecheck = { delaysMs: [1, 5], hotDelayMs: 5, hotTriesMax: 4, lagMaxMs: 1_500 };

/** A commit is in the log some time before it can be seen. */
export const slowToSurface: StepHook = {
  request: async () => {},
  reply: async () => {},
  row: async () => {},
  commit: async (_step, server) => server.commit(),
  surface: () => clock.sleep(systemRandom.next() * 8),
};

/** A migration in memory whose target follows the log of the source, as far behind as is wanted. */
export interface AlignedRig {
  readonly world: MemoryMigration;
  readonly context: MigrationContext;
  readonly state: MigrationState;
  /** The follower waits so long before each batch; Infinity: it stands still. */
  lagMs: number;
  write(id: string, name: string | null): Promise<unknown>;
  /** On the follower, as somebody with the door's mark. */
  rogue(id: string, name: string | null): Promise<void>;
  /** Until the follower has everything that is committed now. */
  level(): Promise<void>;
  verify(options?: Partial<VerifyOptions>, signal?: AbortSignal): Promise<VerifyReport>;
  /** Writes at random to these keys until the function that is returned is called. */
  traffic(ids: readonly string[]): () => Promise<void>;
  close(): Promise<void>;
}

export const idOf = (number: number): string => String(number).padStart(5, '0');

export async function alignedRig(
  rows: number,
  overrides: Partial<Collection> = {},
): Promise<AlignedRig> {
  const world = memoryMigration('log');
  const context = withCollection(await world.open('verifier'), overrides);
  const applier = withCollection(await world.open('applier'), overrides);
  const state = await bring(context, 'shadow-read');
  const ends = presentStream(context, state);
  if (ends === null) throw new Error('The collection is captured from the log.');
  await prepareStream(ends, 1_000);
  const stopped = new AbortController();
  const foreign = memoryForeignWriter({
    database: world.databases.target,
    migration: 'shop',
    side: 'target',
    shapes,
    client: 'rogue',
    mark: { kind: 'door', epoch: 1 },
  });
  const put = (id: string, name: string | null): Promise<unknown> =>
    context.stores.source.records.write({
      collection: 'items',
      key: [id],
      action: name === null ? 'delete' : 'put',
      record: name === null ? {} : { id, name },
      epoch: state.epoch,
      journal: 'log',
      graceMs: 0,
      timeoutMs: 5_000,
    });
  const rig: AlignedRig = {
    world,
    context,
    state,
    lagMs: 0,
    write: put,
    rogue: (id, name) =>
      name === null ? foreign.delete('items', [id]) : foreign.put('items', [id], { id, name }),
    async level() {
      const { sequence } = await ends.log.end();
      while (((await ends.door.checkpoint(ends.stream))?.position.sequence ?? 0n) < sequence)
        await clock.sleep(2);
    },
    verify: (options = {}, signal = stopped.signal) =>
      verifyCollection(
        context,
        'items',
        {
          currentState: () => state,
          batchRows: 50,
          recheck: quickRecheck,
          ...options,
          aligned:
            options.aligned === false
              ? false
              : { segmentRows: 200, lagMs: 2_000, digests: false, ...options.aligned },
        },
        signal,
      ),
    traffic(ids) {
      let going = true;
      const writing = (async () => {
        for (let round = 0; going; round++) {
          const id = ids[Math.floor(systemRandom.next() * ids.length)] as string;
          await put(id, systemRandom.next() < 0.2 ? null : `round ${round}`);
          await clock.sleep(1);
        }
      })();
      return async () => {
        going = false;
        await writing;
      };
    },
    async close() {
      stopped.abort();
      await following;
    },
  };
  const slow = slowed(applier, async () => {
    for (let waited = 0; waited < rig.lagMs && !stopped.signal.aborted; waited += 5)
      await clock.sleep(5);
  });
  const passes = { enter: () => ({ state, leave: () => {} }) };
  const options = { ...logApplierDefaults, idleMs: 10, gatherMs: 5, storeIdleMs: 20 };
  const following = followLog(slow, passes, options, stopped.signal).catch(() => {});
  for (let number = 1; number <= rows; number++) await put(idOf(number), `name ${number}`);
  await rig.level();
  return rig;
}

function withCollection(
  context: MigrationContext,
  overrides: Partial<Collection>,
): MigrationContext {
  const collections = new Map(
    [...context.migration.collections].map(([name, one]) => [name, { ...one, ...overrides }]),
  );
  return { ...context, migration: { ...context.migration, collections } };
}

function slowed(context: MigrationContext, wait: () => Promise<void>): MigrationContext {
  const { source, target } = context.stores;
  const { log } = target.door;
  if (!log) throw new Error('The memory store takes in a log.');
  const apply: typeof log.apply = async (batch, door) => {
    await wait();
    return log.apply(batch, door);
  };
  const behind = { ...target, door: { ...target.door, log: { ...log, apply } } };
  return { ...context, stores: { source, target: behind } };
}
