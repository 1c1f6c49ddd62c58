import type { GapRecord, MigrationContext } from '../../src/control/index.ts';
import type { MigrationState } from '../../src/migration/index.ts';
import { decodeKey } from '../../src/record/index.ts';
import type { GuardState } from '../../src/store/index.ts';
import { type BrokenVariant, withStores } from './broken-scenarios.ts';
import type { ProcessKind, World } from './world.ts';

/** What is brought back is written without a look at what the source has taken since. */
const appliesOverNewer = (context: MigrationContext, kind: ProcessKind): MigrationContext => {
  if (kind !== 'operator') return context;
  const { gaps } = context.control;
  const asItIsNow = async (record: GapRecord): Promise<GapRecord> => {
    const { collection, key } = record;
    const [now] = await context.stores.source.records.read(collection, [decodeKey(key)]);
    return { ...record, touched: false, source: now?.record ?? null };
  };
  return withStores(
    {
      ...context,
      control: {
        ...context.control,
        gaps: {
          ...gaps,
          list: async (...args) => Promise.all((await gaps.list(...args)).map(asItIsNow)),
        },
      },
    },
    (store, side) =>
      side === 'source'
        ? {
            ...store,
            queue: { ...store.queue, standing: async (_name, keys) => keys.map(() => 'none') },
            records: {
              ...store.records,
              write: ({ check: _check, beforeCommit: _before, ...write }) =>
                store.records.write(write),
            },
          }
        : {
            ...store,
            door: { ...store.door, fences: async (_name, keys) => keys.map(() => null) },
          },
  );
};

/** The target follows as soon as authority has moved, and everybody believes that the gap was collected. */
const forwardBeforeCollected = (context: MigrationContext, kind: ProcessKind): MigrationContext => {
  const opened = (state: MigrationState): MigrationState =>
    state.gap && kind === 'worker'
      ? { ...state, gap: { ...state.gap, stage: 'collected' } }
      : state;
  const { control } = context;
  const asFollower = (guard: GuardState): GuardState =>
    guard.role === 'sealed' && guard.epoch === 3 ? { ...guard, role: 'follower' } : guard;
  return withStores(
    {
      ...context,
      control: {
        ...control,
        load: async (migration) => opened(await control.load(migration)),
        watch: (migration, onState, onError) =>
          control.watch(migration, (state) => onState(opened(state)), onError),
      },
    },
    (store, side) =>
      side === 'source'
        ? store
        : {
            ...store,
            guard: {
              ...store.guard,
              read: async () => {
                const row = await store.guard.read();
                return row.role === 'follower' && row.epoch === 3 && row.attempt === null
                  ? { ...row, role: 'sealed' }
                  : row;
              },
              change: (from, to, lockTimeoutMs) =>
                store.guard.change(asFollower(from), asFollower(to), lockTimeoutMs),
            },
          },
  );
};

/** Who has touched what is asked only about writes that come after the gap was collected. */
function touchedTooLate() {
  const forgotten = new WeakMap<World, Set<string>>();
  return (context: MigrationContext, _kind: ProcessKind, world: World): MigrationContext => {
    const early = forgotten.get(world) ?? new Set<string>();
    forgotten.set(world, early);
    const { gaps } = context.control;
    const record: typeof gaps.record = (migration, rescue, records) => {
      for (const one of records) if (one.touched) early.add(`${one.collection} ${one.key}`);
      return gaps.record(
        migration,
        rescue,
        records.map((one) => ({ ...one, touched: false })),
      );
    };
    const isEarly = (name: string, key: readonly string[]): boolean =>
      early.has(`${name} ${JSON.stringify(key)}`);
    return withStores(
      { ...context, control: { ...context.control, gaps: { ...gaps, record } } },
      (store, side) =>
        side === 'source'
          ? {
              ...store,
              queue: {
                ...store.queue,
                standing: async (name, keys) => {
                  const found = (await store.queue.standing?.(name, keys)) ?? [];
                  return found.map((one, at) => (isEarly(name, keys[at] ?? []) ? 'none' : one));
                },
              },
            }
          : {
              ...store,
              door: {
                ...store.door,
                fences: async (name, keys) => {
                  const found = await store.door.fences(name, keys);
                  return found.map((one, at) => (isEarly(name, keys[at] ?? []) ? null : one));
                },
              },
            },
    );
  };
}

/** A delete, or an update, that finds nothing leaves no trace beside the gap. */
const deletesLeaveNoTrace = (context: MigrationContext, kind: ProcessKind): MigrationContext =>
  kind !== 'application'
    ? context
    : withStores(context, (store) => ({
        ...store,
        queue: {
          ...store.queue,
          enqueue: (entries) =>
            entries.every((one) => one.kind === 'change' && one.graceMs === 0)
              ? Promise.resolve([])
              : store.queue.enqueue(entries),
        },
      }));

/** The check and the write of what is brought back are two steps. */
const checkBeforeLock = (context: MigrationContext, kind: ProcessKind): MigrationContext =>
  kind !== 'operator'
    ? context
    : withStores(context, (store) => ({
        ...store,
        records: {
          ...store.records,
          async write({ check: _check, beforeCommit: _before, ...write }) {
            await context.runtime.clock.sleep(40);
            return store.records.write(write);
          },
        },
      }));

/** Applications do not know that a gap is open: tokens of its writes are read as any others. */
const tokensIgnored = (context: MigrationContext, kind: ProcessKind): MigrationContext => {
  if (kind !== 'application') return context;
  const { control } = context;
  const without = ({ gap: _, ...state }: MigrationState): MigrationState => state;
  return {
    ...context,
    control: {
      ...control,
      load: async (migration) => without(await control.load(migration)),
      watch: (migration, onState, onError) =>
        control.watch(migration, (state) => onState(without(state)), onError),
    },
  };
};

/** Rescues with one deliberate defect each. */
export const brokenRescues: readonly BrokenVariant[] = [
  {
    name: 'a rescue applies the gap over newer writes of the source',
    defect: { wrap: appliesOverNewer },
  },
  {
    name: 'forward restarts before the gap is collected',
    defect: { wrap: forwardBeforeCollected },
  },
  { name: 'touched keys are recorded too late', defect: { wrap: touchedTooLate() } },
  {
    name: 'a delete that finds nothing leaves no trace beside the gap',
    defect: { wrap: deletesLeaveNoTrace, scenario: { deleteShare: 0.5, thinkMs: 6 } },
  },
  {
    name: 'the gap is applied without a look under the lock',
    defect: { wrap: checkBeforeLock, scenario: { keys: 24, thinkMs: 4 } },
  },
  {
    name: 'tokens of the gap are not looked at',
    defect: { wrap: tokensIgnored, scenario: { deleteShare: 0, readShare: 0.6 } },
  },
];
