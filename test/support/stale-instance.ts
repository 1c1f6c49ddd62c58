// An application instance with a router that can be told to stop itself (SIGSTOP) at a named moment of a write, and whose wall clock can jump.
// Forked; argv[2]: JSON of `StaleInstanceOptions`. Takes `InstanceCommand`, tells `InstanceAnswer`. Ends with its parent.
import { postgresControl } from '../../src/adapters/postgres/index.ts';
import { isChangeoverError } from '../../src/errors/index.ts';
import { createRouter } from '../../src/router/index.ts';
import { type Runtime, systemRuntime } from '../../src/runtime/index.ts';
import type { RecordStore } from '../../src/store/index.ts';
import { openKillContext } from './kill-context.ts';

export interface StaleInstanceOptions {
  readonly engine: 'postgres' | 'mariadb';
  readonly sourceUrl: string;
  readonly targetUrl: string;
  readonly controlUrl: string;
  readonly instance: string;
  readonly leaseMs: number;
}

/**
 * Where a write stops its process. `statement`: it is routed, and nothing of it has been sent. `commit`: its transaction is open on the authority, with the row
 * in it.
 */
export type StopMoment = 'statement' | 'commit';

export type InstanceCommand =
  | { readonly type: 'put'; readonly id: number; readonly stopAt?: StopMoment }
  /** The wall clock shows so much more than it should, or less. */
  | { readonly type: 'clock'; readonly offsetMs: number };

export type InstanceAnswer =
  | { readonly type: 'ready' }
  | { readonly type: 'state'; readonly version: number; readonly epoch: number }
  /** `outcome`: `written` or the code of the error. */
  | { readonly type: 'answer'; readonly id: number; readonly outcome: string };

const options = JSON.parse(process.argv[2] ?? '') as StaleInstanceOptions;
let offsetMs = 0;
// Everything in this process that asks for the wall clock asks here; durations are of the monotonic one, which does not jump.
const runtime: Runtime = {
  ...systemRuntime,
  clock: { ...systemRuntime.clock, now: () => Date.now() + offsetMs },
};
const tell = (answer: InstanceAnswer): void => {
  process.send?.(answer);
};
let stopAt: StopMoment | undefined;
const stop = (moment: StopMoment): void => {
  if (stopAt !== moment) return;
  stopAt = undefined;
  process.kill(process.pid, 'SIGSTOP');
};

const control = await postgresControl({ url: options.controlUrl }).connect(runtime);
const context = await openKillContext({ ...options, control, mode: 'deferred', runtime });
context.events.subscribe((event) => {
  if (event.type === 'state')
    tell({ type: 'state', version: event.state.version, epoch: event.state.epoch });
});

/** The same records, but that a write may stop the process in between. */
const stopping = (records: RecordStore): RecordStore => ({
  ...records,
  write(write) {
    stop('statement');
    return records.write({
      ...write,
      async beforeCommit(written) {
        stop('commit');
        await write.beforeCommit?.(written);
      },
    });
  },
});
const { source, target } = context.stores;
const router = await createRouter(
  {
    ...context,
    stores: {
      source: { ...source, records: stopping(source.records) },
      target: { ...target, records: stopping(target.records) },
    },
  },
  { leaseMs: options.leaseMs, authorityTimeoutMs: 1_500, graceMs: 1_000, holdMs: 5_000 },
);
const things = router.collection('things');

process.on('message', (command: InstanceCommand) => {
  if (command.type === 'clock') {
    offsetMs = command.offsetMs;
    return;
  }
  const { id } = command;
  stopAt = command.stopAt;
  things.put({ id, value: options.instance }).then(
    () => tell({ type: 'answer', id, outcome: 'written' }),
    (error: unknown) =>
      tell({ type: 'answer', id, outcome: isChangeoverError(error) ? error.code : String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
tell({ type: 'ready' });
