import {
  type AuditEntry,
  type BackfillCheckpoint,
  type ControlConnector,
  type ControlStore,
  type EvidenceLatency,
  type GapRecord,
  type Instance,
  isNewerCheckpoint,
  type Memo,
  type MismatchLine,
  type Sample,
} from '../../control/index.ts';
import { ChangeoverError } from '../../errors/index.ts';
import { initialState, type MigrationState } from '../../migration/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { createMemoryEvidence, type MemoryEvidence } from './memory-evidence.ts';
import { createMemoryFleet } from './memory-fleet.ts';
import { createMemoryGaps } from './memory-gaps.ts';
import { createMemoryMemos } from './memory-memos.ts';
import { createMemoryMismatches } from './memory-mismatches.ts';
import { createMemorySamples } from './memory-samples.ts';

/** Waits before each call reaches the control store and before its answer comes back; a rejection (CONTROL_UNAVAILABLE) is a partition. */
export interface ControlHook {
  request(client: string, label: string): Promise<void>;
  reply(client: string, label: string): Promise<void>;
}

/** Everything of one migration. */
export interface ControlledMigration {
  state: MigrationState | null;
  readonly audit: AuditEntry[];
  readonly checkpoints: Map<string, BackfillCheckpoint>;
  readonly instances: Map<string, Instance>;
  readonly evidence: Map<string, MemoryEvidence>;
  latencies: readonly EvidenceLatency[];
  readonly mismatches: Map<string, MismatchLine>;
  /** Rescue → place → record. */
  readonly gaps: Map<string, Map<string, GapRecord>>;
  readonly samples: Map<string, Sample>;
  readonly memos: Map<string, Memo>;
}

export interface MemoryControlOptions {
  readonly hook?: ControlHook | null;
}

/** The shared data of a control store in this process. Not durable. */
export class MemoryControl {
  hook: ControlHook | null;
  private readonly migrations = new Map<string, ControlledMigration>();
  private readonly watchers = new Set<(state: MigrationState) => void>();
  private readonly observers = new Set<(state: MigrationState) => void>();

  constructor(options: MemoryControlOptions = {}) {
    this.hook = options.hook ?? null;
  }

  of(migration: string): ControlledMigration {
    let found = this.migrations.get(migration);
    if (!found) {
      found = {
        state: null,
        audit: [],
        checkpoints: new Map(),
        instances: new Map(),
        evidence: new Map(),
        latencies: [],
        mismatches: new Map(),
        gaps: new Map(),
        samples: new Map(),
        memos: new Map(),
      };
      this.migrations.set(migration, found);
    }
    return found;
  }

  /** Called in the turn in which a state is committed. The returned function ends it. */
  onCommit(observer: (state: MigrationState) => void): () => void {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  }

  /** Notification of watching clients; each decides when it looks. */
  listen(watcher: (state: MigrationState) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  publish(state: MigrationState): void {
    for (const observer of this.observers) observer(state);
    for (const watcher of this.watchers) watcher(state);
  }
}

/** Options of one client of a memory control store. */
export interface MemoryControlClientOptions {
  /** Shared by every client that shall see the same migrations; default: a new one. */
  readonly control?: MemoryControl;
  readonly client?: string;
  /** Safety net of `watch`. Default 250 ms. */
  readonly pollMs?: number;
}

/** A control store in this process: not durable, for tests, examples and simulation. */
export function memoryControl(
  options: MemoryControlClientOptions = {},
): ControlConnector & { readonly control: MemoryControl } {
  const control = options.control ?? new MemoryControl();
  return {
    display: 'memory',
    control,
    connect: async (runtime) =>
      createControlStore(control, runtime, options.client ?? 'client', options.pollMs ?? 250),
  };
}

function createControlStore(
  control: MemoryControl,
  runtime: Runtime,
  client: string,
  pollMs: number,
): ControlStore {
  const { clock } = runtime;
  const watches = new Set<() => void>();
  let closed = false;
  const call = async <T>(label: string, run: () => T): Promise<T> => {
    if (closed) throw new ChangeoverError('CLOSED', 'This control store was closed.');
    if (control.hook) await control.hook.request(client, label);
    const result = run();
    if (control.hook) await control.hook.reply(client, label);
    return result;
  };
  const stateOf = (migration: string): MigrationState => {
    const data = control.of(migration);
    data.state ??= initialState(migration);
    return data.state;
  };
  return {
    display: 'memory',
    load: (migration) => call('control/load', () => stateOf(migration)),
    commit: (next, entry) =>
      call('control/commit', () => {
        const data = control.of(next.migration);
        if (stateOf(next.migration).version !== next.version - 1) return false;
        data.state = next;
        data.audit.push({ ...entry, stateVersion: next.version, atMs: clock.now() });
        control.publish(next);
        return true;
      }),
    watch(migration, onState, onError) {
      const load = (): Promise<MigrationState> => call('control/watch', () => stateOf(migration));
      const stop = watchStates(control, runtime, pollMs, { load, onState, onError });
      watches.add(stop);
      return () => {
        watches.delete(stop);
        stop();
      };
    },
    note: (migration, entry) =>
      call('control/note', () => {
        control.of(migration).audit.push({ ...entry, stateVersion: null, atMs: clock.now() });
      }),
    history: (migration, limit) =>
      call('control/history', () => control.of(migration).audit.slice(-limit).reverse()),
    checkpoint: (migration, collection) =>
      call('control/checkpoint', () => control.of(migration).checkpoints.get(collection) ?? null),
    saveCheckpoint: (migration, checkpoint) =>
      call('control/save-checkpoint', () => {
        const { checkpoints } = control.of(migration);
        const found = checkpoints.get(checkpoint.collection);
        if (found === undefined || !isNewerCheckpoint(found, checkpoint))
          checkpoints.set(checkpoint.collection, checkpoint);
      }),
    fleet: createMemoryFleet(control, clock, call),
    evidence: createMemoryEvidence(control, call),
    mismatches: createMemoryMismatches(control, clock, call),
    gaps: createMemoryGaps(control, clock, call),
    samples: createMemorySamples(control, call),
    memos: createMemoryMemos(control, call),
    async close() {
      closed = true;
      for (const stop of watches) stop();
      watches.clear();
    },
  };
}

/** Looks at once, after every notification and every `pollMs`; hands on only newer states. */
function watchStates(
  control: MemoryControl,
  runtime: Runtime,
  pollMs: number,
  watch: {
    readonly load: () => Promise<MigrationState>;
    readonly onState: (state: MigrationState) => void;
    readonly onError: (error: unknown) => void;
  },
): () => void {
  let stopped = false;
  let seen = 0;
  let cancel: (() => void) | null = null;
  let busy = false;
  let again = false;
  const look = async (): Promise<void> => {
    if (stopped) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    cancel?.();
    try {
      const state = await watch.load();
      if (!stopped && state.version > seen) {
        seen = state.version;
        watch.onState(state);
      }
    } catch (error) {
      if (!stopped) watch.onError(error);
    }
    busy = false;
    if (stopped) return;
    cancel = runtime.clock.schedule(again ? 0 : pollMs, () => void look());
    again = false;
  };
  const unlisten = control.listen(() => void look());
  void look();
  return () => {
    stopped = true;
    unlisten();
    cancel?.();
  };
}
