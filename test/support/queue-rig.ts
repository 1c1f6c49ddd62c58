import { memoryForeignWriter } from '../../src/adapters/memory/index.ts';
import { applierDefaults, drainOnce } from '../../src/capture/index.ts';
import type { MigrationContext } from '../../src/control/index.ts';
import type { MigrationState, Side } from '../../src/migration/index.ts';
import { systemRandom, systemRuntime } from '../../src/runtime/index.ts';
import type { SnapshotSource, Written } from '../../src/store/index.ts';
import { type VerifyOptions, type VerifyReport, verifyCollection } from '../../src/verify/index.ts';
import { idOf, quickRecheck } from './aligned-rig.ts';
import { bring, type MemoryMigration, memoryMigration, shapes } from './memory-migration.ts';

const { clock } = systemRuntime;

/** A migration in memory with capture `outbox`: strangers write to the source, a worker drains its queue. */
export interface QueueRig {
  readonly world: MemoryMigration;
  readonly context: MigrationContext;
  readonly state: MigrationState;
  /** By a stranger to the library, on the authority. */
  write(id: string, name: string | null): Promise<void>;
  /** By the library, with the follower written inline and the entry completed, as the router does it. `held` runs when the number is drawn and nothing has committed. */
  inline(id: string, name: string, held?: () => Promise<void>): Promise<void>;
  /** On the follower, as somebody with the door's mark. */
  rogue(id: string, name: string | null): Promise<void>;
  /** Once: what is due now. */
  drain(): Promise<void>;
  /** Drains all the time, each round so long after the one before, until the function that is returned is called. */
  worker(lagMs: number): () => Promise<void>;
  traffic(ids: readonly string[]): () => Promise<void>;
  /** Runs before the nth snapshot (from 1) of this side that verifications open. */
  before(side: Side, nth: number, once: () => Promise<unknown>): void;
  verify(options?: Partial<VerifyOptions>): Promise<VerifyReport>;
}

export async function queueRig(rows: number): Promise<QueueRig> {
  const world = memoryMigration('outbox');
  const context = await world.open('verifier');
  const worker = await world.open('worker');
  const state = await bring(context, 'shadow-read');
  const { source, target } = context.stores;
  await source.setup.installCapture('items');
  const stranger = (side: Side, kind: 'door' | null) =>
    memoryForeignWriter({
      database: world.databases[side],
      migration: 'shop',
      side,
      shapes,
      client: 'stranger',
      mark: kind === null ? null : { kind, epoch: state.epoch },
    });
  const writers = { source: stranger('source', null), target: stranger('target', 'door') };
  const put = (side: Side, id: string, name: string | null): Promise<void> =>
    name === null
      ? writers[side].delete('items', [id])
      : writers[side].put('items', [id], { id, name });
  const round = () =>
    drainOnce(worker, state, { ...applierDefaults, backoff: { firstMs: 1, maxMs: 5 } });
  const looping = (work: () => Promise<unknown>): (() => Promise<void>) => {
    let going = true;
    const done = (async () => {
      while (going) await work();
    })();
    return async () => {
      going = false;
      await done;
    };
  };
  for (let number = 1; number <= rows; number++) await put('source', idOf(number), 'first');
  while ((await round()).claimed > 0);
  return {
    world,
    context,
    state,
    write: (id, name) => put('source', id, name),
    async inline(id, name, held) {
      const written: Written = await source.records.write({
        collection: 'items',
        key: [id],
        action: 'put',
        record: { id, name },
        epoch: state.epoch,
        journal: 'change',
        graceMs: 60_000,
        timeoutMs: 10_000,
        ...(held ? { beforeCommit: held } : {}),
      });
      const { key, version, record: value, journalId } = written;
      if (version === null || journalId === null) throw new Error('It is journalled.');
      const change = { collection: 'items', key, version, value, origin: 'live' as const };
      await target.door.apply([change], { epoch: state.epoch, timeoutMs: 1_000 });
      await source.queue.complete([journalId]);
    },
    rogue: (id, name) => put('target', id, name),
    async drain() {
      while ((await round()).claimed > 0);
    },
    worker: (lagMs) =>
      looping(async () => {
        await clock.sleep(lagMs);
        await round();
      }),
    traffic: (ids) =>
      looping(async () => {
        const id = ids[Math.floor(systemRandom.next() * ids.length)] as string;
        const gone = systemRandom.next() < 0.2;
        await put('source', id, gone ? null : `at ${clock.monotonic()}`);
        await clock.sleep(1);
      }),
    before(side, nth, once) {
      const store = context.stores[side];
      const real = store.snapshots as SnapshotSource;
      let opened = 0;
      const open: SnapshotSource['open'] = async (options) => {
        opened += 1;
        if (opened === nth) await once();
        return real.open(options);
      };
      Object.assign(store, { snapshots: { open } });
    },
    verify: (options = {}) =>
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
              : { segmentRows: 200, lagMs: 1_000, digests: false, ...options.aligned },
        },
        new AbortController().signal,
      ),
  };
}
