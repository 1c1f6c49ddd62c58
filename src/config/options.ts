import { applierDefaults, logApplierDefaults } from '../capture/index.ts';
import { defaultCutoverLimits } from '../cutover/index.ts';
import { defaultProfile } from '../gates/index.ts';
import { routerDefaults } from '../router/index.ts';
import { workerDefaults } from '../worker/index.ts';
import { columnOverrides } from './column-overrides.ts';
import { choice, ms, type OptionEntry, share, textOrNone, whole } from './option-entry.ts';
import { throttleOptions } from './throttle-options.ts';

/** Options of one collection, beside its shapes and transforms. */
export const collectionOptions = {
  capture: choice({
    values: ['app', 'outbox', 'log'],
    default: 'app',
    effect:
      'Who makes a change known. `app`: this library makes the writes. `outbox`: a trigger that `start` installs, or the caller’s own transaction. `log`: the store’s own log, so every writer, changed or not.',
  }),
  write: choice({
    values: ['serial', 'parallel', 'deferred'],
    default: 'serial',
    effect:
      'How a write reaches the follower. `serial`: after the authority, before the answer. `parallel`: both at once. `deferred`: by the worker.',
  }),
  failureMode: choice({
    values: ['fail-open', 'fail-closed'],
    default: 'fail-open',
    effect:
      'What a failing follower means. `fail-open`: the write stands and is queued. `fail-closed`: the write is refused.',
  }),
  latencyBudgetMs: ms(
    50,
    0,
    60_000,
    'A fail-open write waits for the follower at most so long; then the queue takes over.',
  ),
  shadowReadSample: share({
    unit: 'share of reads',
    default: 1,
    min: 0,
    max: 1,
    effect: 'Share of the reads that are repeated on the other store and compared.',
  }),
  transformVersion: whole({
    unit: '–',
    default: 1,
    min: 1,
    max: 1_000_000,
    effect: 'Raise it when a transform changes: evidence of the old one no longer counts.',
  }),
} as const;

/** Every option outside of collections, by group. `docs/reference/options.md` is generated from this table. */
export const optionTable = {
  reads: {
    shadowDeadlineMs: ms(
      routerDefaults.shadow.deadlineMs,
      1,
      60_000,
      'A shadow read that takes longer is given up and counted as `timed out`.',
    ),
    shadowConcurrency: whole({
      unit: 'reads',
      default: routerDefaults.shadow.concurrency,
      min: 1,
      max: 10_000,
      effect: 'Shadow reads at once in each process; more are shed and counted.',
    }),
    dialledReadMs: ms(
      routerDefaults.dialledReadMs,
      1,
      60_000,
      'A read that the dial sends to the target and that takes longer is answered by the source.',
    ),
    tokenSecret: textOrNone({
      unit: 'text',
      effect: 'Signs read-your-writes tokens; the same in every instance. null: unsigned.',
    }),
  },
  writes: {
    authorityTimeoutMs: ms(
      routerDefaults.authorityTimeoutMs,
      10,
      600_000,
      'Server-side limit of a write on the authority.',
    ),
    followerTimeoutMs: ms(
      routerDefaults.followerTimeoutMs,
      10,
      600_000,
      'Limit of a write on the follower, also after the caller has its answer.',
    ),
    holdMs: ms(
      routerDefaults.holdMs,
      100,
      60_000,
      'Longest time that a write waits while a switch holds writes; then HOLD_EXPIRED. Not below `switch.holdMs`.',
    ),
    heldMax: whole({
      unit: 'writes',
      default: routerDefaults.heldMax,
      min: 1,
      max: 1_000_000,
      effect: 'Writes that may wait at once in each process; more are refused with HOLD_EXPIRED.',
    }),
    detachedMax: whole({
      unit: 'writes',
      default: routerDefaults.detachedMax,
      min: 1,
      max: 100_000,
      effect: 'Follower writes in flight in each process; more go to the queue.',
    }),
    graceMs: ms(
      routerDefaults.graceMs,
      100,
      600_000,
      'How long the worker leaves a journal entry to the process that wrote it: the time to heal after a crash.',
    ),
    breakerFailures: whole({
      unit: 'failures',
      default: routerDefaults.breaker.failures,
      min: 1,
      max: 1_000,
      effect: 'So many failures of the follower in a row open its circuit breaker.',
    }),
    breakerOpenMs: ms(
      routerDefaults.breaker.openMs,
      10,
      600_000,
      'How long the breaker stays open before one write probes the follower.',
    ),
  },
  instances: {
    leaseMs: ms(
      routerDefaults.leaseMs,
      1_000,
      600_000,
      'A process that has not renewed for so long counts as dead where that is safe.',
    ),
    stateFile: textOrNone({
      unit: 'path',
      effect: 'Keeps the last known state for a cold start while the control store is away.',
    }),
  },
  backfill: {
    rowsPerSecondMax: whole({
      unit: 'rows per second',
      default: 0,
      min: 0,
      max: 100_000_000,
      effect: 'Speed limit of the copy; 0: none.',
    }),
    chunkRows: whole({
      unit: 'rows',
      default: 10_000,
      min: 1,
      max: 1_000_000,
      effect: 'Largest chunk of transformed records; the size below it follows `chunkTargetMs`.',
    }),
    chunkTargetMs: ms(500, 10, 60_000, 'What one chunk should take; its size is steered to this.'),
    concurrency: whole({
      unit: 'chunks',
      default: 2,
      min: 1,
      max: 64,
      effect: 'Chunks being written at a time.',
    }),
    chunkTimeoutMs: ms(60_000, 1_000, 3_600_000, 'Server-side limit of the write of one chunk.'),
    deadRowsMin: whole({
      unit: 'rows',
      default: 100,
      min: 1,
      max: 1_000_000_000,
      effect: 'The copy stops when at least so many rows are dead, and more than `deadShareMax`.',
    }),
    deadShareMax: share({
      unit: 'share of rows',
      default: 0.01,
      min: 0,
      max: 1,
      effect: 'The copy stops when a larger share of the rows cannot be transformed or stored.',
    }),
    transformThreads: whole({
      unit: 'threads',
      default: 0,
      min: 0,
      max: 64,
      effect:
        'Threads that read, transform and write chunks of records, each with connections of its own; 0: the main thread. They load the configuration file again: nothing of it may depend on what the process did before.',
    }),
    deferIndexes: choice({
      values: ['none', 'secondary', 'all'],
      default: 'none',
      effect:
        'Indexes of an empty target that are taken down for the copy and made again behind it: `secondary` those that are no constraint, `all` the key as well (live changes wait until it is back). PostgreSQL; not for fail-closed collections.',
    }),
    ...throttleOptions,
  },
  verify: {
    rowsPerSecondMax: whole({
      unit: 'rows per second',
      default: 0,
      min: 0,
      max: 100_000_000,
      effect: 'Speed limit of a full comparison; 0: none.',
    }),
    pageRows: whole({
      unit: 'rows',
      default: 1_000,
      min: 1,
      max: 100_000,
      effect: 'Records that are read and compared at a time.',
    }),
  },
  gates: {
    profile: choice({
      values: ['default', 'demo'],
      default: 'default',
      effect:
        'Thresholds that the others here start from. `demo` proves little and says so wherever it is shown.',
    }),
    parity: share({
      unit: 'share of reads',
      default: defaultProfile.parity,
      min: 0,
      max: 0.999_999_999,
      effect: 'Least share of equal shadow reads that has to be proven.',
    }),
    confidence: share({
      unit: 'probability',
      default: defaultProfile.confidence,
      min: 0.5,
      max: 0.999_999,
      effect: 'One-sided confidence of that proof.',
    }),
    windowMinutes: whole({
      unit: 'minutes',
      default: defaultProfile.windowMinutes,
      min: 1,
      max: 525_600,
      effect: 'Only comparisons of the last so many minutes count.',
    }),
    queueWaitingMax: whole({
      unit: 'changes',
      default: defaultProfile.queueWaitingMax,
      min: 0,
      max: 1_000_000_000,
      effect: 'Waiting changes in the authority’s queue, at most.',
    }),
    queueOldestMsMax: ms(
      defaultProfile.queueOldestMsMax,
      0,
      86_400_000,
      'Age of the oldest waiting change, at most.',
    ),
    answerMsMax: ms(
      defaultProfile.answerMsMax,
      10,
      600_000,
      'A store that does not answer a gate within this time makes it `unknown`.',
    ),
  },
  switch: {
    holdMs: ms(
      defaultCutoverLimits.holdMs,
      100,
      60_000,
      'Writes are held at most so long during a switch; beyond it the switch undoes itself.',
    ),
    ackTimeoutMs: ms(
      defaultCutoverLimits.ackTimeoutMs,
      100,
      60_000,
      'Until every live instance has acknowledged the hold; a part of `switch.holdMs`.',
    ),
    drainTimeoutMs: ms(
      defaultCutoverLimits.drainTimeoutMs,
      100,
      3_600_000,
      'Before the hold: until the queue is nearly empty, with writes flowing.',
    ),
    lockTimeoutMs: ms(
      defaultCutoverLimits.lockTimeoutMs,
      10,
      60_000,
      'One wait for running writers at a guard.',
    ),
    leaseMs: ms(
      defaultCutoverLimits.leaseMs,
      500,
      600_000,
      'After it, another process may undo the attempt of a coordinator that died.',
    ),
    undoMs: ms(
      defaultCutoverLimits.undoMs,
      100,
      600_000,
      'Budget of the undoing of a failed switch.',
    ),
    waitingMax: whole({
      unit: 'changes',
      default: defaultCutoverLimits.waitingMax,
      min: 0,
      max: 1_000_000,
      effect: 'The hold begins only when no more than so many changes wait.',
    }),
    oldestMsMax: ms(
      defaultCutoverLimits.oldestMsMax,
      0,
      3_600_000,
      'The hold begins only when no waiting change is older than this.',
    ),
  },
  log: {
    transactions: choice({
      values: ['split', 'whole'],
      default: 'split',
      effect:
        'With capture `log`. `whole`: the follower shows only states that the authority had, transaction by transaction. `split`: large ones come in parts, in bounded memory.',
    }),
    batchChanges: whole({
      unit: 'row changes',
      default: logApplierDefaults.changesMax,
      min: 1,
      max: 1_000_000,
      effect: 'So many changes of the log are put together in one follower transaction, at most.',
    }),
    gatherMs: ms(
      logApplierDefaults.gatherMs,
      0,
      10_000,
      'Small batches of the log begin at least so far apart: less work for both stores, for so much more lag. A change that comes alone does not wait.',
    ),
    batchBytes: whole({
      unit: 'bytes',
      default: logApplierDefaults.bytesMax,
      min: 65_536,
      max: 1_073_741_824,
      effect: 'The same in bytes of values; the worker holds about four times as much in memory.',
    }),
  },
  worker: {
    pollMs: ms(workerDefaults.pollMs, 1, 60_000, 'Between two looks at an empty queue.'),
    batch: whole({
      unit: 'changes',
      default: applierDefaults.batch,
      min: 1,
      max: 500,
      effect: 'Changes that are claimed and applied at a time.',
    }),
    claimLeaseMs: ms(
      applierDefaults.claimLeaseMs,
      1_000,
      3_600_000,
      'Claimed changes come back to the queue when the worker has died for so long.',
    ),
    refusedAttemptsMax: whole({
      unit: 'attempts',
      default: applierDefaults.refusedAttemptsMax,
      min: 1,
      max: 1_000,
      effect: 'A change that the follower refuses is a dead letter after so many attempts.',
    }),
    recheckMs: ms(
      workerDefaults.recheckMs,
      10,
      600_000,
      'Between two looks at keys that differed at first sight.',
    ),
  },
} as const satisfies Readonly<
  Record<
    string,
    Readonly<Record<string, OptionEntry<number> | OptionEntry<string> | OptionEntry<string | null>>>
  >
>;

type ValueOf<E> = E extends OptionEntry<infer T> ? T : never;
type Widened<T> = T extends number ? number : T;

export type OptionGroup = keyof typeof optionTable;

/** What a user may write: every group and every option may be left out. */
export type OptionsInput = {
  readonly [G in OptionGroup]?: {
    readonly [K in keyof (typeof optionTable)[G]]?: Widened<ValueOf<(typeof optionTable)[G][K]>>;
  };
};

/** Every option with its value. Frozen. */
export type MigrationOptions = {
  readonly [G in OptionGroup]: {
    readonly [K in keyof (typeof optionTable)[G]]: Widened<ValueOf<(typeof optionTable)[G][K]>>;
  };
};

/** `docs/reference/options.md`. */
export function optionsReference(): string {
  const row = (path: string, entry: OptionEntry<unknown>): string =>
    `| \`${path}\` | ${JSON.stringify(entry.default)} | ${entry.unit} | ${entry.range.replaceAll('|', '\\|')} | ${entry.effect} |`;
  const head = '| option | default | unit | range | effect |\n| --- | --- | --- | --- | --- |';
  const sections = [
    ['collections.<name>', collectionOptions],
    ['collections.<name>.columns.<column>', columnOverrides],
    ...Object.entries(optionTable),
  ] as readonly (readonly [string, Readonly<Record<string, OptionEntry<unknown>>>])[];
  const body = sections.map(
    ([group, entries]) =>
      `## ${group}\n\n${head}\n${Object.entries(entries)
        .map(([name, entry]) => row(`${group}.${name}`, entry))
        .join('\n')}\n`,
  );
  return `# Options\n\nGenerated from \`src/config/options.ts\`. Everything here may be left out of \`changeover.config.ts\`.\n\n${body.join('\n')}\n${trafficReference}`;
}

const trafficReference = `## traffic

One hook, or a list: what holds the traffic that does not go through a router while authority changes. Without it such writes are not held; the store that they come to too late refuses them. What the application notices of each: [the write switch](../guides/switch-writes.md).

\`pgbouncer({ … })\` of \`changeover/postgres\`:

| option | default | unit | range | effect |
| --- | --- | --- | --- | --- |
| \`traffic.admin\` | – | – | address | Admin console, \`postgres://USER:PASSWORD@HOST:6432/pgbouncer\`; the user stands in \`admin_users\`. |
| \`traffic.file\` | – | – | absolute path \\| function | File that pgbouncer.ini includes and that is ours alone; replaced at each change of authority. A function that gets its text, where PgBouncer runs on another machine. |
| \`traffic.databases\` | – | – | name → { source, target } | Database as applications name it → its connect string for each side, as it would stand in \`[databases]\`: \`host=10.0.0.5 port=5432 dbname=shop\`. |
| \`traffic.name\` | PgBouncer HOST:PORT | – | text | Its name in messages. |

A hook of your own, \`TrafficHook\`:

| member | default | effect |
| --- | --- | --- |
| \`hold(ms)\` | – | Lets nothing new begin, resolves when nothing is in flight; rejects after \`ms\` and then holds nothing. A rejection undoes the switch. |
| \`release(to)\` | – | Points to \`source\` or \`target\` and lets traffic go on. Idempotent, called from any process, also where nothing was held. |
| \`check(authority)\` | nothing to say | Findings for \`check\` and the preflight of a switch; changes nothing. \`fail\` and \`unknown\` refuse the switch. |
| \`prepare(authority)\` | nothing to do | Just before a switch begins: what can only be tried by doing it. A throw refuses the switch. |
| \`name\` | traffic | Its name in messages. |
| \`leadsTo\` | – | Side → addresses \`host:port/database\`; \`check\` warns where a PostgreSQL store has another one. |
`;
